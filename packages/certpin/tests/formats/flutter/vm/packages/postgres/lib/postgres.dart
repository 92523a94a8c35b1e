/// A substitute for `package:postgres` 3.5: the types that the recipe names. It
/// starts TLS as that package does, and sends the name of the database.
library;

import 'dart:async';
import 'dart:io';

final class Endpoint {
  Endpoint({
    required this.host,
    this.port = 5432,
    required this.database,
    this.username,
    this.password,
  });

  final String host;
  final int port;
  final String database;
  final String? username;
  final String? password;
}

enum SslMode { disable, require, verifyFull }

class ConnectionSettings {
  const ConnectionSettings({this.sslMode, this.securityContext});

  final SslMode? sslMode;
  final SecurityContext? securityContext;
}

abstract class Connection {
  /// `require`, the default, accepts a certificate that was refused.
  static Future<Connection> open(
    Endpoint endpoint, {
    ConnectionSettings? settings,
  }) async {
    final socket = await Socket.connect(endpoint.host, endpoint.port);
    final answer = Completer<int>();
    final subscription = socket.listen((data) => answer.complete(data.single));
    socket.add(const [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]); // SSLRequest
    if (await answer.future != 0x53) {
      throw PgException('the server has no TLS');
    }
    subscription.pause();
    final secure = await SecureSocket.secure(
      socket,
      context: settings?.securityContext,
      onBadCertificate: settings?.sslMode == SslMode.verifyFull
          ? (certificate) => throw BadCertificateException(certificate)
          : (_) => true,
    );
    secure.write('startup ${endpoint.database}');
    await secure.flush();
    await secure.close();
    return _Connection();
  }
}

class _Connection implements Connection {}

class PgException implements Exception {
  PgException(this.message);

  final String message;
}

class BadCertificateException extends PgException {
  BadCertificateException(this.certificate) : super('Bad server certificate.');

  final X509Certificate certificate;
}
