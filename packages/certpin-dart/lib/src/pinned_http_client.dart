/// An `HttpClient` that pins every connection.
library;

import 'dart:developer' as developer;
import 'dart:io';

import 'check.dart';
import 'client_certificate.dart';
import 'connector.dart';
import 'debug.dart';
import 'hosts.dart';
import 'platform_io.dart' if (dart.library.js_interop) 'platform_web.dart';
import 'policy.dart';
import 'report.dart';

/// An [HttpClient] that checks the pins of every connection, before the first
/// byte of a request is sent.
///
/// The platform first verifies chain, name and dates. Hosts without a policy
/// and `http://` are refused. Setters that would disable the check
/// ([badCertificateCallback], [connectionFactory], [keyLog]) throw an
/// [UnsupportedError]. `HttpOverrides` of other code do not affect it.
/// WebSockets are pinned with
/// `WebSocket.connect(url, customClient: PinnedHttpClient(pins))`.
///
/// Create one for the app, and keep it: it reuses its connections, each of
/// which was checked when it was opened. After an update of [pins], or after
/// the expiry of the policy of a connection, it opens new ones; requests that
/// are running finish on the old ones. `HttpClientResponse.redirect` stays on
/// these too: to follow a redirect yourself, open a new request here.
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
  }) : _connector = reportingConnector(
          pins,
          clientCertificate: clientCertificate,
          timeout: const Duration(seconds: 15),
          onFailure: onFailure,
          reports: reports,
          app: app,
          now: now,
        ) {
    _pool = _newPool();
  }

  /// The pins of this client.
  final PinSet pins;

  final PinnedConnector _connector;
  late _Pool _pool;
  final Set<_Pool> _replaced = {};
  bool _isClosed = false;

  // A new pool gets the same settings.
  Future<bool> Function(Uri url, String scheme, String? realm)? _authenticate;
  final List<(Uri, String, HttpClientCredentials)> _credentials = [];

  HttpClient get _inner => _pool.client;

  _Pool _newPool() {
    final client = _plainClient()
      ..connectionFactory = _connector.call
      // It would start TLS in the tunnel of a proxy without a check.
      ..findProxy = findNoProxy;
    return _Pool(client, pins.version, pins.policies);
  }

  /// Uses new connections from now on if the pins have changed, or if the
  /// policy of a connection has expired. Running requests keep the old ones.
  void _renew() {
    if (_pool.isOf(pins) && !_connector.check.hasEnded) {
      return;
    }
    final old = _pool;
    _connector.check.forget();
    _pool = _newPool();
    _inner
      ..idleTimeout = old.client.idleTimeout
      ..maxConnectionsPerHost = old.client.maxConnectionsPerHost
      ..autoUncompress = old.client.autoUncompress
      ..userAgent = old.client.userAgent
      ..authenticate = _authenticate;
    for (final (url, realm, credentials) in _credentials) {
      _inner.addCredentials(url, realm, credentials);
    }
    _replaced.add(old);
    old.closeWhenIdle(() => _replaced.remove(old));
  }

  Never _refuse(String what) => throw UnsupportedError(
        '$what would lead around the pins of this client',
      );

  Never _refuseCredentials(String what) => throw UnsupportedError(
        '$what: a pinned client opens the tunnel itself, and can read no '
        'credentials from dart:io. fix: return '
        "'PROXY user:password@host:port' from findProxy",
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
  ) {
    if (factory != null) {
      _refuse('connectionFactory');
    }
  }

  /// Finds the proxy for a URL, in the notation of [HttpClient.findProxy]:
  /// `DIRECT`, `PROXY host:port`, `PROXY user:password@host:port`, or several
  /// of them separated by `;`. `null` and the default mean `DIRECT`. For the
  /// variables of the environment, set [HttpClient.findProxyFromEnvironment].
  ///
  /// This client connects to the proxy and sends CONNECT with the host and the
  /// port of the server; a proxy sees nothing else of a request. Then TLS and
  /// the pins are checked as on a direct connection. The next entry is tried
  /// only after a [NetworkException], not after a refused chain or key.
  ///
  /// The function is called for each new connection. Proxies that are reached
  /// over TLS (`HTTPS`) or SOCKS are refused with an
  /// `UnpinnedRequestException`. If a proxy refuses, the `NetworkException` has
  /// its status.
  @override
  set findProxy(String Function(Uri url)? finder) =>
      _connector.findProxy = finder ?? findNoProxy;

  /// Throws an [UnsupportedError]: `dart:io` would use the callback only for
  /// its own tunnel. Return `PROXY user:password@host:port` from [findProxy].
  @override
  set authenticateProxy(
    Future<bool> Function(String host, int port, String scheme, String? realm)?
        callback,
  ) {
    if (callback != null) {
      _refuseCredentials('authenticateProxy');
    }
  }

  /// Throws an [UnsupportedError], because other code can't read the
  /// credentials. Return `PROXY user:password@host:port` from [findProxy].
  @override
  void addProxyCredentials(
    String host,
    int port,
    String realm,
    HttpClientCredentials credentials,
  ) =>
      _refuseCredentials('addProxyCredentials');

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
  Duration? get connectionTimeout => _connector.timeout;

  /// The limit for a connection: TCP, the tunnel of a proxy, TLS and the check.
  /// Each proxy of a list has this time. The default is 15 seconds.
  ///
  /// `dart:io` can't interrupt a handshake: the request fails in time, but the
  /// socket of a server that never ends it stays open until the server closes.
  @override
  set connectionTimeout(Duration? value) => _connector.timeout = value;

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
  ) {
    _authenticate = callback;
    _inner.authenticate = callback;
  }

  @override
  void addCredentials(
    Uri url,
    String realm,
    HttpClientCredentials credentials,
  ) {
    _credentials.add((url, realm, credentials));
    _inner.addCredentials(url, realm, credentials);
  }

  /// Opens a request by `https`. As in `dart:io`, [path] can have a query.
  @override
  Future<HttpClientRequest> open(
    String method,
    String host,
    int port,
    String path,
  ) {
    final sent = path.split('#').first;
    final mark = sent.indexOf('?');
    final url = Uri(
      scheme: 'https',
      host: host,
      port: port,
      path: mark < 0 ? sent : sent.substring(0, mark),
      query: mark < 0 ? null : sent.substring(mark + 1),
    );
    return openUrl(method, url);
  }

  @override
  Future<HttpClientRequest> openUrl(String method, Uri url) {
    if (!_isClosed) {
      _renew();
    }
    return _pool.open(method, url);
  }

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
  void close({bool force = false}) {
    _isClosed = true;
    for (final pool in [_pool, ..._replaced]) {
      pool.client.close(force: force);
    }
  }
}

