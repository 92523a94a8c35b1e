import '../../src/ecdsa.dart';

/// P-256 (SP 800-186, section 3.2.1).
final class ECCurve_secp256r1 // ignore: camel_case_types
    implements ECDomainParameters {
  @override
  final ECCurve curve = ECCurve(
    _number(
      'ffffffff00000001000000000000000000000000ffffffffffffffffffffffff',
    ),
    _number(
      '5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b',
    ),
  );

  @override
  final ECPoint G = ECPoint(
    _number(
      '6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296',
    ),
    _number(
      '4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5',
    ),
  );

  @override
  final BigInt n = _number(
    'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551',
  );
}

BigInt _number(String digits) => BigInt.parse(digits, radix: 16);
