// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// Opens connections: the platform's TLS checks first, then the pins, and only
/// then is the socket returned.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:developer' as developer;
import 'dart:io';

import 'check.dart';
import 'debug.dart';
import 'exceptions.dart';
import 'hosts.dart';
import 'policy.dart';

/// A client certificate with its key, for servers that request one.
final class ClientCertificate {
  /// Creates a client certificate. [chain] and [key] are PEM or PKCS #12, as in
  /// `SecurityContext`; [password] decrypts the key.
  const ClientCertificate({
    required this.chain,
    required this.key,
    this.password,
  });

  /// The certificate, followed by its intermediates.
  final List<int> chain;

  /// Its private key.
  final List<int> key;

  /// The password of the key, if it is encrypted.
  final String? password;
}

/// Opens the connections of one `PinnedHttpClient`.
final class PinnedConnector {
  /// Creates a connector. The second argument is the client certificate.
  PinnedConnector(this._check, this._certificate);

  final PinCheck _check;
  final ClientCertificate? _certificate;

  final Map<String?, SecurityContext> _contexts = {};

  /// The `HttpClient.connectionFactory`: called for each new connection,
  /// including those of redirects.
  Future<ConnectionTask<Socket>> call(Uri uri, String? proxy, int? proxyPort) {
    final attempt = _Attempt(this, uri, proxy);
    // The client listens to the socket only later; no error is lost meanwhile.
    final socket = attempt.socket()..ignore();
    return Future.value(
      ConnectionTask.fromSocket<Socket>(socket, attempt.cancel),
    );
  }

  /// Returns the policy for a request. Throws an [UnpinnedRequestException].
  (String, HostPolicy) admit(Uri uri, String? proxy) {
    final policies = _check.pins.policies;
    final problem = refusalOf(policies, uri.scheme, uri.host, proxy != null);
    if (problem.isNotEmpty) {
      throw UnpinnedRequestException(uri.host, problem);
    }
    final host = normaliseHost(uri.host)!;
    return (host, policyFor(policies, host)!);
  }

  /// A context that trusts the anchors of the policy, or the platform's roots.
  ///
  /// It is a new context, because any code can add roots to the default one.
  SecurityContext contextFor(HostPolicy policy) {
    return _contexts.putIfAbsent(policy.trust, () => _context(policy.trust));
  }

  SecurityContext _context(String? anchors) {
    final context = SecurityContext(withTrustedRoots: anchors == null);
    if (anchors != null) {
      context.setTrustedCertificatesBytes(utf8.encode(anchors));
    }
    if (_certificate case final own?) {
      context
        ..useCertificateChainBytes(own.chain, password: own.password)
        ..usePrivateKeyBytes(own.key, password: own.password);
    }
    return context;
  }
}

const String _refusedChain = 'CERTIFICATE_VERIFY_FAILED';

/// A connection that is being opened.
final class _Attempt {
  _Attempt(this.connector, this.uri, this.proxy);

  final PinnedConnector connector;
  final Uri uri;
  final String? proxy;

  ConnectionTask<SecureSocket>? _task;
  bool _cancelled = false;

  void cancel() {
    _cancelled = true;
    _task?.cancel();
  }

  Future<SecureSocket> socket() async {
    try {
      final (host, policy) = connector.admit(uri, proxy);
      try {
        return await _pinned(host, policy);
      } on Object catch (error) {
        final anchors = connector._check.pins.debugAnchors;
        if (!debugOverride || anchors == null || !_isAboutTrust(error)) {
          rethrow;
        }
        return await _debugged(host, anchors);
      }
    } on ConnectionException {
      rethrow;
    } on TlsException catch (error) {
      throw TlsHandshakeException.from(error, host: uri.host);
    } on SocketException catch (error) {
      throw NetworkException.from(error, host: uri.host);
    }
  }

  Future<SecureSocket> _pinned(String host, HostPolicy policy) async {
    final SecureSocket socket;
    try {
      socket = await _secured(host, connector.contextFor(policy));
    } on TlsException catch (error) {
      // If `trust` is the pin, every TLS failure is reported. Otherwise only
      // BoringSSL's error for a refused chain is, because a lost connection
      // proves nothing.
      if (policy.trust != null || '$error'.contains(_refusedChain)) {
        connector._check.tellUntrusted(host, uri.port, policy);
      }
      rethrow;
    }
    try {
      connector._check(host, uri.port, policy, socket.peerCertificate);
    } on Object {
      socket.destroy();
      rethrow;
    }
    return socket;
  }

  /// Name and dates are verified as well; only the roots differ.
  Future<SecureSocket> _debugged(String host, String anchors) async {
    final socket = await _secured(host, connector._context(anchors));
    developer.log('$host is not pinned: debug override', name: 'certpin');
    return socket;
  }

  /// Completes the handshake. There is no `onBadCertificate`, so a certificate
  /// that the platform refuses stays refused.
  Future<SecureSocket> _secured(String host, SecurityContext context) async {
    final task = await SecureSocket.startConnect(
      host,
      uri.port,
      context: context,
    );
    _task = task;
    if (_cancelled) {
      task.cancel();
    }
    final socket = await task.socket;
    if (_cancelled) {
      socket.destroy();
      throw NetworkException('the connection was given up', host: host);
    }
    return socket;
  }
}

bool _isAboutTrust(Object error) =>
    error is PinMismatchException || error is TlsException;
