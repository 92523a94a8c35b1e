/// Extracts the public key of a certificate. `dart:io` exposes a certificate
/// only as bytes, and a pin is the digest of a part of them.
library;

import 'dart:typed_data';

const int _integer = 0x02;
const int _bitString = 0x03;
const int _null = 0x05;
const int _objectIdentifier = 0x06;
const int _sequence = 0x30;

// The optional fields of a certificate (RFC 5280, section 4.1).
const int _version = 0xa0;
const int _issuerUniqueId = 0x81;
const int _subjectUniqueId = 0x82;
const int _extensions = 0xa3;

/// Returns the SubjectPublicKeyInfo of a certificate, without changing a byte
/// (RFC 5280, section 4.1; RFC 7469, section 2.4).
///
/// Throws a [FormatException] on invalid DER (X.690, section 10): lengths that
/// are not minimal or are indefinite, values that exceed their field, trailing
/// bytes. Not checked: the signature, dates and names, which TLS has already
/// verified, and the contents of names and extensions.
Uint8List subjectPublicKeyInfo(Uint8List der) {
  final (outer, outerEnd) = _enter(der, 0, der.length, _sequence);
  _expectEnd(outerEnd, der.length);
  final (tbs, tbsEnd) = _enter(der, outer, outerEnd, _sequence);
  var at = _skipOptional(der, tbs, tbsEnd, _version);
  at = _skip(der, at, tbsEnd, _integer); // serialNumber
  at = _skip(der, at, tbsEnd, _sequence); // signature
  at = _skip(der, at, tbsEnd, _sequence); // issuer
  at = _skip(der, at, tbsEnd, _sequence); // validity
  at = _skip(der, at, tbsEnd, _sequence); // subject
  final end = _skip(der, at, tbsEnd, _sequence);
  _checkKey(der, at, end);
  _checkRest(der, end, tbsEnd);
  var after = _skip(der, tbsEnd, outerEnd, _sequence); // signatureAlgorithm
  after = _skip(der, after, outerEnd, _bitString); // signatureValue
  _expectEnd(after, outerEnd);
  return der.sublist(at, end);
}

/// Returns the size in bits of an RSA key, or `null` if the key is of another
/// kind (RFC 8017, appendix A.1.1).
///
/// [key] is the result of [subjectPublicKeyInfo]. Throws a [FormatException] on
/// invalid DER.
int? rsaKeySize(Uint8List key) {
  final (start, end) = _enter(key, 0, key.length, _sequence);
  final (algorithm, algorithmEnd) = _enter(key, start, end, _sequence);
  final (kind, kindEnd) =
      _enter(key, algorithm, algorithmEnd, _objectIdentifier);
  if (!_isRsa(key.sublist(kind, kindEnd))) {
    return null;
  }
  final (bits, _) = _enter(key, algorithmEnd, end, _bitString);
  // After the number of unused bits, which is 0.
  final (fields, fieldsEnd) = _enter(key, bits + 1, end, _sequence);
  var (first, modulusEnd) = _enter(key, fields, fieldsEnd, _integer);
  while (first < modulusEnd && key[first] == 0) {
    first += 1;
  }
  if (first == modulusEnd) {
    return 0;
  }
  return 8 * (modulusEnd - first - 1) + key[first].bitLength;
}

/// Whether an algorithm is rsaEncryption or RSASSA-PSS (RFC 8017, appendix C).
bool _isRsa(Uint8List kind) {
  final known = kind.length == _rsaFamily.length + 1;
  for (var at = 0; known && at < _rsaFamily.length; at += 1) {
    if (kind[at] != _rsaFamily[at]) {
      return false;
    }
  }
  return known && (kind.last == 1 || kind.last == 10);
}

// 1.2.840.113549.1.1
const List<int> _rsaFamily = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];

/// Checks that a key is an algorithm and a whole number of octets.
void _checkKey(Uint8List der, int at, int limit) {
  final (algorithm, end) = _enter(der, at, limit, _sequence);
  final key = _skip(der, algorithm, end, _sequence);
  _checkAlgorithm(der, algorithm, key);
  final (bits, bitsEnd) = _enter(der, key, end, _bitString);
  _expectEnd(bitsEnd, end);
  if (bits == bitsEnd || der[bits] != 0) {
    throw const FormatException('certificate: a key is made of whole octets');
  }
}

/// Checks that an algorithm is an OID with optional parameters.
void _checkAlgorithm(Uint8List der, int at, int limit) {
  final (start, end) = _enter(der, at, limit, _sequence);
  final parameters = _skip(der, start, end, _objectIdentifier);
  if (parameters == end) {
    return;
  }
  final tag = der[parameters];
  if (tag != _null && tag != _objectIdentifier && tag != _sequence) {
    throw const FormatException('certificate: not the parameters of a key');
  }
  _expectEnd(_skip(der, parameters, end, tag), end);
}

/// Checks that only the optional fields follow the key, in their order.
void _checkRest(Uint8List der, int at, int limit) {
  var place = _skipOptional(der, at, limit, _issuerUniqueId);
  place = _skipOptional(der, place, limit, _subjectUniqueId);
  place = _skipOptional(der, place, limit, _extensions);
  _expectEnd(place, limit);
}

/// Returns the end of the value at [at], which must have this tag.
int _skip(Uint8List der, int at, int limit, int tag) {
  final (_, end) = _enter(der, at, limit, tag);
  return end;
}

/// Returns the end of the value at [at] if it has this tag, else [at].
int _skipOptional(Uint8List der, int at, int limit, int tag) {
  if (at < limit && der[at] == tag) {
    return _skip(der, at, limit, tag);
  }
  return at;
}

/// Returns the start and the end of the contents of the value at [at], which
/// must have this tag and end before [limit].
(int, int) _enter(Uint8List der, int at, int limit, int tag) {
  if (at + 2 > limit) {
    throw const FormatException('certificate: cut short');
  }
  if (der[at] != tag) {
    throw const FormatException('certificate: another field was expected');
  }
  final first = der[at + 1];
  if (first < 0x80) {
    return _within(at + 2, first, limit);
  }
  final octets = first - 0x80;
  if (octets == 0 || octets > 3) {
    throw const FormatException('certificate: an indefinite or huge length');
  }
  final start = at + 2 + octets;
  if (start > limit) {
    throw const FormatException('certificate: cut short');
  }
  var length = 0;
  var place = at + 2;
  while (place < start) {
    length = length * 256 + der[place];
    place += 1;
  }
  if (length < 0x80 || length < 1 << (8 * (octets - 1))) {
    throw const FormatException('certificate: a length that is not shortest');
  }
  return _within(start, length, limit);
}

/// Returns the span of [length] octets from [start], at most up to [limit].
(int, int) _within(int start, int length, int limit) {
  if (length > limit - start) {
    throw const FormatException('certificate: a value that leaves its field');
  }
  return (start, start + length);
}

void _expectEnd(int end, int limit) {
  if (end != limit) {
    throw const FormatException('certificate: bytes behind the end');
  }
}
