/// A refresh: which file to fetch next, and how to process it.
///
/// This file does no I/O. The caller gets the next file from [wanted], fetches
/// it, and passes it to [take], until the phase is `done`:
///
/// 1. the successors of the newest known root, until one is missing
/// 2. the timestamp, which must not be older than the last one
/// 3. the snapshot named by the timestamp, and the targets named by that
/// 4. the pins named by the targets, unless they are known
///
/// Verified metadata is stored in `Trust` immediately, so that a rollback is
/// detected even after an incomplete refresh. Only the last step changes pins.
library;

import 'dart:typed_data';

import '../policy.dart';
import 'exception.dart';
import 'keys.dart';
import 'metadata.dart';
import 'roles.dart';
import 'trust.dart';

/// Returns a refresh before its first step.
Refresh refreshOf(Trust trust) {
  return Refresh(trust, 'root', 0, null);
}

/// Returns the current pins: the newest valid set, or those of the app if the
/// app is newer.
PinSet pinsInForce(Trust trust) {
  final good = trust.good;
  if (good == null || good.pins.version < trust.bundled.version) {
    return trust.bundled;
  }
  return good.pins;
}

/// Whether the current pins are known to be the newest: fetched, signed by
/// current keys, and without expired metadata.
bool isNewest(Trust trust, DateTime now) {
  final good = trust.good;
  if (good == null || good.pins.version < trust.bundled.version) {
    return false;
  }
  return !good.superseded && now.isBefore(good.promise.until);
}

/// Returns the next file to fetch. Don't call it when the phase is `done`.
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

/// Processes the fetched file; `null` if an optional file is missing.
///
/// Throws a [PinUpdateException], which ends the refresh.
void take(
  Refresh refresh,
  Uint8List? bytes,
  DateTime now,
  SignatureVerifier verifier,
) {
  final trust = refresh.trust;
  if (refresh.phase == 'root') {
    _takeRoot(refresh, bytes, now, verifier);
    return;
  }
  if (bytes == null) {
    throw const PinUpdateException('http', 'the file is not there');
  }
  final root = trust.roots.last;
  if (refresh.phase == 'timestamp') {
    final found = nextTimestamp(root, trust.timestamp, bytes, verifier);
    requireInDate(found, now);
    trust.timestamp = found;
    refresh.phase = 'snapshot';
    return;
  }
  if (refresh.phase == 'snapshot') {
    _takeSnapshot(refresh, bytes, now, verifier);
    return;
  }
  if (refresh.phase == 'targets') {
    _takeTargets(refresh, bytes, now, verifier);
    return;
  }
  _takePins(refresh, bytes, verifier);
}

void _takeRoot(
  Refresh refresh,
  Uint8List? bytes,
  DateTime now,
  SignatureVerifier verifier,
) {
  final trust = refresh.trust;
  if (bytes != null) {
    final name = trust.bundled.name;
    trust.roots.add(nextRoot(trust.roots.last, bytes, name, verifier));
    refresh.followed += 1;
  }
  if (bytes == null || refresh.followed >= maxRotations) {
    requireInDate(trust.roots.last, now);
    dropReplaced(trust, verifier);
    refresh.phase = 'timestamp';
  }
}

/// Drops metadata that the newest root does not authorise (TUF 1.0.31, 5.3.11),
/// because a thief of the old keys could have signed the highest version.
void dropReplaced(Trust trust, SignatureVerifier verifier) {
  final root = trust.roots.last;
  trust.timestamp = _vouchedFor(root, trust.timestamp, verifier);
  trust.snapshot = _vouchedFor(root, trust.snapshot, verifier);
  trust.targets = _vouchedFor(root, trust.targets, verifier);
}

Metadata? _vouchedFor(
  Metadata root,
  Metadata? found,
  SignatureVerifier verifier,
) {
  if (found == null) {
    return null;
  }
  try {
    requireSigned(root, found.role, found, verifier);
  } on PinUpdateException {
    return null;
  }
  return found;
}

void _takeSnapshot(
  Refresh refresh,
  Uint8List bytes,
  DateTime now,
  SignatureVerifier verifier,
) {
  final trust = refresh.trust;
  final timestamp = trust.timestamp;
  if (timestamp == null) {
    throw const PinUpdateException('unexpected', 'there is no timestamp');
  }
  final before = trust.snapshot;
  final root = trust.roots.last;
  final found = nextSnapshot(root, timestamp, before, bytes, verifier);
  requireInDate(found, now);
  trust.snapshot = found;
  refresh.phase = 'targets';
}

void _takeTargets(
  Refresh refresh,
  Uint8List bytes,
  DateTime now,
  SignatureVerifier verifier,
) {
  final trust = refresh.trust;
  final timestamp = trust.timestamp;
  final snapshot = trust.snapshot;
  if (timestamp == null || snapshot == null) {
    throw const PinUpdateException('unexpected', 'there is no snapshot');
  }
  final root = trust.roots.last;
  final found = namedBy(root, snapshot, 'targets', bytes, verifier);
  requireInDate(found, now);
  trust.targets = found;
  final until = firstEnd([root, timestamp, snapshot, found]);
  final promise = promiseIn(found, trust.bundled.name, until);
  refresh.promise = promise;
  refresh.phase = 'pins';
  final good = trust.good;
  if (good != null && good.promise.sha256 == promise.sha256) {
    _takePins(refresh, good.bytes, verifier);
  }
}

/// Returns the pins with the lowest acceptable version: the current ones, or
/// those of the app if the newest root has replaced the targets keys. A thief
/// of the old keys could have signed the highest version (TUF 1.0.31, 5.3.11).
PinSet lowestPins(Trust trust, SignatureVerifier verifier) {
  final good = trust.good;
  if (good == null) {
    return trust.bundled;
  }
  final signed = readMetadata('targets', good.targets);
  if (_vouchedFor(trust.roots.last, signed, verifier) == null) {
    return trust.bundled;
  }
  return pinsInForce(trust);
}

/// Whether the current pins were verified under the newest root. Only then is
/// the step to the next version limited ([maxJump]).
bool isUnderNewestRoot(Trust trust) {
  final good = trust.good;
  final root = good == null ? trust.roots.first.version : good.root;
  return root == trust.roots.last.version;
}

void _takePins(Refresh refresh, Uint8List bytes, SignatureVerifier verifier) {
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
  requireFollowing(pins, lowestPins(trust, verifier));
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
