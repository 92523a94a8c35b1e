/// The verification steps (TUF 1.0.31, section 5). Pure functions: from bytes
/// and a time to a value, or a `PinUpdateException`.
library;

import 'dart:typed_data';

import '../policy.dart';
import 'exception.dart';
import 'json.dart';
import 'keys.dart';
import 'metadata.dart';
import 'pins.dart';
import 'roles.dart';

/// Verifies the root in the app, which is signed by its own keys. It must not
/// name another pin set than the one in the app.
Metadata firstRoot(Uint8List bytes, String name, SignatureVerifier verifier) {
  final root = readMetadata('root', bytes);
  requireSigned(root, 'root', root, verifier);
  _requirePinSet(root, root, name);
  return root;
}

/// Verifies the next root: one version higher, signed by the thresholds of both
/// the previous root and itself (5.3.4, 5.3.5), and of the same pin set.
Metadata nextRoot(
  Metadata before,
  Uint8List bytes,
  String name,
  SignatureVerifier verifier,
) {
  final root = readMetadata('root', bytes);
  requireSigned(before, 'root', root, verifier);
  _requireVersion(root, before.version + 1);
  requireSigned(root, 'root', root, verifier);
  _requirePinSet(root, before, name);
  return root;
}

/// Throws if a root is of another pin set: two pin sets may have the same root
/// key, and the targets keys of one must not sign pins for the other.
///
/// A root without a name is accepted, because other TUF tools write none,
/// unless the root before it has one.
void _requirePinSet(Metadata root, Metadata before, String name) {
  if (!root.signed.containsKey(pinSetField) &&
      !before.signed.containsKey(pinSetField)) {
    return;
  }
  if (root.signed[pinSetField] != name) {
    throw PinUpdateException('refused', 'its root is not of the pin set $name');
  }
}

/// Verifies a timestamp that is not older than the last one (5.4.2, 5.4.3). An
/// equal version means the known timestamp, even if the bytes differ.
Metadata nextTimestamp(
  Metadata root,
  Metadata? before,
  Uint8List bytes,
  SignatureVerifier verifier,
) {
  final found = readMetadata('timestamp', bytes);
  requireSigned(root, 'timestamp', found, verifier);
  final named = namedIn(found, 'snapshot.json');
  if (before == null) {
    return found;
  }
  _requireForward(found.version, before.version);
  if (found.version == before.version) {
    return before;
  }
  _requireForward(named.version, namedIn(before, 'snapshot.json').version);
  return found;
}

/// Verifies the snapshot named by the timestamp (5.5.2 to 5.5.5). Each role
/// that the last snapshot named must be there, in its version or a higher one.
Metadata nextSnapshot(
  Metadata root,
  Metadata timestamp,
  Metadata? before,
  Uint8List bytes,
  SignatureVerifier verifier,
) {
  final found = namedBy(root, timestamp, 'snapshot', bytes, verifier);
  namedIn(found, 'targets.json');
  if (before != null) {
    for (final name in objectAt(before.signed, 'meta').keys) {
      final version = namedIn(found, name).version;
      _requireForward(version, namedIn(before, name).version);
    }
  }
  return found;
}

/// Verifies metadata named by another role: bytes, version and signatures.
Metadata namedBy(
  Metadata root,
  Metadata above,
  String role,
  Uint8List bytes,
  SignatureVerifier verifier,
) {
  final named = namedIn(above, '$role.json');
  requireBytes(bytes, named.length, named.sha256);
  final found = readMetadata(role, bytes);
  requireSigned(root, role, found, verifier);
  _requireVersion(found, named.version);
  return found;
}

/// Returns the pin set that the targets metadata announces.
///
/// Throws a [PinUpdateException] unless its files are few, have plain names,
/// belong to one version of the pin set [name], and include the file with the
/// pins. [until] is the earliest expiry of the metadata.
Promise promiseIn(Metadata targets, String name, DateTime until) {
  final files = objectAt(targets.signed, 'targets');
  if (files.length > maxTargets) {
    throw const PinUpdateException('refused', 'there are too many targets');
  }
  if (!files.containsKey(pinsName)) {
    throw const PinUpdateException('refused', 'no pins.json among the targets');
  }
  final file = objectAt(files, pinsName);
  final custom = objectAt(file, 'custom');
  for (final path in files.keys) {
    final said = canonicalJson(objectAt(files, path)['custom']);
    if (!_isPlain(path) || !sameBytes(said, canonicalJson(custom))) {
      throw PinUpdateException('refused', '$path does not belong there');
    }
  }
  if (textAt(custom, 'pin-set') != name) {
    throw PinUpdateException('refused', 'this is not the pin set $name');
  }
  final length = countAt(file, 'length');
  if (length > maxPinsBytes) {
    throw const PinUpdateException('refused', 'pins.json is too long');
  }
  final digest = textAt(objectAt(file, 'hashes'), 'sha256');
  return Promise(countAt(custom, 'version'), length, digest, until);
}

/// Whether a name is a plain path without parent references.
bool _isPlain(String path) {
  for (final rune in path.runes) {
    if (rune < 0x20 || rune == 0x7f) {
      return false;
    }
  }
  if (path.contains('\\') || path.contains(':')) {
    return false;
  }
  for (final part in path.split('/')) {
    if (part == '' || part == '.' || part == '..') {
      return false;
    }
  }
  return true;
}

/// Verifies and parses the announced pins (5.7).
PinSet pinsAsPromised(Promise promise, String name, Uint8List bytes) {
  requireBytes(bytes, promise.length, promise.sha256);
  final pins = readPins(bytes);
  if (pins.name != name || pins.version != promise.version) {
    throw const PinUpdateException('content', 'it is not what was signed');
  }
  return pins;
}

/// Throws if a pin set is older than the current one, or has other policies in
/// the same version.
void requireFollowing(PinSet pins, PinSet current) {
  if (pins.version < current.version) {
    throw const PinUpdateException('older', 'its version was there before');
  }
  if (pins.version == current.version &&
      !samePolicies(pins.policies, current.policies)) {
    throw const PinUpdateException('changed', 'another one of this version');
  }
}

/// Throws if the version of a pin set is more than [maxJump] above the current
/// one. The caller does not check this after a change of the root.
void requireNear(PinSet pins, PinSet current) {
  if (pins.version > current.version + maxJump) {
    throw const PinUpdateException('jump', 'its version is too far ahead');
  }
}

/// Returns the earliest expiry of these metadata; there must be at least one.
DateTime firstEnd(List<Metadata> found) {
  var end = found.first.expires;
  for (final each in found) {
    if (each.expires.isBefore(end)) {
      end = each.expires;
    }
  }
  return end;
}

void _requireVersion(Metadata found, int version) {
  if (found.version != version) {
    final role = found.role;
    throw PinUpdateException('rollback', 'its $role is not version $version');
  }
}

void _requireForward(int version, int before) {
  if (version < before) {
    throw PinUpdateException('rollback', '$version comes after $before');
  }
}
