/// The reasons why a connection failed, distinguished by type.
library;

import 'dart:async';
import 'dart:io';

/// The base class of the exceptions of failed connections.
///
///     ConnectionException (IOException)
///     ├── PinMismatchException        verified, but not a pinned key
///     ├── PinSetExpiredException      the pins have expired
///     ├── UnpinnedRequestException    http://, a host without policy
///     ├── TlsHandshakeException       TLS failed, or the chain does not verify
///     └── NetworkException            no route, refused, timed out, lost
///
/// Retry only after the last one. Match on the type with `switch`, and unwrap
/// the exception of a package with [ConnectionException.of].
sealed class ConnectionException implements IOException {
  /// Creates an exception about a connection to [host].
  const ConnectionException(this.host);

  /// Converts an error of `dart:io` or of a package. Returns `null` if it is
  /// unrelated to the connection. [host] is used if the error has none.
  ///
  /// A timeout or a lost connection is a [NetworkException], also during the
  /// handshake. For dio pass the `error` of its `DioException`.
  static ConnectionException? of(Object? error, {String host = ''}) {
    return switch (error) {
      final ConnectionException found => found,
      final TlsException found when _isLost(found) =>
        NetworkException(found.message, host: host, osError: found.osError),
      final TlsException found => TlsHandshakeException.from(found, host: host),
      final SocketException found => NetworkException.from(found, host: host),
      RedirectException _ => null, // The server answered.
      final HttpException found => NetworkException(found.message, host: host),
      final TimeoutException found =>
        NetworkException('timed out after ${found.duration}', host: host),
      _ => null,
    };
  }

  /// The host of the request; empty if it is not known.
  final String host;

  /// A sentence in English for the user of the app. For other languages, choose
  /// a sentence by the type of the exception.
  String get userMessage;

  /// The details for a log. They contain hosts and digests, but no secrets.
  String get logMessage;

  /// Whether the same request can succeed later.
  bool get mayRetry => false;

  @override
  String toString() => logMessage;
}

/// The server's certificate is valid, but its key is not pinned, or is marked
/// compromised.
///
/// Either the server changed its key before the apps had the new pin, or this
/// is an attack. Never continue, and never let the user continue.
final class PinMismatchException extends ConnectionException {
  /// A refusal.
  const PinMismatchException(
    super.host, {
    required this.presented,
    required this.pinned,
    required this.pinSet,
    this.isCompromised = false,
  });

  /// Whether the server's key is marked compromised. Other pins are then
  /// ignored.
  final bool isCompromised;

  /// The pins of the certificate that the server presented.
  final List<String> presented;

  /// The accepted pins.
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

/// The pins of the host have expired, and the policy fails closed.
final class PinSetExpiredException extends ConnectionException {
  /// A refusal.
  const PinSetExpiredException(
    super.host, {
    required this.expired,
    required this.pinSet,
  });

  /// The expiry date, as written in the policy.
  final String expired;

  /// Name and version of the pin set.
  final String pinSet;

  @override
  String get userMessage => 'This version of the app is too old. Update it.';

  @override
  String get logMessage =>
      '$host refused: its pins held until $expired. Pin set: $pinSet';
}

/// The connection would have no pin check: `http://`, a host without a policy,
/// a proxy of an unsupported kind.
final class UnpinnedRequestException extends ConnectionException {
  /// Creates a refusal. [problem] is a clause.
  const UnpinnedRequestException(super.host, this.problem);

  /// Why the request would have no pin check, as a clause.
  final String problem;

  @override
  String get userMessage => 'This address is not part of the app.';

  @override
  String get logMessage => '$host refused: $problem';
}

/// TLS failed before the pins were compared.
///
/// The chain does not end at a trusted root, the name does not match, the
/// certificate has expired, or there is no common protocol version. With
/// `trust` anchors, a man in the middle causes this exception.
final class TlsHandshakeException extends ConnectionException
    implements HandshakeException {
  /// A failure with the words of the platform.
  const TlsHandshakeException(super.host, this.message, [this.osError]);

  /// Converts the failure of a handshake with [host].
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
  String get logMessage => '$host: TLS failed: $message ${osError ?? ''}'
      .replaceAll(RegExp(r'\s+'), ' ') // BoringSSL's texts have several lines.
      .trim();
}

/// A failure of the network or of a proxy: no certificate was checked.
final class NetworkException extends ConnectionException
    implements SocketException {
  /// A failure with the words of the platform.
  const NetworkException(
    this.message, {
    String host = '',
    this.osError,
    this.address,
    this.port,
    this.proxyStatus,
  }) : super(host);

  /// Converts the failure of a socket to [host].
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

  /// The status with which a proxy refused the connection, such as 407 if it
  /// requires credentials. `null` if no proxy did.
  final int? proxyStatus;

  /// False if a proxy refused with a status of 4xx: it would refuse again.
  @override
  bool get mayRetry => proxyStatus == null || proxyStatus! ~/ 100 != 4;

  @override
  String get userMessage => 'There is no connection. Try again in a while.';

  @override
  String get logMessage => '$host: $message ${osError ?? ''}'.trim();
}

/// Whether a handshake ended because the connection was lost. `dart:io` has no
/// type for that, and the errors of BoringSSL have no code of the system.
bool _isLost(TlsException error) {
  final code = error.osError?.errorCode;
  return code == null
      ? error.message == 'Connection terminated during handshake'
      : 0 < code && code < _firstTlsCode;
}

// Codes of the system are small: 104 is ECONNRESET on Linux, 10054 on Windows.
// Those of BoringSSL have the number of the library in their highest byte.
const int _firstTlsCode = 65536;