/// The connections that were checked against one state of the pins.
final class _Pool {
  _Pool(this.client, this._version, this._policies);

  final HttpClient client;
  final int _version;
  final List<HostPolicy> _policies;
  int _running = 0;
  void Function()? _onClosed;

  /// Whether [pins] are still those with which the connections were checked.
  ///
  /// The version is not enough: under a new root, a set that was signed with
  /// stolen keys can be replaced by another one of the same version.
  bool isOf(PinSet pins) =>
      pins.version == _version && identical(pins.policies, _policies);

  Future<HttpClientRequest> open(String method, Uri url) async {
    _running += 1;
    try {
      final request = await client.openUrl(method, url);
      request.done.whenComplete(_ended).ignore();
      return request;
    } on Object {
      _ended();
      rethrow;
    }
  }

  /// Closes the connections when the last request has its response. Before
  /// that, it would cancel connections that are being opened, and redirects.
  void closeWhenIdle(void Function() onClosed) {
    _onClosed = onClosed;
    _closeIfIdle();
  }

  void _ended() {
    _running -= 1;
    _closeIfIdle();
  }

  void _closeIfIdle() {
    if (_running == 0 && _onClosed != null) {
      client.close();
      _onClosed?.call();
    }
  }
}

/// Returns a connector that passes failures to [onFailure] (the default logs
/// them) and, if [reports] is true, sends them to the URLs of `report_to`, over
/// the same proxies.
PinnedConnector reportingConnector(
  PinSet pins, {
  required ClientCertificate? clientCertificate,
  required Duration? timeout,
  required void Function(PinFailure failure)? onFailure,
  required bool reports,
  required ReportedApp app,
  required DateTime Function() now,
}) {
  late final PinnedConnector connector;

  // Reports to a pinned host are pinned too, but their failures are not
  // reported.
  HttpClient clientFor(Uri to) {
    final host = normaliseHost(to.host);
    final isPinned = host != null && policyFor(pins.policies, host) != null;
    final client =
        isPinned ? PinnedHttpClient(pins, reports: false) : _plainClient();
    return client..findProxy = connector.findProxy;
  }

  final reporter = reports && !debugOverride ? Reporter(clientFor, app) : null;
  final check = PinCheck(
    pins,
    now: now,
    onFailure: (failure) {
      reporter?.report(failure);
      (onFailure ?? _log)(failure);
    },
  );
  return connector = PinnedConnector(check, clientCertificate)
    ..timeout = timeout;
}

void _log(PinFailure failure) => developer.log(
      '${failure.decision.name}: ${failure.exception.logMessage}',
      name: 'certpin',
      level: 1000,
    );

/// Returns a client of `dart:io`, whatever the overrides of other code are.
HttpClient _plainClient() {
  requireSockets('PinnedHttpClient');
  return HttpOverrides.runWithHttpOverrides(HttpClient.new, _NoOverrides());
}

final class _NoOverrides extends HttpOverrides {}
