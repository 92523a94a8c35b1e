/// Verifies the signatures of pin sets with `package:pointycastle` 4: ECDSA on
/// P-256 and P-384 in pure Dart, identical on every platform.
library;

import 'dart:typed_data';

import 'package:certpin/updates.dart';
import 'package:pointycastle/api.dart';
import 'package:pointycastle/digests/sha256.dart';
import 'package:pointycastle/digests/sha384.dart';
import 'package:pointycastle/ecc/api.dart';
import 'package:pointycastle/ecc/curves/secp256r1.dart';
import 'package:pointycastle/ecc/curves/secp384r1.dart';
import 'package:pointycastle/signers/ecdsa_signer.dart';

/// The verifier for `PinUpdates`. Copy this file into the app.
final class PointycastleVerifier implements SignatureVerifier {
  /// Creates a verifier.
  const PointycastleVerifier();

  @override
  bool verify(
    SignatureScheme scheme,
    Uint8List point,
    Uint8List r,
    Uint8List s,
    Uint8List message,
  ) {
    final (ECDomainParameters curve, Digest digest) = switch (scheme) {
      SignatureScheme.p256 => (ECCurve_secp256r1(), SHA256Digest()),
      SignatureScheme.p384 => (ECCurve_secp384r1(), SHA384Digest()),
    };
    try {
      final key = ECPublicKey(curve.curve.decodePoint(point), curve);
      final signer = ECDSASigner(digest)
        ..init(false, PublicKeyParameter<ECPublicKey>(key));
      final signature = ECSignature(_number(r), _number(s));
      return signer.verifySignature(message, signature);
    } on Object {
      return false; // The library throws on a malformed point.
    }
  }
}

BigInt _number(Uint8List octets) {
  var number = BigInt.zero;
  for (final octet in octets) {
    number = (number << 8) | BigInt.from(octet);
  }
  return number;
}
