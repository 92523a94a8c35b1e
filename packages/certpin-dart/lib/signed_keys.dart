// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// Converts keys and signatures from TUF's encoding to numbers and points.
library;

import 'dart:convert';
import 'dart:typed_data';

const String p256 = 'ecdsa-sha2-nistp256';
const String p384 = 'ecdsa-sha2-nistp384';

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

/// Verifies a signature (`r`, `s`, big-endian). [point] is the public key,
/// uncompressed, with the prefix 04; the scheme is [p256] or [p384].
typedef Verifies = bool Function(
  String scheme,
  Uint8List point,
  Uint8List r,
  Uint8List s,
  Uint8List message,
);

/// Returns the point of a public key in PEM, or `null` if it is not a key of
/// this scheme.
Uint8List? pointOf(String scheme, String pem) {
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
    if (scheme == p256) {
      return _pointBehind(der, _beforeP256, 64);
    }
    if (scheme == p384) {
      return _pointBehind(der, _beforeP384, 96);
    }
  } on FormatException {
    return null;
  }
  return null;
}

Uint8List? _pointBehind(Uint8List der, String before, int octets) {
  final start = fromHex(before);
  if (der.length != start.length + octets) {
    return null;
  }
  var place = 0;
  while (place < start.length) {
    if (der[place] != start[place]) {
      return null;
    }
    place += 1;
  }
  return der.sublist(start.length - 1);
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
