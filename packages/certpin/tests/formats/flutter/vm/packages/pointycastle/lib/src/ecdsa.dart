/// Stands in for `package:pointycastle` in certpin's tests: ECDSA signatures on
/// two curves are verified (FIPS 186-5, section 6.4.2), and nothing else.
/// The names are those of that package.
library;

import 'dart:typed_data';

import 'package:crypto/src/sha2.dart';

abstract interface class Digest {
  Uint8List process(Uint8List data);
}

final class SHA256Digest implements Digest {
  @override
  Uint8List process(Uint8List data) => sha256Of(data);
}

final class SHA384Digest implements Digest {
  @override
  Uint8List process(Uint8List data) => sha384Of(data);
}

abstract interface class CipherParameters {}

abstract interface class PublicKey {}

abstract interface class Signature {}

final class PublicKeyParameter<T extends PublicKey>
    implements CipherParameters {
  PublicKeyParameter(this.key);

  final T key;
}

final class ECSignature implements Signature {
  ECSignature(this.r, this.s);

  final BigInt r;
  final BigInt s;
}

final class ECPublicKey implements PublicKey {
  ECPublicKey(this.Q, this.parameters);

  final ECPoint? Q; // ignore: non_constant_identifier_names
  final ECDomainParameters? parameters;
}

/// A point in affine coordinates.
final class ECPoint {
  ECPoint(this.x, this.y);

  final BigInt x;
  final BigInt y;
}

abstract class ECDomainParameters {
  ECCurve get curve;
  ECPoint get G; // ignore: non_constant_identifier_names
  BigInt get n;
}

/// A curve y² = x³ - 3x + b over a prime field.
final class ECCurve {
  ECCurve(this.p, this.b);

  final BigInt p;
  final BigInt b;

  /// Throws an [ArgumentError] if it is not an uncompressed point of the curve.
  ECPoint? decodePoint(List<int> encoded) {
    final size = (p.bitLength + 7) ~/ 8;
    if (encoded.length != 1 + 2 * size || encoded[0] != 4) {
      throw ArgumentError('not an uncompressed point');
    }
    final x = integerOf(encoded.sublist(1, 1 + size));
    final y = integerOf(encoded.sublist(1 + size));
    final right = x * x * x - x * BigInt.from(3) + b;
    if (x >= p || y >= p || (y * y - right) % p != BigInt.zero) {
      throw ArgumentError('not on the curve');
    }
    return ECPoint(x, y);
  }
}

BigInt integerOf(List<int> octets) => octets.fold(
      BigInt.zero,
      (number, octet) => (number << 8) | BigInt.from(octet),
    );

final class ECDSASigner {
  ECDSASigner([this._digest]);

  final Digest? _digest;
  late ECPublicKey _key;

  void init(bool forSigning, CipherParameters parameters) {
    if (forSigning || parameters is! PublicKeyParameter<ECPublicKey>) {
      throw UnsupportedError('it only verifies');
    }
    _key = parameters.key;
  }

  bool verifySignature(Uint8List message, ECSignature signature) {
    final domain = _key.parameters!;
    final n = domain.n;
    final ECSignature(:r, :s) = signature;
    if (r < BigInt.one || r >= n || s < BigInt.one || s >= n) {
      return false;
    }
    final digest = _digest!.process(message);
    final e = integerOf(digest) >> _excess(8 * digest.length, n);
    final w = s.modInverse(n);
    final field = _Jacobian(domain.curve.p);
    final sum = field.sumOf(e * w % n, domain.G, r * w % n, _key.Q!);
    return sum != null && sum.x % n == r;
  }

  static int _excess(int bits, BigInt n) =>
      bits > n.bitLength ? bits - n.bitLength : 0;
}

typedef _Point = (BigInt, BigInt, BigInt);

/// Points as (x/z², y/z³); z is zero at infinity.
final class _Jacobian {
  _Jacobian(this.p);

  final BigInt p;

  static final _Point _infinity = (BigInt.one, BigInt.one, BigInt.zero);

  ECPoint? sumOf(BigInt u, ECPoint one, BigInt v, ECPoint other) {
    final g = (one.x, one.y, BigInt.one);
    final q = (other.x, other.y, BigInt.one);
    final both = _add(g, q);
    var sum = _infinity;
    var bit = u.bitLength > v.bitLength ? u.bitLength : v.bitLength;
    while (bit > 0) {
      bit -= 1;
      sum = _double(sum);
      final first = (u >> bit).isOdd;
      final second = (v >> bit).isOdd;
      if (first || second) {
        sum = _add(sum, first && second ? both : (first ? g : q));
      }
    }
    final (x, y, z) = sum;
    if (z == BigInt.zero) {
      return null;
    }
    final inverse = z.modInverse(p);
    final square = inverse * inverse % p;
    return ECPoint(x * square % p, y * square * inverse % p);
  }

  _Point _double(_Point point) {
    final (x, y, z) = point;
    if (z == BigInt.zero || y == BigInt.zero) {
      return _infinity;
    }
    final zz = z * z % p;
    final yy = y * y % p;
    final s = (x * yy << 2) % p;
    final m = BigInt.from(3) * (x - zz) * (x + zz) % p;
    final x3 = (m * m - (s << 1)) % p;
    return (x3, (m * (s - x3) - (yy * yy << 3)) % p, (y * z << 1) % p);
  }

  _Point _add(_Point one, _Point other) {
    final (x1, y1, z1) = one;
    final (x2, y2, z2) = other;
    if (z1 == BigInt.zero || z2 == BigInt.zero) {
      return z1 == BigInt.zero ? other : one;
    }
    final zz1 = z1 * z1 % p;
    final zz2 = z2 * z2 % p;
    final u1 = x1 * zz2 % p;
    final s1 = y1 * z2 * zz2 % p;
    final h = (x2 * zz1 - u1) % p;
    final r = (y2 * z1 * zz1 - s1) % p;
    if (h == BigInt.zero) {
      return r == BigInt.zero ? _double(one) : _infinity;
    }
    final hh = h * h % p;
    final hhh = h * hh % p;
    final v = u1 * hh % p;
    final x3 = (r * r - hhh - (v << 1)) % p;
    return (x3, (r * (v - x3) - s1 * hhh) % p, h * z1 * z2 % p);
  }
}
