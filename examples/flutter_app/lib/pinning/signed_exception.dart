// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// Why a signed pin set was not taken.
library;

/// An update that was not taken. The pins that are in force stay in force.
///
/// Most of these are what an attacker's work looks like, and also what a
/// mistake in publishing looks like.
final class PinUpdateException implements Exception {
  /// A refusal.
  const PinUpdateException(this.reason, this.problem);

  /// A word for programs:
  ///
  /// - `signature`: not signed by enough of the keys that may sign it
  /// - `rollback`: an older version than was seen before, or one left out
  /// - `expired`: the newest that the server shows is past its date
  /// - `mismatch`: a file is not the one that the signed metadata names
  /// - `unreadable`, `refused`: the metadata is not right
  /// - `jump`: the pin set is too far ahead of the one in force
  /// - `older`, `changed`: the pin set goes back behind the one in force
  /// - `content`: it was signed, and must not be used
  /// - `too-long`: the server sends more than such a file may have
  /// - `http`, `network`, `pins`: the server was not reached, or is not ours
  /// - `cache`, `storage`: what was stored cannot be read, or nothing written
  /// - `unexpected`: something that nobody foresaw
  final String reason;

  /// What was seen, a clause.
  final String problem;

  @override
  String toString() => 'PinUpdateException: $reason: $problem';
}
