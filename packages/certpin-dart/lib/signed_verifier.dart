// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// Verifies signatures with `package:pointycastle` (Bouncy Castle for Dart):
/// ECDSA on P-256 and P-384 in pure Dart, identical on every platform.
library;

import 'dart:typed_data';

import 'package:pointycastle/api.dart';
import 'package:pointycastle/digests/sha256.dart';
import 'package:pointycastle/digests/sha384.dart';
import 'package:pointycastle/ecc/api.dart';
import 'package:pointycastle/ecc/curves/secp256r1.dart';
import 'package:pointycastle/ecc/curves/secp384r1.dart';
import 'package:pointycastle/signers/ecdsa_signer.dart';

import 'signed_keys.dart';

/// A [Verifies]. Input that the package refuses is an invalid signature.
bool verifiesEcdsa(
  String scheme,
  Uint8List point,
  Uint8List r,
  Uint8List s,
  Uint8List message,
) {
  final ECDomainParameters curve;
  final Digest digest;
  if (scheme == p256) {
    curve = ECCurve_secp256r1();
    digest = SHA256Digest();
  } else if (scheme == p384) {
    curve = ECCurve_secp384r1();
    digest = SHA384Digest();
  } else {
    return false;
  }
  try {
    final key = ECPublicKey(curve.curve.decodePoint(point), curve);
    final signer = ECDSASigner(digest)
      ..init(false, PublicKeyParameter<ECPublicKey>(key));
    return signer.verifySignature(message, ECSignature(_number(r), _number(s)));
  } on Object {
    return false;
  }
}

BigInt _number(Uint8List octets) {
  var number = BigInt.zero;
  for (final octet in octets) {
    number = (number << 8) | BigInt.from(octet);
  }
  return number;
}
