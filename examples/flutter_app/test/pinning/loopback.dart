/// Real servers on this machine, with certificates that `openssl` makes anew.
library;

import 'dart:convert';
import 'dart:io';

import 'package:bank_app/pinning/pinned_http_client.dart';
import 'package:bank_app/pinning/policy.dart';
import 'package:crypto/crypto.dart';

/// A key and a certificate for one name, signed by itself.
final class Identity {
  Identity._(this.folder);

  /// Makes one. Needs `openssl` on this machine.
  static Future<Identity> make(Directory parent, String name) async {
    final identity = Identity._(parent.createTempSync());
    await _openssl([
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2'],
      ...['-subj', '/CN=$name', '-addext', 'subjectAltName=DNS:$name'],
      // Apple asks for the first, servers of clients for the second.
      ...['-addext', 'extendedKeyUsage=serverAuth,clientAuth'],
      ...['-keyout', identity._key, '-out', identity._certificate],
    ]);
    return identity;
  }

  final Directory folder;

  String get _key => '${folder.path}/key.pem';

  String get _certificate => '${folder.path}/certificate.pem';

  /// The certificate, for `trust`.
  String get pem => File(_certificate).readAsStringSync();

  /// The pin of the key, by way of `openssl` and not of the library.
  Future<String> pin() async {
    final pem = await _openssl(['x509', '-in', _certificate, '-noout', '-pubkey']);
    final lines = const LineSplitter().convert(pem);
    final body = lines.where((line) => !line.startsWith('-----')).join();
    return 'sha256/${base64.encode(sha256.convert(base64.decode(body)).bytes)}';
  }

  /// The same for a client, which shows it to servers that ask.
  ClientCertificate get client => ClientCertificate(
        chain: File(_certificate).readAsBytesSync(),
        key: File(_key).readAsBytesSync(),
      );

  SecurityContext get _context => SecurityContext()
    ..useCertificateChain(_certificate)
    ..usePrivateKey(_key);
}

/// A server that counts what arrives.
final class Server {
  Server._(this._server, this.scheme);

  /// An HTTPS server. It asks for a certificate of [clients], if there are any.
  static Future<Server> secure(Identity identity, {Identity? clients}) async {
    final context = identity._context;
    if (clients != null) {
      context
        ..setTrustedCertificates(clients._certificate)
        ..setClientAuthorities(clients._certificate);
    }
    final server = await HttpServer.bindSecure(
      InternetAddress.loopbackIPv4,
      0,
      context,
      requestClientCertificate: clients != null,
    );
    return Server._(server, 'https').._serve();
  }

  /// An HTTP server, such as a collector of reports under test.
  static Future<Server> plain() async {
    final server = await HttpServer.bind(InternetAddress.loopbackIPv4, 0);
    return Server._(server, 'http').._serve();
  }

  final HttpServer _server;
  final String scheme;

  /// The bodies of the requests that arrived.
  final List<String> bodies = [];

  /// The certificates that clients showed, as PEM; `null` for none.
  final List<String?> clients = [];

  /// Where `/moved` leads.
  String moved = '/';

  /// What it serves, by path. Where this is set, anything else is missing.
  Map<String, List<int>>? files;

  Uri url([String path = '/']) =>
      Uri.parse('$scheme://localhost:${_server.port}$path');

  Future<void> close() => _server.close(force: true);

  void _serve() {
    _server.listen(
      (request) async {
        bodies.add(await utf8.decodeStream(request));
        clients.add(request.certificate?.pem);
        if (request.uri.path == '/moved') {
          request.response
            ..statusCode = HttpStatus.found
            ..headers.set(HttpHeaders.locationHeader, moved);
        }
        if (files case final served?) {
          final file = served[request.uri.path];
          request.response
            ..statusCode = file == null ? HttpStatus.notFound : HttpStatus.ok
            ..add(file ?? const []);
        }
        await request.response.close();
      },
      onError: (Object _) {}, // A handshake that the client broke off.
    );
  }
}

/// A pin set of one policy for `localhost`.
PinSet pinned(
  Identity identity,
  List<String> pins, {
  String mode = 'enforce',
  String match = 'leaf',
  String? expires,
  String onExpiry = 'fail-closed',
  List<String> compromised = const [],
  List<String> reportTo = const [],
}) {
  return PinSet(
    name: 'test',
    version: 1,
    policies: [
      HostPolicy(
        pattern: 'localhost',
        mode: mode,
        match: match,
        pins: pins,
        compromised: compromised,
        expires: expires,
        onExpiry: onExpiry,
        trust: identity.pem,
        reportTo: reportTo,
      ),
    ],
  );
}

Future<String> _openssl(List<String> words) async {
  final done = await Process.run('openssl', words);
  if (done.exitCode != 0) {
    throw StateError('openssl ${words.first}: ${done.stderr}');
  }
  return done.stdout as String;
}
