/// Opens connections: the platform's TLS checks first, then the pins, and only
/// then is the socket returned.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:developer' as developer;
import 'dart:io';

import 'check.dart';
import 'client_certificate.dart';
import 'debug.dart';
import 'exceptions.dart';
import 'hosts.dart';
import 'policy.dart';
import 'proxy.dart';

/// Returns the proxies for a URL, in the notation of `HttpClient.findProxy`.
typedef FindProxy = String Function(Uri url);

/// The [FindProxy] of clients without a proxy.
String findNoProxy(Uri url) => 'DIRECT';

/// Opens the connections of one client, and compares their pins.
final class PinnedConnector {
  /// Creates a connector. Throws an [ArgumentError] if the client certificate,
  /// the second argument, is unreadable.
  PinnedConnector(this.check, this._certificate) {
    if (_certificate != null) {
      _context(''); // A mistake in it is found now, and not in a handshake.
    }
  }

  /// Compares the pins.
  final PinCheck check;

  final ClientCertificate? _certificate;

  /// Finds the proxies of a URL, for [call].
  FindProxy findProxy = findNoProxy;

  /// The time limit for each route to a server (direct, or through one proxy).
  /// It includes TCP, the tunnel, TLS and the check. `null`: no limit.
  Duration? timeout;

  final Map<String?, SecurityContext> _contexts = {};

  /// The `HttpClient.connectionFactory`: called for each new connection,
  /// including those of redirects.
  ///
  /// [proxy] is set if `HttpClient` itself chose a proxy. The connection then
  /// fails with an [UnpinnedRequestException].
  Future<ConnectionTask<Socket>> call(Uri uri, String? proxy, int? proxyPort) {
    // `WebSocket.connect` passes port 0 for a `wss:` URL without a port.
    final url = uri.port == 0 ? uri.replace(port: 443) : uri;
    final attempt = _Attempt(
      this,
      url.host,
      url.port,
      scheme: url.scheme,
      isProxied: proxy != null,
      routes: () => _routesOf(url),
    );
    return Future.value(attempt.start());
  }

  /// Connects to a server, without a proxy. [address] is the address of [host],
  /// if it is known.
  ConnectionTask<SecureSocket> connect(
    String host,
    int port, {
    InternetAddress? address,
    List<String>? protocols,
  }) {
    final routes = [_Direct(address)];
    return _Attempt(
      this,
      host,
      port,
      protocols: protocols,
      routes: () => routes,
    ).start();
  }

  /// Starts TLS on [socket], a connection to [host] that other code has opened,
  /// and compares the pins. Closes [socket] on failure.
  Future<SecureSocket> secure(
    Socket socket,
    String host, {
    List<String>? protocols,
  }) async {
    try {
      final attempt = _Attempt(
        this,
        host,
        socket.remotePort,
        protocols: protocols,
        routes: () => [_Opened(socket)],
      );
      return await attempt.start().socket;
    } on Object catch (error, trace) {
      socket.destroy();
      final failure = ConnectionException.of(error, host: host);
      Error.throwWithStackTrace(failure ?? error, trace);
    }
  }

  /// A context that trusts the anchors of the policy, or the platform's roots.
  ///
  /// It is never `SecurityContext.defaultContext`, because any code can add
  /// roots to that one. Policies with the same anchors share a context.
  SecurityContext contextFor(HostPolicy policy) {
    return _contexts.putIfAbsent(policy.trust, () => _context(policy.trust));
  }

  SecurityContext _context(String? anchors) =>
      newContext(anchors, _certificate);

  List<_Route> _routesOf(Uri uri) {
    try {
      return [
        for (final proxy in parseProxies(findProxy(uri)))
          proxy == null ? const _Direct(null) : _Proxied(proxy),
      ];
    } on FormatException catch (error) {
      throw UnpinnedRequestException(uri.host, 'findProxy: ${error.message}');
    }
  }
}

