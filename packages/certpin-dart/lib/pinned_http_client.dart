// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// An `HttpClient` that pins every connection.
library;

import 'dart:developer' as developer;
import 'dart:io';

import 'check.dart';
import 'connector.dart';
import 'debug.dart';
import 'hosts.dart';
import 'policy.dart';
import 'report.dart';

export 'connector.dart' show ClientCertificate;

/// An [HttpClient] that checks the pins of every connection, before the first
/// byte of a request is sent.
///
/// The platform first verifies chain, name and dates. Hosts without a policy,
/// `http://` and proxies are refused. Setters that would disable the check
/// ([badCertificateCallback], [connectionFactory], [findProxy]) throw an
/// [UnsupportedError]. `HttpOverrides` of other code do not affect it.
///
/// Create one for the app, and keep it: it reuses its connections, each of
/// which was checked when it was opened.
final class PinnedHttpClient implements HttpClient {
  /// Creates a client for [pins].
  ///
  /// [onFailure] is called for each refusal by a pin, and for each failure in
  /// report mode; the default logs it. If [reports] is true, failures are sent
  /// to the URLs of `report_to`, with the name [app]. [now] is the clock, for
  /// tests.
  ///
  /// [clientCertificate] is sent to every server of the app that requests one,
  /// but not to report collectors. The handshake sends it before the server's
  /// key is compared with the pins, but after `trust` was checked. Set `trust`
  /// for such a host, so that a rogue authority cannot see the certificate.
  PinnedHttpClient(
    this.pins, {
    void Function(PinFailure failure)? onFailure,
    bool reports = true,
    ReportedApp app = const ReportedApp(),
    ClientCertificate? clientCertificate,
    DateTime Function() now = DateTime.now,
  }) {
    final reporter =
        reports && !debugOverride ? Reporter(_clientForReports, app) : null;
    final check = PinCheck(
      pins,
      now: now,
      onFailure: (failure) {
        reporter?.tell(failure);
        (onFailure ?? _log)(failure);
      },
    );
    _inner
      ..connectionTimeout = const Duration(seconds: 15)
      ..connectionFactory = PinnedConnector(check, clientCertificate).call
      ..findProxy = _direct;
  }

  /// The pins of this client.
  final PinSet pins;

  final HttpClient _inner = HttpOverrides.runWithHttpOverrides(
    HttpClient.new,
    _NoOverrides(),
  );

  /// Reports to a pinned host are pinned too, but their failures are not
  /// reported.
  HttpClient _clientForReports(Uri to) {
    final host = normaliseHost(to.host);
    if (host != null && policyFor(pins.policies, host) != null) {
      return PinnedHttpClient(pins, reports: false);
    }
    return HttpOverrides.runWithHttpOverrides(HttpClient.new, _NoOverrides());
  }

  static String _direct(Uri uri) => 'DIRECT';

  static void _log(PinFailure failure) => developer.log(
        '${failure.decision.name}: ${failure.exception.logMessage}',
        name: 'certpin',
        level: 1000,
      );

  Never _refuse(String what) => throw UnsupportedError(
        '$what would lead around the pins of this client',
      );

  @override
  set badCertificateCallback(
    bool Function(X509Certificate cert, String host, int port)? callback,
  ) {
    if (callback != null) {
      _refuse('badCertificateCallback');
    }
  }

  @override
  set connectionFactory(
    Future<ConnectionTask<Socket>> Function(
      Uri url,
      String? proxyHost,
      int? proxyPort,
    )? factory,
  ) =>
      _refuse('connectionFactory');

  @override
  set findProxy(String Function(Uri url)? finder) => _refuse('findProxy');

  @override
  set authenticateProxy(
    Future<bool> Function(String host, int port, String scheme, String? realm)?
        callback,
  ) =>
      _refuse('authenticateProxy');

  @override
  void addProxyCredentials(
    String host,
    int port,
    String realm,
    HttpClientCredentials credentials,
  ) =>
      _refuse('addProxyCredentials');

  @override
  set keyLog(void Function(String line)? callback) {
    if (callback != null) {
      _refuse('keyLog');
    }
  }

  @override
  Duration get idleTimeout => _inner.idleTimeout;

  @override
  set idleTimeout(Duration value) => _inner.idleTimeout = value;

