/// Pinned sockets, for protocols other than HTTP.
library;

import 'dart:io';

import 'client_certificate.dart';
import 'pinned_http_client.dart';
import 'platform_io.dart' if (dart.library.js_interop) 'platform_web.dart';
import 'policy.dart';
import 'report.dart';

/// Opens TLS connections whose pins were compared, for code that uses a
/// [SecureSocket]: databases, MQTT, SMTP.
///
/// Each method returns a [SecureSocket] after the platform has verified chain,
/// name and dates, and the key is pinned. Otherwise the connection is closed,
/// and a `ConnectionException` thrown: a timeout or a lost connection is a
/// `NetworkException`, never a refusal. There is no `onBadCertificate`, no
/// `SecurityContext` and no `keyLog`, which would lead around the pins.
///
/// It never uses a proxy, not even one of the environment: to go through one,
/// open the tunnel, and start TLS on it with [secure].
///
/// In all of them, [PinSet] `pins` must have a policy for the host;
/// `supportedProtocols` are offered with ALPN; `clientCertificate` is for
/// servers that request one; `onFailure`, `reports` and `app` are as in
/// [PinnedHttpClient]; `now` is the clock, for tests.
abstract final class PinnedSecureSocket {
  /// Connects to [host], a [String] or an [InternetAddress], as
  /// [SecureSocket.connect] does. Of an address, `InternetAddress.host` is the
  /// name that is verified and pinned.
  ///
  /// [timeout] limits TCP, TLS and the check together. The socket of a server
  /// that never ends its handshake stays open until the server closes it.
  static Future<SecureSocket> connect(
    Object host,
    int port, {
    required PinSet pins,
    List<String>? supportedProtocols,
    Duration? timeout,
    ClientCertificate? clientCertificate,
    void Function(PinFailure failure)? onFailure,
    bool reports = true,
    ReportedApp app = const ReportedApp(),
    DateTime Function() now = DateTime.now,
  }) async {
    final task = await startConnect(
      host,
      port,
      pins: pins,
      supportedProtocols: supportedProtocols,
      timeout: timeout,
      clientCertificate: clientCertificate,
      onFailure: onFailure,
      reports: reports,
      app: app,
      now: now,
    );
    return task.socket;
  }

  /// Like [connect], but returns a task that can be cancelled, as
  /// [SecureSocket.startConnect] does. Its socket then fails with a
  /// `NetworkException` at once.
  ///
  /// `dart:io` cannot interrupt a handshake that has begun: such a socket is
  /// closed when the handshake ends.
  static Future<ConnectionTask<SecureSocket>> startConnect(
    Object host,
    int port, {
    required PinSet pins,
    List<String>? supportedProtocols,
    Duration? timeout,
    ClientCertificate? clientCertificate,
    void Function(PinFailure failure)? onFailure,
    bool reports = true,
    ReportedApp app = const ReportedApp(),
    DateTime Function() now = DateTime.now,
  }) async {
    requireSockets('PinnedSecureSocket');
    final connector = reportingConnector(
      pins,
      clientCertificate: clientCertificate,
      timeout: timeout,
      onFailure: onFailure,
      reports: reports,
      app: app,
      now: now,
    );
    return connector.connect(
      _nameOf(host),
      port,
      address: host is InternetAddress ? host : null,
      protocols: supportedProtocols,
    );
  }

  /// Starts TLS on a connection, as [SecureSocket.secure] does: after STARTTLS
  /// or an equivalent (PostgreSQL, SMTP, MQTT over a tunnel), or in a tunnel
  /// that other code has opened with CONNECT.
  ///
  /// [host] is the name of the server, which is verified and pinned. A
  /// subscription to [socket] must be paused before, and is not used
  /// afterwards. The socket is closed if the server is refused. The debug
  /// override doesn't apply, because it needs a second connection.
  static Future<SecureSocket> secure(
    Socket socket, {
    required Object host,
    required PinSet pins,
    List<String>? supportedProtocols,
    Duration? timeout,
    ClientCertificate? clientCertificate,
    void Function(PinFailure failure)? onFailure,
    bool reports = true,
    ReportedApp app = const ReportedApp(),
    DateTime Function() now = DateTime.now,
  }) async {
    requireSockets('PinnedSecureSocket');
    final connector = reportingConnector(
      pins,
      clientCertificate: clientCertificate,
      timeout: timeout,
      onFailure: onFailure,
      reports: reports,
      app: app,
      now: now,
    );
    return connector.secure(
      socket,
      _nameOf(host),
      protocols: supportedProtocols,
    );
  }
}

String _nameOf(Object host) => switch (host) {
      final String name => name,
      final InternetAddress address => address.host,
      _ => throw ArgumentError.value(
          host,
          'host',
          'not a String or an InternetAddress',
        ),
    };
