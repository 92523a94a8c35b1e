/// The reason why a signed pin set was refused.
library;

/// An update was refused. The current pins stay in force.
///
/// Most of these reasons can be caused by an attacker, but also by a mistake in
/// publishing.
final class PinUpdateException implements Exception {
  /// Creates a refusal.
  const PinUpdateException(this.reason, this.problem);

  /// The reason, for programs:
  ///
  /// - `signature`: not signed by enough of the keys that may sign it
  /// - `rollback`: a version is older than one seen before, or was skipped
  /// - `expired`: the newest metadata of the server has expired
  /// - `mismatch`: a file differs from the signed metadata
  /// - `unreadable`, `refused`: the metadata is invalid
  /// - `jump`: the version of the pin set is too far above the current one
  /// - `older`, `changed`: the pin set is older than the current one, or has
  ///   other pins in the same version
  /// - `content`: the pin set is signed, but must not be used
  /// - `too-long`: the server sends more than the maximum size
  /// - `http`, `network`, `pins`: the server was not reached, or is not pinned
  /// - `cache`: the stored state is damaged
  /// - `storage`: the stored state cannot be read or written
  /// - `unexpected`: an unforeseen error
  final String reason;

  /// The problem, as a clause for a log.
  final String problem;

  @override
  String toString() => 'PinUpdateException: $reason: $problem';
}
