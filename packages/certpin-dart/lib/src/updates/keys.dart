/// Converts keys and signatures from TUF's encoding to numbers and points.
library;

import 'dart:convert';
import 'dart:typed_data';

/// The algorithms of signatures that an app accepts.
enum SignatureScheme {
  /// ECDSA on P-256 with SHA-256.
  p256('ecdsa-sha2-nistp256'),

  /// ECDSA on P-384 with SHA-384.
  p384('ecdsa-sha2-nistp384');

  /// Creates a scheme with its name in TUF.
  const SignatureScheme(this.tufName);

  /// The name in TUF metadata.
  final String tufName;

  /// Returns the scheme with a name in TUF metadata; `null` if there is none.
  static SignatureScheme? named(String name) {
    for (final scheme in values) {
      if (scheme.tufName == name) {
        return scheme;
      }
    }
    return null;
  }
}

const String _begin = '-----BEGIN PUBLIC KEY-----';
const String _end = '-----END PUBLIC KEY-----';
const String _hexDigits = '0123456789abcdef';

// The bytes before the point in the SubjectPublicKeyInfo of such a key
// (RFC 5480, section 2): id-ecPublicKey, the curve, a BIT STRING of whole
// octets, and 04 for an uncompressed point.
const String _beforeP256 =
    '3059301306072a8648ce3d020106082a8648ce3d03010703420004';
const String _beforeP384 =
    '3076301006072a8648ce3d020106052b8104002203620004';

// p and b of the curves y² = x³ - 3x + b (NIST SP 800-186, section 3.2.1).
final _Curve _p256 = _Curve(
  'ffffffff00000001000000000000000000000000ffffffffffffffffffffffff',
  '5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b',
);
final _Curve _p384 = _Curve(
  'fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe'
      'ffffffff0000000000000000ffffffff',
  'b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875a'
      'c656398d8a2ed19d2a85c8edd3ec2aef',
);

/// Verifies signatures. The app implements it with `package:pointycastle`: see
/// `example/recipes/pointycastle.dart`.
///
/// This package has no ECDSA of its own, because the Dart team maintains none,
/// and an app without updates should not depend on a library for it.
abstract interface class SignatureVerifier {
  /// Whether the signature is valid. [r] and [s] are its integers, big-endian;
  /// [point] is the public key, uncompressed, with the prefix 04. The digest
  /// of [message] is computed here.
  ///
  /// Return false for a signature or a key that the library refuses.
  bool verify(
    SignatureScheme scheme,
    Uint8List point,
    Uint8List r,
    Uint8List s,
    Uint8List message,
  );
}

/// Returns the point of a public key in PEM, or `null` if it is not a key of
/// this scheme, or not a point of its curve: `package:pointycastle` does not
/// check that.
Uint8List? pointOf(SignatureScheme scheme, String pem) {
  final text = pem.trim();
  if (!text.startsWith(_begin) || !text.endsWith(_end)) {
    return null;
  }
  if (text.length < _begin.length + _end.length) {
    return null;
  }
  final body = text.substring(_begin.length, text.length - _end.length);
  try {
    final der = base64.decode(body.replaceAll('\n', ''));
    return switch (scheme) {
      SignatureScheme.p256 => _pointBehind(der, _beforeP256, 32, _p256),
      SignatureScheme.p384 => _pointBehind(der, _beforeP384, 48, _p384),
    };
  } on FormatException {
    return null;
  }
}

Uint8List? _pointBehind(
  Uint8List der,
  String before,
  int octets,
  _Curve curve,
) {
  final start = fromHex(before);
  if (der.length != start.length + 2 * octets) {
    return null;
  }
  var place = 0;
  while (place < start.length) {
    if (der[place] != start[place]) {
      return null;
    }
    place += 1;
  }
  final x = _number(der.sublist(place, place + octets));
  final y = _number(der.sublist(place + octets));
  return curve.contains(x, y) ? der.sublist(start.length - 1) : null;
}

final class _Curve {
  _Curve(String p, String b)
      : p = _number(fromHex(p)),
        b = _number(fromHex(b));

  final BigInt p;
  final BigInt b;

  /// Whether it is a point of the curve (SP 800-186, section D.1.1.1).
  bool contains(BigInt x, BigInt y) {
    if (x >= p || y >= p) {
      return false;
    }
    final right = x * x * x - BigInt.from(3) * x + b;
    return (y * y - right) % p == BigInt.zero;
  }
}

BigInt _number(Uint8List octets) {
  var number = BigInt.zero;
  for (final octet in octets) {
    number = (number << 8) | BigInt.from(octet);
  }
  return number;
}

/// Returns `r` and `s` of an ECDSA signature (RFC 3279, section 2.2.3) in
/// strict DER. Throws a [FormatException].
///
/// With the supported curves, every length has one octet.
(Uint8List, Uint8List) ecdsaIntegers(Uint8List der) {
  if (der.length < 8 || der[0] != 0x30 || der[1] != der.length - 2) {
    throw const FormatException('signature: not one sequence');
  }
  final second = _integerEnd(der, 2);
  final end = _integerEnd(der, second);
  if (end != der.length) {
    throw const FormatException('signature: bytes behind the end');
  }
  return (der.sublist(4, second), der.sublist(second + 2, end));
}

/// Returns the end of the non-negative INTEGER at [at].
int _integerEnd(Uint8List der, int at) {
  if (at + 2 >= der.length || der[at] != 0x02 || der[at + 1] == 0) {
    throw const FormatException('signature: an integer was expected');
  }
  final end = at + 2 + der[at + 1];
  if (end > der.length) {
    throw const FormatException('signature: a value that leaves its field');
  }
  final first = der[at + 2];
  if (first >= 0x80) {
    throw const FormatException('signature: a negative number');
  }
  if (first == 0 && der[at + 1] > 1 && der[at + 3] < 0x80) {
    throw const FormatException('signature: a number that is not shortest');
  }
  return end;
}

/// Decodes hexadecimal digits. Throws a [FormatException].
Uint8List fromHex(String text) {
  final digits = text.toLowerCase().split('');
  final out = BytesBuilder();
  var high = -1;
  for (final digit in digits) {
    final value = _hexDigits.indexOf(digit);
    if (value < 0) {
      throw const FormatException('not hexadecimal');
    }
    if (high < 0) {
      high = value;
      continue;
    }
    out.addByte(high * 16 + value);
    high = -1;
  }
  if (high >= 0) {
    throw const FormatException('half an octet');
  }
  return out.takeBytes();
}
