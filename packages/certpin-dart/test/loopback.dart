/// Real servers and proxies on this machine, with certificates that `openssl`
/// makes anew.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'package:certpin/certpin.dart';
import 'package:crypto/crypto.dart';
import 'package:test/test.dart';

/// The identity of [server], for `localhost`.
late Identity own;

/// Another identity.
late Identity other;

/// The pin of [own].
late String pin;

/// The pin of [other].
late String otherPin;

/// A server of the current test.
late Server server;

/// Makes the identities before the tests of a file, [other] for [otherName], and
/// starts a [server] for each test.
void useServer({String otherName = 'other.example'}) {
  late Directory folder;

  setUpAll(() async {
    folder = Directory.systemTemp.createTempSync('pinning');
    own = await Identity.make(folder, 'localhost');
    other = await Identity.make(folder, otherName);
    pin = await own.pin();
    otherPin = await other.pin();
  });

  tearDownAll(() => folder.deleteSync(recursive: true));

  setUp(() async => server = await Server.secure(own));

  tearDown(() => server.close());
}

/// A key and a certificate for one name, signed by itself.
final class Identity {
  Identity._(this.folder);

  /// Makes one. Needs `openssl` on this machine.
  ///
  /// [address] is an IP address that it is for, too.
  static Future<Identity> make(
    Directory parent,
    String name, {
    String? address,
  }) async {
    final names = ['DNS:$name', if (address != null) 'IP:$address'];
    final identity = Identity._(parent.createTempSync());
    await _openssl([
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2'],
      ...['-subj', '/CN=$name'],
      ...['-addext', 'subjectAltName=${names.join(',')}'],
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
    final pem = await _openssl(
      ['x509', '-in', _certificate, '-noout', '-pubkey'],
    );
    final lines = const LineSplitter().convert(pem);
    final body = lines.where((line) => !line.startsWith('-----')).join();
    return 'sha256/${base64.encode(sha256.convert(base64.decode(body)).bytes)}';
  }

  /// The same for a client, which shows it to servers that ask.
  ClientCertificate get client => ClientCertificate(
        chain: File(_certificate).readAsBytesSync(),
        key: File(_key).readAsBytesSync(),
      );

  /// The certificate and the key for a server.
  SecurityContext get context => SecurityContext()
    ..useCertificateChain(_certificate)
    ..usePrivateKey(_key);

  /// The same with an encrypted key.
  Future<ClientCertificate> encryptedClient(String password) async {
    final encrypted = '${folder.path}/encrypted.pem';
    await _openssl([
      ...['pkcs8', '-topk8', '-in', _key, '-out', encrypted],
      ...['-v2', 'aes-256-cbc', '-passout', 'pass:$password'],
    ]);
    return ClientCertificate(
      chain: File(_certificate).readAsBytesSync(),
      key: File(encrypted).readAsBytesSync(),
      password: password,
    );
  }

  /// The certificate and the key as PKCS #12.
  Future<List<int>> archive(String password) async {
    final archive = '${folder.path}/client.p12';
    await _openssl([
      ...['pkcs12', '-export', '-inkey', _key, '-in', _certificate],
      ...['-passout', 'pass:$password', '-out', archive],
    ]);
    return File(archive).readAsBytesSync();
  }
}

/// A server that counts what arrives.
final class Server {
  Server._(this._server, this.scheme);

  /// An HTTPS server. It asks for a certificate of [clients], if there are any.
  static Future<Server> secure(Identity identity, {Identity? clients}) async {
    final context = identity.context;
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

  /// The ports of the clients: one for each connection.
  final Set<int> ports = {};

  /// Where `/moved` leads.
  String moved = '/';

  /// The `Authorization` headers that arrived.
  final List<String?> authorizations = [];

  /// What it serves, by path. Where this is set, anything else is missing.
  Map<String, List<int>>? files;

  Uri url([String path = '/']) =>
      Uri.parse('$scheme://localhost:${_server.port}$path');

  Future<void> close() => _server.close(force: true);

  void _serve() {
    _server.listen(
      (request) async {
        if (WebSocketTransformer.isUpgradeRequest(request)) {
          final socket = await WebSocketTransformer.upgrade(request);
          return socket.listen(socket.add).asFuture<void>();
        }
        ports.add(request.connectionInfo!.remotePort);
        authorizations.add(request.headers.value('authorization'));
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

/// A server below TLS: it sends what a test gives it.
final class PlainServer {
  PlainServer._(this._server) : port = _server.port;

  /// Starts one. [serve] is called with each connection.
  static Future<PlainServer> start(void Function(Heard client) serve) async {
    final bound = await ServerSocket.bind(InternetAddress.loopbackIPv4, 0);
    final server = PlainServer._(bound);
    bound.listen((socket) {
      final client = Heard(socket);
      server.clients.add(client);
      serve(client);
    });
    return server;
  }

  final ServerSocket _server;

  /// The connections, in their order.
  final List<Heard> clients = [];

  final int port;

  Future<void> close() async {
    await _server.close();
    for (final client in clients) {
      client.socket.destroy();
    }
  }
}

/// A connection to a [PlainServer], with the bytes that it sent.
final class Heard {
  Heard(this.socket) {
    socket.done.ignore();
    subscription = socket.listen(
      (piece) {
        bytes.addAll(piece);
        target?.add(piece);
        final waiting = _waiting;
        if (waiting != null && text.contains(waiting.$1)) {
          _waiting = null;
          waiting.$2.complete();
        }
      },
      onError: (Object _) => _end(),
      onDone: _end,
    );
  }

  final Socket socket;
  late final StreamSubscription<Uint8List> subscription;
  final List<int> bytes = [];

  /// Another connection that gets the bytes too.
  Socket? target;

  final Completer<void> _ended = Completer<void>();
  (String, Completer<void>)? _waiting;

  /// Completes when the client closes the connection.
  Future<void> get ended => _ended.future;

  String get text => latin1.decode(bytes);

  /// Waits until the client has sent this text.
  Future<void> until(String part) {
    if (text.contains(part)) {
      return Future.value();
    }
    final arrived = Completer<void>();
    _waiting = (part, arrived);
    return arrived.future;
  }

  /// Ends with RST, as a connection that was lost.
  void reset() {
    final linger = Uint8List(8)..[0] = 1; // on, for 0 s
    socket
      ..setRawOption(
        RawSocketOption(
          RawSocketOption.levelSocket,
          Platform.isLinux ? 13 : 0x80,
          linger,
        ),
      )
      ..destroy();
  }

  void _end() {
    if (!_ended.isCompleted) {
      _ended.complete();
    }
  }
}

/// A proxy that opens tunnels, to the server in the request or to [target].
Future<PlainServer> startProxy({
  String response = 'HTTP/1.1 200 Connection established\r\n\r\n',
  int? target,
}) {
  return PlainServer.start((client) async {
    await client.until('\r\n\r\n');
    final port = RegExp(r'^CONNECT \S+:(\d+) ').firstMatch(client.text)![1]!;
    final server = await Socket.connect(
      InternetAddress.loopbackIPv4,
      target ?? int.parse(port),
    );
    client
      ..target = server
      ..socket.write(response)
      ..ended.whenComplete(server.destroy).ignore();
    server.listen(
      client.socket.add,
      onDone: client.socket.destroy,
      onError: (Object _) => client.socket.destroy(),
    );
  });
}

/// A pin set of one policy, for `localhost`.
PinSet pinned(
  Identity identity,
  List<String> pins, {
  String pattern = 'localhost',
  String mode = 'enforce',
  String match = 'leaf',
  String? expires,
  String onExpiry = 'fail-closed',
  List<String> compromised = const [],
  List<String> reportTo = const [],
  String? debugAnchors,
}) {
  return PinSet(
    name: 'test',
    version: 1,
    debugAnchors: debugAnchors,
    policies: [
      HostPolicy(
        pattern: pattern,
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