/// Creates a context with these anchors (PEM; `null`: the platform's roots) and
/// a client certificate.
///
/// Throws a [TlsException] if the anchors are unreadable, and an
/// [ArgumentError] if the client certificate is.
SecurityContext newContext(String? anchors, ClientCertificate? certificate) {
  final context = SecurityContext(withTrustedRoots: anchors == null);
  if (anchors != null && anchors.isNotEmpty) {
    context.setTrustedCertificatesBytes(utf8.encode(anchors));
  }
  if (certificate != null) {
    useClientCertificate(context, certificate);
  }
  return context;
}

/// How an attempt reaches the server.
sealed class _Route {}

/// A connection to the server without a proxy. If [address] is `null`, the name
/// of the host is resolved.
final class _Direct implements _Route {
  const _Direct(this.address);

  final InternetAddress? address;
}

/// A connection through a tunnel that [proxy] opens.
final class _Proxied implements _Route {
  const _Proxied(this.proxy);

  final Proxy proxy;
}

/// A connection that other code has opened.
final class _Opened implements _Route {
  const _Opened(this.socket);

  final Socket socket;
}

const String _refusedChain = 'CERTIFICATE_VERIFY_FAILED';

/// A connection that is being opened, until its pins have been compared.
final class _Attempt {
  _Attempt(
    this.connector,
    this.host,
    this.port, {
    required this.routes,
    this.scheme = 'https',
    this.isProxied = false,
    this.protocols,
  });

  final PinnedConnector connector;
  final String host;
  final int port;
  final List<_Route> Function() routes;
  final String scheme;
  final bool isProxied;
  final List<String>? protocols;

  final _Stop _cancelled = _Stop();

  ConnectionTask<SecureSocket> start() {
    // The caller listens to the socket only later; no error is lost meanwhile.
    final socket = _cancelled.race(_open())..ignore();
    return ConnectionTask.fromSocket(socket, _cancel);
  }

  void _cancel() {
    _cancelled(NetworkException('the connection was cancelled', host: host));
  }

  /// Returns the normalised host, and its current policy.
  (String, HostPolicy) _admitted() => requirePolicy(
        connector.check.pins.policies,
        host,
        scheme: scheme,
        isProxied: isProxied,
      );

  /// Tries the routes in turn. The next one is tried only after a failure of
  /// the network or of a proxy: a refused chain or key is final.
  Future<SecureSocket> _open() async {
    final (name, policy) = _admitted();
    final left = routes();
    while (true) {
      final route = left.removeAt(0);
      try {
        return await _over(route, name, policy);
      } on NetworkException {
        if (left.isEmpty || _cancelled.isStopped) {
          rethrow;
        }
      }
    }
  }

  Future<SecureSocket> _over(
    _Route route,
    String name,
    HostPolicy policy,
  ) async {
    final stop = _Stop();
    _cancelled.onStop = stop.call;
    final limit = connector.timeout;
    final timer = limit == null
        ? null
        : Timer(limit, () {
            stop(NetworkException('timed out after $limit', host: name));
          });
    try {
      final socket = await stop.race(_checked(route, name, policy, stop));
      if (stop._reason case final reason?) {
        socket.destroy(); // `onFailure` cancelled it.
        throw reason;
      }
      _cancelled.onStop = null; // It is the caller's now.
      return socket;
    } on Object catch (error, trace) {
      final failure = ConnectionException.of(error, host: name);
      Error.throwWithStackTrace(failure ?? error, trace);
    } finally {
      timer?.cancel();
    }
  }

  Future<SecureSocket> _checked(
    _Route route,
    String name,
    HostPolicy policy,
    _Stop stop,
  ) async {
    try {
      return await _pinned(route, name, policy, stop);
    } on Object catch (error, trace) {
      final anchors = connector.check.pins.debugAnchors;
      final isUsed = route is _Opened; // One connection has one handshake.
      if (!debugOverride || anchors == null || isUsed || !_isRefusal(error)) {
        rethrow;
      }
      try {
        return await _debugged(route, name, anchors, stop);
      } on Object catch (second) {
        developer.log('$name: debug override: $second', name: 'certpin');
        Error.throwWithStackTrace(error, trace);
      }
    }
  }

