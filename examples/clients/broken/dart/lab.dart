/// Helpers for the clients of this folder: one connection, one request, pins.
library;

import 'dart:convert';
import 'dart:io';

import 'package:certpin/src/digests.dart';

/// The lab, as `certpin prove --via port` names it.
final class Lab {
  Lab(this.host, this.port, this.canary);

  final String host;
  final int port;
  final String canary;

  static final Map<String, String> _variables = Platform.environment;

  List<String> get pins => _variables['CERTPIN_LAB_PINS']!.split(' ');

  /// The SHA-256 of the certificate that the server has now.
  String get fingerprint => _variables['CERTPIN_LAB_FINGERPRINT']!;

  /// The certificate that the server has now, as PEM.
  String get certificate =>
      File(_variables['CERTPIN_LAB_CERT']!).readAsStringSync();

  /// Connects, and lets Dart verify chain, name and dates. Dart calls
  /// [onBadCertificate] for a certificate that it refuses.
  Future<SecureSocket> connect({
    bool Function(X509Certificate)? onBadCertificate,
  }) async {
    final address = host == '::1' ? '::1' : '127.0.0.1';
    final context = SecurityContext()
      ..setTrustedCertificates(_variables['SSL_CERT_FILE']!);
    return SecureSocket.secure(
      await Socket.connect(address, port),
      host: host,
      context: context,
      onBadCertificate: onBadCertificate,
    );
  }

  /// Sends the request, and returns the answer.
  Future<String> ask(SecureSocket socket) async {
    socket.write(
      'GET /$canary HTTP/1.1\r\nHost: $host\r\nConnection: close\r\n\r\n',
    );
    await socket.flush();
    final answer = await utf8.decodeStream(socket);
    await socket.close();
    return answer;
  }

  /// Returns whether the key of a certificate is pinned.
  bool isPinned(X509Certificate? certificate) =>
      certificate != null && pinsOf(certificate.der).any(pins.contains);

  /// Closes the connection if the server's key is not pinned.
  void check(SecureSocket socket) {
    if (!isPinned(socket.peerCertificate)) {
      socket.destroy();
      throw const HandshakeException('not pinned');
    }
  }
}
