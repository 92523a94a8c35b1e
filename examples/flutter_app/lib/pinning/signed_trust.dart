// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// What is believed, step by step (TUF 1.0.31, section 5). Pure: bytes and a
/// moment in, a value out, or a `PinUpdateException`.
library;

import 'dart:typed_data';

import 'policy.dart';
import 'signed_exception.dart';
import 'signed_json.dart';
import 'signed_keys.dart';
import 'signed_metadata.dart';
import 'signed_pins.dart';
import 'signed_roles.dart';

/// The root that the app brought, which signs itself.
Metadata firstRoot(Uint8List bytes, Verifies verifies) {
  final root = readMetadata('root', bytes);
  requireSigned(root, 'root', root, verifies);
  return root;
}

/// The root that follows: one higher, signed as the one before demands, and as
/// it demands itself (5.3.4, 5.3.5).
Metadata nextRoot(Metadata before, Uint8List bytes, Verifies verifies) {
  final root = readMetadata('root', bytes);
  requireSigned(before, 'root', root, verifies);
  _requireVersion(root, before.version + 1);
  requireSigned(root, 'root', root, verifies);
  return root;
}

/// A timestamp that is not older than the one seen last (5.4.2, 5.4.3). The
/// same version again is the one that was seen, whatever its bytes are.
Metadata nextTimestamp(
  Metadata root,
  Metadata? before,
  Uint8List bytes,
  Verifies verifies,
) {
  final found = readMetadata('timestamp', bytes);
  requireSigned(root, 'timestamp', found, verifies);
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

/// The snapshot that the timestamp names (5.5.2 to 5.5.5).
Metadata nextSnapshot(
  Metadata root,
  Metadata timestamp,
  Metadata? before,
  Uint8List bytes,
  Verifies verifies,
) {
  final found = namedBy(root, timestamp, 'snapshot', bytes, verifies);
  final named = namedIn(found, 'targets.json');
  if (before != null) {
    _requireForward(named.version, namedIn(before, 'targets.json').version);
  }
  return found;
}

/// Metadata that the role above it names: these bytes, this version, signed.
Metadata namedBy(
  Metadata root,
  Metadata above,
  String role,
  Uint8List bytes,
  Verifies verifies,
) {
  final named = namedIn(above, '$role.json');
  requireBytes(bytes, named.length, named.sha256);
  final found = readMetadata(role, bytes);
  requireSigned(root, role, found, verifies);
  _requireVersion(found, named.version);
  return found;
}

/// What the targets promise: few of them, with plain names, which all belong
/// to one version of the pin set of this name, the file with the pins among
/// them.
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

/// Whether a name is a path that stays where it is.
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

/// The pins that were promised, from their bytes (5.7).
PinSet pinsAsPromised(Promise promise, String name, Uint8List bytes) {
  requireBytes(bytes, promise.length, promise.sha256);
  final pins = readPins(bytes);
  if (pins.name != name || pins.version != promise.version) {
    throw const PinUpdateException('content', 'it is not what was signed');
  }
  return pins;
}

/// Throws where a pin set goes back behind the one in force.
void requireFollowing(PinSet pins, PinSet current) {
  if (pins.version < current.version) {
    throw const PinUpdateException('older', 'its version was there before');
  }
  if (pins.version == current.version &&
      !samePolicies(pins.policies, current.policies)) {
    throw const PinUpdateException('changed', 'another one of this version');
  }
}

/// Throws where a pin set is further ahead than publishers go under one root.
void requireNear(PinSet pins, PinSet current) {
  if (pins.version > current.version + maxJump) {
    throw const PinUpdateException('jump', 'its version is too far ahead');
  }
}

/// When the first of these is past its date.
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