  Future<SecureSocket> _pinned(
    _Route route,
    String name,
    HostPolicy policy,
    _Stop stop,
  ) async {
    final context = connector.contextFor(policy);
    final SecureSocket socket;
    try {
      socket = await _secured(route, name, context, stop);
    } on TlsException catch (error) {
      // If `trust` is the pin, every TLS failure is reported. Otherwise only
      // BoringSSL's error for a refused chain is. A lost connection proves
      // nothing.
      final isLost = ConnectionException.of(error) is NetworkException;
      final isTrust = policy.trust != null && !isLost;
      if (isTrust || '$error'.contains(_refusedChain)) {
        connector.check.reportUntrusted(name, port, policy);
      }
      rethrow;
    }
    try {
      // A set that was updated during the handshake applies to it.
      final (_, current) = _admitted();
      if (current.trust != policy.trust) {
        throw NetworkException('its pins changed: try again', host: name);
      }
      connector.check(name, port, current, socket.peerCertificate);
    } on Object {
      socket.destroy();
      rethrow;
    }
    return socket;
  }

  /// Connects again, trusting the roots of the debugging proxy ([anchors]), and
  /// compares no pins. Name and dates are verified.
  ///
  /// It is used only in a build with the debug override, after the first
  /// connection was refused.
  Future<SecureSocket> _debugged(
    _Route route,
    String name,
    String anchors,
    _Stop stop,
  ) async {
    final context = connector._context(anchors);
    final socket = await _secured(route, name, context, stop);
    developer.log('$name is not pinned: debug override', name: 'certpin');
    return socket;
  }

  /// Completes the handshake. There is no `onBadCertificate`, so a certificate
  /// that the platform refuses stays refused.
  Future<SecureSocket> _secured(
    _Route route,
    String name,
    SecurityContext context,
    _Stop stop,
  ) async {
    final plain = await _plain(route, name, stop);
    final socket = await SecureSocket.secure(
      plain,
      host: name,
      context: context,
      supportedProtocols: protocols,
    );
    // `dart:io` can't interrupt a handshake: the socket is closed after it.
    stop.release(socket.destroy);
    return socket;
  }

  /// Returns a connection over a route, without TLS. The server expects a
  /// handshake next.
  Future<Socket> _plain(_Route route, String name, _Stop stop) async {
    switch (route) {
      case _Opened(:final socket):
        return socket;
      case _Direct(:final address):
        return _dial(address ?? name, port, stop);
      case _Proxied(:final proxy):
        final socket = await _dial(proxy.host, proxy.port, stop);
        try {
          await openTunnel(socket, proxy, name, port);
        } on Object {
          socket.destroy();
          rethrow;
        }
        return socket;
    }
  }

  Future<Socket> _dial(Object target, int port, _Stop stop) async {
    final task = await Socket.startConnect(target, port);
    stop.release(task.cancel);
    final socket = await task.socket;
    stop.release(socket.destroy);
    return socket;
  }
}

bool _isRefusal(Object error) =>
    error is PinMismatchException ||
    error is PinSetExpiredException ||
    error is TlsException;

/// Ends an attempt early: cancelled by the caller, or timed out.
final class _Stop {
  final Completer<Never> _stopped = Completer<Never>();
  ConnectionException? _reason;

  /// Called when the attempt ends early. It releases the resource of the
  /// current step, such as a socket.
  void Function(ConnectionException reason)? onStop;

  bool get isStopped => _reason != null;

  /// Ends the attempt with an error.
  void call(ConnectionException reason) {
    if (!isStopped) {
      _reason = reason;
      _stopped.completeError(reason);
      onStop?.call(reason);
    }
  }

  /// Sets the function that releases the resource of the current step, such as
  /// a socket, if the attempt ends early. If it has ended already, calls
  /// [resource] and throws the error of that end.
  void release(void Function() resource) {
    onStop = (_) => resource();
    if (_reason case final reason?) {
      resource();
      throw reason;
    }
  }

  /// Returns the result of [work], unless the attempt ends before.
  Future<T> race<T>(Future<T> work) =>
      Future.any([work, _stopped.future..ignore()]);
}
