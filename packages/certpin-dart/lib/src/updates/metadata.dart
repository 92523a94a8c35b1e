/// The value classes of signed sets. See `refresh.dart`.
library;

import 'dart:typed_data';

import '../policy.dart';

// Limits on the data of a server, in bytes and numbers. A server may send
// anything: TUF 1.0.31, 5.3.3, 5.4.1, 5.5.1, 5.6.1.
const int maxRootBytes = 262144;
const int maxTimestampBytes = 16384;
const int maxSnapshotBytes = 65536;
const int maxTargetsBytes = 524288;
const int maxPinsBytes = 4194304;
const int maxTargets = 64;

/// The maximum number of root updates in one refresh (TUF 1.0.31, 5.3.3).
const int maxRotations = 256;

/// The maximum increase of the pin set's version under one root: a thief of the
/// targets keys cannot exhaust the version numbers.
const int maxJump = 1000;

/// The signed field of a root with the name of its pin set. Other TUF tools
/// write none, and ignore it.
const String pinSetField = 'x-certpin-pin-set';

/// The target that contains the pins.
const String pinsName = 'pins.json';

/// The parsed metadata of a role, untrusted until its signatures are verified.
final class Metadata {
  const Metadata(
    this.role,
    this.version,
    this.expires,
    this.signed,
    this.message,
    this.signatures,
    this.bytes,
  );

  final String role;
  final int version;

  /// The time of expiry.
  final DateTime expires;

  /// The signed part. [message] has its canonical bytes, to which the
  /// signatures apply.
  final Map<String, Object?> signed;
  final Uint8List message;

  /// Signatures in DER, by key id.
  final Map<String, Uint8List> signatures;

  /// The whole file, as it was fetched or stored.
  final Uint8List bytes;
}

/// The reference to a metadata file in another one: its version, its length in
/// bytes and its SHA-256 in hexadecimal. A length or digest of `null` is not
/// checked.
final class Named {
  const Named(this.version, this.length, this.sha256);

  final int version;
  final int? length;
  final String? sha256;
}

/// The pin set that signed targets metadata announces: its version, and the
/// length and SHA-256 of its file.
final class Promise {
  const Promise(this.version, this.length, this.sha256, this.until);

  /// The version of the pin set.
  final int version;
  final int length;
  final String sha256;

  /// The earliest expiry of root, timestamp, snapshot and targets.
  final DateTime until;
}

/// A verified pin set, with the metadata files by which it was verified.
final class SignedSet {
  const SignedSet(
    this.pins,
    this.promise,
    this.root,
    this.timestamp,
    this.snapshot,
    this.targets,
    this.bytes,
    this.superseded,
  );

  final PinSet pins;
  final Promise promise;

  /// The version of the root under which it was verified.
  final int root;
  final Uint8List timestamp;
  final Uint8List snapshot;
  final Uint8List targets;

  /// The file with the pins.
  final Uint8List bytes;

  /// Whether the newest root has replaced keys that signed it. It stays in
  /// force until a newer set was fetched.
  final bool superseded;
}

/// The verified state of this app. It never goes back.
final class Trust {
  Trust(
    this.bundled,
    this.roots,
    this.timestamp,
    this.snapshot,
    this.targets,
    this.good,
  );

  /// The pins in the app.
  final PinSet bundled;

  /// The root in the app and its verified successors, in order.
  final List<Metadata> roots;

  /// The last metadata that was verified under the newest root. New metadata
  /// must not have a lower version. `null`: none yet.
  Metadata? timestamp;
  Metadata? snapshot;
  Metadata? targets;

  /// The newest valid set; `null` before the first fetch.
  SignedSet? good;
}

/// A file to fetch: its path below the URL, its maximum size in bytes, and
/// whether it may be missing.
final class Wanted {
  const Wanted(this.path, this.limit, this.mayMiss);

  final String path;
  final int limit;
  final bool mayMiss;
}

/// The state of a refresh: the fetching of a newer pin set, file by file.
final class Refresh {
  Refresh(this.trust, this.phase, this.followed, this.promise);

  final Trust trust;

  /// The next file: `root`, `timestamp`, `snapshot`, `targets` or `pins`;
  /// `done` at the end.
  String phase;

  /// The number of root updates so far.
  int followed;

  /// The announced pins, once the targets are known.
  Promise? promise;
}
