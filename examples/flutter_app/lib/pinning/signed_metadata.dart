// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// What signed sets are made of: plain values. See `signed_refresh.dart`.
library;

import 'dart:typed_data';

import 'policy.dart';

// What is taken from a server before it is refused, in bytes and numbers. A
// server may send anything: TUF 1.0.31, 5.3.3, 5.4.1, 5.5.1, 5.6.1.
const int maxRootBytes = 262144;
const int maxTimestampBytes = 16384;
const int maxSnapshotBytes = 65536;
const int maxTargetsBytes = 524288;
const int maxPinsBytes = 4194304;
const int maxTargets = 64;

/// Roots that are followed in one refresh (TUF 1.0.31, 5.3.3).
const int maxRotations = 256;

/// Versions that a pin set may be ahead of the one in force, under one root: a
/// thief of the targets keys cannot use up all numbers.
const int maxJump = 1000;

/// The file among the targets that holds the pins.
const String pinsName = 'pins.json';

/// The metadata of a role: read, and not believed before its signatures are.
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

  /// The first moment at which it no longer holds.
  final DateTime expires;

  /// The part that is signed, and its bytes as they are signed.
  final Map<String, Object?> signed;
  final Uint8List message;

  /// Signatures in DER, by the id of a key.
  final Map<String, Uint8List> signatures;

  /// The file.
  final Uint8List bytes;
}

/// A file as the metadata above it names it. `null`: not said.
final class Named {
  const Named(this.version, this.length, this.sha256);

  final int version;
  final int? length;
  final String? sha256;
}

/// What signed metadata says that the pins are.
final class Promise {
  const Promise(this.version, this.length, this.sha256, this.until);

  /// The version of the pin set.
  final int version;
  final int length;
  final String sha256;

  /// When the first of the four roles is past its date.
  final DateTime until;
}

/// A pin set, and all that vouches for it.
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

  /// The version of the root that it was good under.
  final int root;
  final Uint8List timestamp;
  final Uint8List snapshot;
  final Uint8List targets;

  /// The file with the pins.
  final Uint8List bytes;

  /// The keys that signed it were replaced since.
  final bool superseded;
}

/// What this app saw. It goes forward only.
final class Trust {
  Trust(
    this.bundled,
    this.roots,
    this.timestamp,
    this.snapshot,
    this.targets,
    this.good,
  );

  /// The pins that the app brought.
  final PinSet bundled;

  /// The root that the app brought, and those that follow.
  final List<Metadata> roots;

  /// What was seen last, under the newest root.
  Metadata? timestamp;
  Metadata? snapshot;
  Metadata? targets;

  /// The newest set that was good; `null` where none was fetched yet.
  SignedSet? good;
}

/// A file that is to be fetched: its path below the address, the most bytes
/// that it may have, and whether it may be missing.
final class Wanted {
  const Wanted(this.path, this.limit, this.mayMiss);

  final String path;
  final int limit;
  final bool mayMiss;
}

/// Where a refresh stands.
final class Refresh {
  Refresh(this.trust, this.phase, this.followed, this.promise);

  final Trust trust;

  /// `root`, `timestamp`, `snapshot`, `targets`, `pins` or `done`.
  String phase;

  /// How many roots it has followed.
  int followed;

  /// What the pins must be, once the targets are known.
  Promise? promise;
}
