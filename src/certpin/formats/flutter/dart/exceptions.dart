// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// Why there was no connection: told apart by type, never by a message.
library;

import 'dart:async';
import 'dart:io';

/// The root of the tree.
///
///     ConnectionException (IOException)
///     ├── PinMismatchException        verified, but not a pinned key
///     ├── PinSetExpiredException      the pins are past their date
///     ├── UnpinnedRequestException    http://, a host without policy, a proxy
///     ├── TlsHandshakeException       TLS failed, or the chain does not verify
///     └── NetworkException            no route, refused, timed out, broken off
///
/// Only the last one is worth another try. Match on the type with `switch`, and
/// find it inside what a package raised with [ConnectionException.of].
sealed class ConnectionException implements IOException {
  const ConnectionException(this.host);

  /// What was wrong, from whatever `dart:io` or a package raised. `null` where
  /// it has nothing to do with the connection.
  ///
  /// For dio and `package:http` use `connectionFailure`, in the files of their
  /// names: they look inside the wrapping too.
  static ConnectionException? of(Object? error) {
    return switch (error) {
      final ConnectionException found => found,
      final TlsException found => TlsHandshakeException.from(found),
      final SocketException found => NetworkException.from(found),
      final HttpException found => NetworkException(found.message),
      final TimeoutException found =>
        NetworkException('timed out after ${found.duration}'),
      _ => null,
    };
  }

  /// The host that was called; empty where it is not known.
  final String host;

  /// A sentence for whoever uses the app. Translate by type.
  String get userMessage;

  /// The story for a log. It holds hosts and digests, and no secret.
  String get logMessage;

  /// Whether the same call may work in a while.
  bool get mayRetry => false;

  @override
  String toString() => logMessage;
}

/// The server's certificate is valid, and its key is not one of the pinned
/// ones, or is marked compromised.
///
/// Either the server's key was changed before the apps knew the new one, or
/// somebody stands between. Never go on, never offer to.
final class PinMismatchException extends ConnectionException {
  /// A refusal.
  const PinMismatchException(
    super.host, {
    required this.presented,
    required this.pinned,
    required this.pinSet,
    this.isCompromised = false,
  });

  /// Whether the server's key is marked compromised. No other pin counts then.
  final bool isCompromised;

  /// The pins of the certificate that the server presented.
  final List<String> presented;

  /// The pins that would have been accepted.
  final List<String> pinned;

  /// Name and version of the pin set.
  final String pinSet;

  @override
  String get userMessage =>
      'The connection is not safe, and was not used. Try another network. '
      'If it stays, contact us.';

  @override
  String get logMessage => '$host refused: its key is '
      '${isCompromised ? 'marked compromised' : 'not pinned'}. '
      'Presented: ${presented.join(', ')}. Pinned: ${pinned.join(', ')}. '
      'Pin set: $pinSet';
}

/// The pins of the host are past their date, and the policy fails closed.
final class PinSetExpiredException extends ConnectionException {
  /// A refusal.
  const PinSetExpiredException(
    super.host, {
    required this.expired,
    required this.pinSet,
  });

  /// The date, as it stands in the policy.
  final String expired;

  /// Name and version of the pin set.
  final String pinSet;

  @override
  String get userMessage => 'This version of the app is too old. Update it.';

  @override
  String get logMessage =>
      '$host refused: its pins held until $expired. Pin set: $pinSet';
}

/// The request would go where no pin is checked.
final class UnpinnedRequestException extends ConnectionException {
  /// A refusal. [problem] is a clause.
  const UnpinnedRequestException(super.host, this.problem);

  /// What is wrong with the request.
  final String problem;

  @override
  String get userMessage => 'This address is not part of the app.';

  @override
  String get logMessage => '$host refused: $problem';
}

/// TLS failed before there was anything to compare a pin with.
///
/// The chain does not end at a trusted root, the name is another, the
/// certificate is past its date, or the two sides have no version in common.
/// With `trust` anchors, this is what a man in the middle looks like.
final class TlsHandshakeException extends ConnectionException
    implements HandshakeException {
  /// A failure with the words of the platform.
  const TlsHandshakeException(super.host, this.message, [this.osError]);

  /// The failure of a handshake with [host].
  TlsHandshakeException.from(TlsException error, {String host = ''})
      : this(host, error.message, error.osError);

  @override
  final String message;

  @override
  final OSError? osError;

  @override
  String get type => 'TlsHandshakeException';

  @override
  String get userMessage =>
      'A safe connection could not be made. Check the date of this device, '
      'or try another network.';

  @override
  String get logMessage =>
      '$host: TLS failed: $message ${osError ?? ''}'.trim();
}

/// The network: nothing was decided about any certificate.
final class NetworkException extends ConnectionException
    implements SocketException {
  /// A failure with the words of the platform.
  const NetworkException(
    this.message, {
    String host = '',
    this.osError,
    this.address,
    this.port,
  }) : super(host);

  /// The failure of a socket to [host].
  NetworkException.from(SocketException error, {String host = ''})
      : this(
          error.message,
          host: host,
          osError: error.osError,
          address: error.address,
          port: error.port,
        );

  @override
  final String message;

  @override
  final OSError? osError;

  @override
  final InternetAddress? address;

  @override
  final int? port;

  @override
  bool get mayRetry => true;

  @override
  String get userMessage => 'There is no connection. Try again in a while.';

  @override
  String get logMessage => '$host: $message ${osError ?? ''}'.trim();
}