  @override
  Duration? get connectionTimeout => _inner.connectionTimeout;

  @override
  set connectionTimeout(Duration? value) => _inner.connectionTimeout = value;

  @override
  int? get maxConnectionsPerHost => _inner.maxConnectionsPerHost;

  @override
  set maxConnectionsPerHost(int? value) => _inner.maxConnectionsPerHost = value;

  @override
  bool get autoUncompress => _inner.autoUncompress;

  @override
  set autoUncompress(bool value) => _inner.autoUncompress = value;

  @override
  String? get userAgent => _inner.userAgent;

  @override
  set userAgent(String? value) => _inner.userAgent = value;

  @override
  set authenticate(
    Future<bool> Function(Uri url, String scheme, String? realm)? callback,
  ) =>
      _inner.authenticate = callback;

  @override
  void addCredentials(
    Uri url,
    String realm,
    HttpClientCredentials credentials,
  ) =>
      _inner.addCredentials(url, realm, credentials);

  @override
  Future<HttpClientRequest> open(
    String method,
    String host,
    int port,
    String path,
  ) {
    final uri = Uri.parse(path);
    return openUrl(
      method,
      uri.replace(scheme: 'https', host: host, port: port),
    );
  }

  @override
  Future<HttpClientRequest> openUrl(String method, Uri url) =>
      _inner.openUrl(method, url);

  @override
  Future<HttpClientRequest> get(String host, int port, String path) =>
      open('get', host, port, path);

  @override
  Future<HttpClientRequest> getUrl(Uri url) => openUrl('get', url);

  @override
  Future<HttpClientRequest> post(String host, int port, String path) =>
      open('post', host, port, path);

  @override
  Future<HttpClientRequest> postUrl(Uri url) => openUrl('post', url);

  @override
  Future<HttpClientRequest> put(String host, int port, String path) =>
      open('put', host, port, path);

  @override
  Future<HttpClientRequest> putUrl(Uri url) => openUrl('put', url);

  @override
  Future<HttpClientRequest> delete(String host, int port, String path) =>
      open('delete', host, port, path);

  @override
  Future<HttpClientRequest> deleteUrl(Uri url) => openUrl('delete', url);

  @override
  Future<HttpClientRequest> patch(String host, int port, String path) =>
      open('patch', host, port, path);

  @override
  Future<HttpClientRequest> patchUrl(Uri url) => openUrl('patch', url);

  @override
  Future<HttpClientRequest> head(String host, int port, String path) =>
      open('head', host, port, path);

  @override
  Future<HttpClientRequest> headUrl(Uri url) => openUrl('head', url);

  @override
  void close({bool force = false}) => _inner.close(force: force);
}

/// Provides a pinned client to code that creates its own `HttpClient()`, such
/// as `Image.network`. Set `HttpOverrides.global` at the start of `main`; every
/// host that the app calls then needs a policy.
///
/// A new isolate (`Isolate.run`, `compute`) has no overrides: set them there
/// again. Sockets (`SecureSocket.connect`) ignore them.
final class PinnedHttpOverrides extends HttpOverrides {
  /// Creates overrides for [pins]. [app] is the name of the app in reports, and
  /// [clientCertificate] is for servers that request one.
  PinnedHttpOverrides(
    this.pins, {
    this.app = const ReportedApp(),
    this.clientCertificate,
  });

  /// The pins of each client.
  final PinSet pins;

  /// The app, as named in reports.
  final ReportedApp app;

  /// The certificate of the app, if it has one.
  final ClientCertificate? clientCertificate;

  /// Throws an [UnsupportedError] if the caller passes its own [context]. The
  /// client certificate cannot be read from it, and its roots must not replace
  /// those of the policies.
  @override
  HttpClient createHttpClient(SecurityContext? context) {
    if (context != null) {
      throw UnsupportedError(
        'a pinned client takes no SecurityContext: give its certificate to '
        'PinnedHttpOverrides(clientCertificate: …), its roots to `trust` in '
        'pins.toml',
      );
    }
    return PinnedHttpClient(
      pins,
      app: app,
      clientCertificate: clientCertificate,
    );
  }
}

/// Creates the clients of `dart:io`.
final class _NoOverrides extends HttpOverrides {}
