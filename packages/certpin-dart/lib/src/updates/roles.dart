/// Roles: their metadata, the keys that may sign it, and the threshold.
library;

import 'dart:convert';
import 'dart:typed_data';

import 'package:crypto/crypto.dart';

import 'exception.dart';
import 'json.dart';
import 'keys.dart';
import 'metadata.dart';

/// Parses the metadata of a role, without verifying it.
Metadata readMetadata(String role, Uint8List bytes) {
  final top = decodedObject(bytes);
  final signed = objectAt(top, 'signed');
  final kind = textAt(signed, '_type');
  if (kind != role) {
    throw PinUpdateException('refused', 'the metadata is $kind, and not $role');
  }
  if (!textAt(signed, 'spec_version').startsWith('1.')) {
    throw const PinUpdateException('unreadable', 'of another TUF than 1');
  }
  final found = Metadata(
    role,
    countAt(signed, 'version'),
    _moment(textAt(signed, 'expires')),
    signed,
    canonicalJson(signed),
    _signatures(listAt(top, 'signatures')),
    bytes,
  );
  if (role == 'root') {
    _checkRoot(signed);
  }
  return found;
}

/// Parses a TUF timestamp, `2027-06-01T00:00:00Z`. Invalid dates are refused,
/// although `DateTime.parse` accepts the 40th of May.
DateTime _moment(String text) {
  try {
    final moment = DateTime.parse(text);
    if (text.endsWith('Z') &&
        moment.toIso8601String() == text.replaceAll('Z', '.000Z')) {
      return moment;
    }
  } on FormatException {
    throw const PinUpdateException('unreadable', 'expires is not a date');
  }
  throw const PinUpdateException('unreadable', 'expires is not a date');
}

Map<String, Uint8List> _signatures(List<Object?> values) {
  final found = <String, Uint8List>{};
  for (final value in values) {
    if (value is! Map<String, Object?>) {
      throw const PinUpdateException('unreadable', 'not a signature');
    }
    final id = textAt(value, 'keyid');
    if (found.containsKey(id)) {
      throw const PinUpdateException('unreadable', 'two signatures by one key');
    }
    found[id] = _octets(textAt(value, 'sig'));
  }
  return found;
}

/// Decodes a signature. An invalid one becomes empty, and so counts for no key:
/// another key may have signed as well.
Uint8List _octets(String text) {
  try {
    return fromHex(text);
  } on FormatException {
    return fromHex('');
  }
}

/// Throws unless a root names keys and a threshold for all four roles, and
/// requires versions in file names (TUF 1.0.31, 4.3).
void _checkRoot(Map<String, Object?> signed) {
  if (signed['consistent_snapshot'] != true) {
    throw const PinUpdateException('refused', 'no consistent snapshots');
  }
  objectAt(signed, 'keys');
  final roles = objectAt(signed, 'roles');
  for (final name in ['root', 'timestamp', 'snapshot', 'targets']) {
    final role = objectAt(roles, name);
    countAt(role, 'threshold');
    textsOf(listAt(role, 'keyids'));
  }
}

/// Throws unless enough keys of the role have signed (TUF 1.0.31, 5.3.4).
///
/// A key counts once, even if the root lists it under several ids. Signatures
/// of keys outside the role are ignored, and so are keys other than ECDSA on
/// P-256 or P-384.
void requireSigned(
  Metadata root,
  String role,
  Metadata found,
  SignatureVerifier verifier,
) {
  final keys = objectAt(root.signed, 'keys');
  final said = objectAt(objectAt(root.signed, 'roles'), role);
  final counted = <String>[];
  for (final id in textsOf(listAt(said, 'keyids'))) {
    final signature = found.signatures[id];
    if (signature == null || !keys.containsKey(id)) {
      continue;
    }
    final key = objectAt(keys, id);
    final scheme = SignatureScheme.named(textAt(key, 'scheme'));
    final pem = textAt(objectAt(key, 'keyval'), 'public');
    final point = scheme == null ? null : pointOf(scheme, pem);
    if (scheme == null || point == null) {
      continue;
    }
    final name = base64.encode(point);
    if (!counted.contains(name) &&
        _isBy(scheme, point, signature, found.message, verifier)) {
      counted.add(name);
    }
  }
  final needed = countAt(said, 'threshold');
  if (counted.length < needed) {
    final count = counted.length;
    throw PinUpdateException(
      'signature',
      '$role was signed by $count of the $needed keys that must sign it',
    );
  }
}

bool _isBy(
  SignatureScheme scheme,
  Uint8List point,
  Uint8List signature,
  Uint8List message,
  SignatureVerifier verifier,
) {
  try {
    final (r, s) = ecdsaIntegers(signature);
    return verifier.verify(scheme, point, r, s, message);
  } on FormatException {
    return false;
  }
}

/// Returns the reference to the file [name] in the metadata [found]. Throws a
/// [PinUpdateException] if there is none.
Named namedIn(Metadata found, String name) {
  final meta = objectAt(found.signed, 'meta');
  if (!meta.containsKey(name)) {
    throw PinUpdateException('refused', 'it does not name $name');
  }
  final said = objectAt(meta, name);
  return Named(countAt(said, 'version'), _length(said), _digest(said));
}

int? _length(Map<String, Object?> said) {
  if (said.containsKey('length')) {
    return countAt(said, 'length');
  }
  return null;
}

String? _digest(Map<String, Object?> said) {
  if (said.containsKey('hashes')) {
    return textAt(objectAt(said, 'hashes'), 'sha256');
  }
  return null;
}

/// Throws unless the bytes match the reference (TUF 1.0.31, 5.5.2, 5.6.2, 5.7).
void requireBytes(Uint8List bytes, int? length, String? digest) {
  if (length != null && bytes.length != length) {
    throw const PinUpdateException('mismatch', 'its length is another');
  }
  if (digest != null && sha256.convert(bytes).toString() != digest) {
    throw const PinUpdateException('mismatch', 'its digest is another');
  }
}

/// Throws if the metadata has expired.
void requireInDate(Metadata found, DateTime now) {
  if (!now.isBefore(found.expires)) {
    final role = found.role;
    final until = found.expires.toIso8601String();
    throw PinUpdateException('expired', 'its $role was good until $until');
  }
}
