// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// One refresh: which file is wanted next, and what follows from it.
///
/// There is no network in here. Whoever drives it asks [wanted], fetches that
/// file, and gives it to [take], until the phase is `done`:
///
/// 1. the roots that follow the newest one known, until one is missing
/// 2. the timestamp, which is not older than the last
/// 3. the snapshot that it names, and the targets that that names
/// 4. the pins that the targets name, unless they are known
///
/// What was verified is kept in its `Trust` at once: rollbacks are seen after a
/// refresh that failed half-way too. Pins change in the last step alone.
library;

import 'dart:typed_data';

import 'policy.dart';
import 'signed_exception.dart';
import 'signed_keys.dart';
import 'signed_metadata.dart';
import 'signed_roles.dart';
import 'signed_trust.dart';

/// A refresh that has not begun.
Refresh refreshOf(Trust trust) {
  return Refresh(trust, 'root', 0, null);
}

/// The pins in force: the newest set that was good, or those of the app, where
/// the app is newer.
PinSet pinsInForce(Trust trust) {
  final good = trust.good;
  if (good == null || good.pins.version < trust.bundled.version) {
    return trust.bundled;
  }
  return good.pins;
}

/// Whether the pins in force are known to be the newest: they were fetched, by
/// keys that hold, and nothing that vouches for them is past its date.
bool isNewest(Trust trust, DateTime now) {
  final good = trust.good;
  if (good == null || good.pins.version < trust.bundled.version) {
    return false;
  }
  return !good.superseded && now.isBefore(good.promise.until);
}

/// The file that comes next.
Wanted wanted(Refresh refresh) {
  final trust = refresh.trust;
  final timestamp = trust.timestamp;
  final snapshot = trust.snapshot;
  final promise = refresh.promise;
  if (refresh.phase == 'root') {
    final next = trust.roots.last.version + 1;
    return Wanted('metadata/$next.root.json', maxRootBytes, true);
  }
  if (refresh.phase == 'snapshot' && timestamp != null) {
    return _named(timestamp, 'snapshot', maxSnapshotBytes);
  }
  if (refresh.phase == 'targets' && snapshot != null) {
    return _named(snapshot, 'targets', maxTargetsBytes);
  }
  if (refresh.phase == 'pins' && promise != null) {
    final digest = promise.sha256;
    return Wanted('targets/$digest.$pinsName', promise.length, false);
  }
  return const Wanted('metadata/timestamp.json', maxTimestampBytes, false);
}

Wanted _named(Metadata above, String role, int most) {
  final named = namedIn(above, '$role.json');
  final version = named.version;
  final length = named.length;
  var limit = most;
  if (length != null && length < most) {
    limit = length;
  }
  return Wanted('metadata/$version.$role.json', limit, false);
}

/// Takes the file that was wanted; `null` where it may be missing and is.
///
/// Throws a [PinUpdateException]: then the refresh is over.
void take(Refresh refresh, Uint8List? bytes, DateTime now, Verifies verifies) {
  final trust = refresh.trust;
  if (refresh.phase == 'root') {
    _takeRoot(refresh, bytes, now, verifies);
    return;
  }
  if (bytes == null) {
    throw const PinUpdateException('http', 'the file is not there');
  }
  final root = trust.roots.last;
  if (refresh.phase == 'timestamp') {
    final found = nextTimestamp(root, trust.timestamp, bytes, verifies);
    requireInDate(found, now);
    trust.timestamp = found;
    refresh.phase = 'snapshot';
    return;
  }
  if (refresh.phase == 'snapshot') {
    _takeSnapshot(refresh, bytes, now, verifies);
    return;
  }
  if (refresh.phase == 'targets') {
    _takeTargets(refresh, bytes, now, verifies);
    return;
  }
  _takePins(refresh, bytes, verifies);
}

void _takeRoot(
  Refresh refresh,
  Uint8List? bytes,
  DateTime now,
  Verifies verifies,
) {
  final trust = refresh.trust;
  if (bytes != null) {
    trust.roots.add(nextRoot(trust.roots.last, bytes, verifies));
    refresh.followed += 1;
  }
  if (bytes == null || refresh.followed >= maxRotations) {
    requireInDate(trust.roots.last, now);
    dropReplaced(trust, verifies);
    refresh.phase = 'timestamp';
  }
}

/// Forgets what the newest root does not vouch for (TUF 1.0.31, 5.3.11): who
/// had the old keys may have signed the highest of all versions.
void dropReplaced(Trust trust, Verifies verifies) {
  final root = trust.roots.last;
  trust.timestamp = _vouchedFor(root, trust.timestamp, verifies);
  trust.snapshot = _vouchedFor(root, trust.snapshot, verifies);
  trust.targets = _vouchedFor(root, trust.targets, verifies);
}

Metadata? _vouchedFor(Metadata root, Metadata? found, Verifies verifies) {
  if (found == null) {
    return null;
  }
  try {
    requireSigned(root, found.role, found, verifies);
  } on PinUpdateException {
    return null;
  }
  return found;
}

void _takeSnapshot(
  Refresh refresh,
  Uint8List bytes,
  DateTime now,
  Verifies verifies,
) {
  final trust = refresh.trust;
  final timestamp = trust.timestamp;
  if (timestamp == null) {
    throw const PinUpdateException('unexpected', 'there is no timestamp');
  }
  final before = trust.snapshot;
  final root = trust.roots.last;
  final found = nextSnapshot(root, timestamp, before, bytes, verifies);
  requireInDate(found, now);
  trust.snapshot = found;
  refresh.phase = 'targets';
}

void _takeTargets(
  Refresh refresh,
  Uint8List bytes,
  DateTime now,
  Verifies verifies,
) {
  final trust = refresh.trust;
  final timestamp = trust.timestamp;
  final snapshot = trust.snapshot;
  if (timestamp == null || snapshot == null) {
    throw const PinUpdateException('unexpected', 'there is no snapshot');
  }
  final root = trust.roots.last;
  final found = namedBy(root, snapshot, 'targets', bytes, verifies);
  requireInDate(found, now);
  trust.targets = found;
  final until = firstEnd([root, timestamp, snapshot, found]);
  final promise = promiseIn(found, trust.bundled.name, until);
  refresh.promise = promise;
  refresh.phase = 'pins';
  final good = trust.good;
  if (good != null && good.promise.sha256 == promise.sha256) {
    _takePins(refresh, good.bytes, verifies);
  }
}

/// The pins that the next set must not go back behind: those in force, unless
/// the newest root has replaced the targets keys that signed them. Whoever has
/// those keys may have signed the highest of all versions (TUF 1.0.31, 5.3.11).
/// Then the pins that the app brought are the lowest.
PinSet lowestPins(Trust trust, Verifies verifies) {
  final good = trust.good;
  if (good == null) {
    return trust.bundled;
  }
  final signed = readMetadata('targets', good.targets);
  if (_vouchedFor(trust.roots.last, signed, verifies) == null) {
    return trust.bundled;
  }
  return pinsInForce(trust);
}

/// Whether the pins in force came under the newest root.
bool isUnderNewestRoot(Trust trust) {
  final good = trust.good;
  final root = good == null ? trust.roots.first.version : good.root;
  return root == trust.roots.last.version;
}

void _takePins(Refresh refresh, Uint8List bytes, Verifies verifies) {
  final trust = refresh.trust;
  final timestamp = trust.timestamp;
  final snapshot = trust.snapshot;
  final targets = trust.targets;
  final promise = refresh.promise;
  if (promise == null ||
      timestamp == null ||
      snapshot == null ||
      targets == null) {
    throw const PinUpdateException('unexpected', 'nothing was promised');
  }
  final pins = pinsAsPromised(promise, trust.bundled.name, bytes);
  requireFollowing(pins, lowestPins(trust, verifies));
  if (isUnderNewestRoot(trust)) {
    requireNear(pins, pinsInForce(trust));
  }
  trust.good = SignedSet(
    pins,
    promise,
    trust.roots.last.version,
    timestamp.bytes,
    snapshot.bytes,
    targets.bytes,
    bytes,
    false,
  );
  refresh.phase = 'done';
}
