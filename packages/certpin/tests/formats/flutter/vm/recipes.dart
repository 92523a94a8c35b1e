/// The recipes of the package, at real TLS servers.
///
///     recipes.dart FOLDER PIN
///
/// The folder has the certificates of `test_recipes.py`; the pin is that of the
/// honest server. Prints one JSON object: for each recipe and server the result,
/// and whether the server received data.
///
///     recipes.dart late
///
/// Prints what a WebSocket does if the overrides are set after the first one.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';

import 'package:certpin/certpin.dart';
import 'package:dio/dio.dart';
import 'package:grpc/grpc.dart' show ClientTransportConnectorChannel;
import 'package:http/http.dart' show ClientException;
import 'package:postgres/postgres.dart' show Endpoint;

import '../../../../../certpin-dart/example/recipes/dio.dart' as dio;
import '../../../../../certpin-dart/example/recipes/grpc.dart' as grpc;
import '../../../../../certpin-dart/example/recipes/http.dart' as http;
import '../../../../../certpin-dart/example/recipes/mqtt_client.dart' as mqtt;
import '../../../../../certpin-dart/example/recipes/postgres.dart' as postgres;
import '../../../../../certpin-dart/example/recipes/web_socket_channel.dart'
    as web_socket;

const String _host = 'localhost';

Future<void> main(List<String> words) async {
  if (words case ['late']) {
    return _late();
  }
  final [folder, pin] = words;
  final root = File('$folder/root.pem').readAsStringSync();
  final leaf = _pins('leaf', [pin], root);
  final anchored = _pins('ca', const [], root);
  HttpOverrides.global = PinnedHttpOverrides(leaf);
  // Before any handshake: in Dart 3.5, the error of a handshake whose callback
  // throws, as that of postgres does, remains for the next context.
  final servers = {
    for (final name in ['honest', 'rogue', 'foreign'])
      name: SecurityContext()
        ..useCertificateChain('$folder/$name.pem')
        ..usePrivateKey('$folder/$name.key'),
  };
  final recipes = <String, Future<void> Function(int port)>{
    'web_socket_channel': (port) =>
        web_socket.connectPinned(leaf, Uri.parse('wss://$_host:$port/')),
    'mqtt over a WebSocket': (port) =>
        mqtt.connectPinned(_host, 'a client', port: port),
    'mqtt': (port) =>
        mqtt.connectAnchored(anchored, _host, 'a client', port: port),
    'mqtt with leaf pins': (port) =>
        mqtt.connectAnchored(leaf, _host, 'a client', port: port),
    'grpc': (port) => _call(leaf, port),
    'postgres': (port) => _connect(anchored, port),
    'postgres with leaf pins': (port) => _connect(leaf, port),
  };
  final results = {
    for (final MapEntry(key: name, value: recipe) in recipes.entries)
      name: {
        for (final MapEntry(key: server, value: context) in servers.entries)
          server: await _at(context, name, recipe),
      },
  };
  stdout.writeln(jsonEncode({...results, 'errors': _errors()}));
  exit(0); // A server may still wait for a client.
}

PinSet _pins(String match, List<String> pins, String trust) {
  return PinSet(
    name: 'test',
    version: 1,
    policies: [
      HostPolicy(
        pattern: _host,
        mode: 'enforce',
        match: match,
        pins: pins,
        trust: trust,
      ),
    ],
  );
}

/// What `IOClient` makes of a `SocketException`.
final class _Lost extends ClientException implements SocketException {
  _Lost() : super('lost', Uri.parse('https://bank.example/'));

  @override
  InternetAddress? get address => null;

  @override
  OSError? get osError => null;

  @override
  int? get port => null;
}

/// The types that the recipes make of the errors of dio and `package:http`.
Map<String, String?> _errors() {
  const refusal = PinMismatchException(
    _host,
    presented: [],
    pinned: [],
    pinSet: 'test',
  );
  String? ofDio(DioExceptionType type, [Object? error]) {
    final options = RequestOptions(baseUrl: 'https://$_host');
    final exception =
        DioException(requestOptions: options, type: type, error: error);
    return dio.failureOf(exception)?.runtimeType.toString();
  }

  String? ofHttp(Object error) =>
      http.failureOf(error)?.runtimeType.toString();

  return {
    'dio, refused': ofDio(DioExceptionType.unknown, refusal),
    'dio, handshake':
        ofDio(DioExceptionType.unknown, const HandshakeException('failed')),
    'dio, socket': ofDio(
      DioExceptionType.connectionError,
      const SocketException('no route'),
    ),
    'dio, its own timer': ofDio(DioExceptionType.connectionTimeout),
    'dio, receiving': ofDio(DioExceptionType.receiveTimeout),
    'dio, a response': ofDio(DioExceptionType.badResponse),
    'dio, cancelled': ofDio(DioExceptionType.cancel),
    'http, refused': ofHttp(refusal),
    'http, network': ofHttp(ClientException('closed')),
    'http, the host': http.failureOf(_Lost())?.host,
    'http, other': ofHttp(const FormatException()),
  };
}

Future<void> _call(PinSet pins, int port) async {
  final connector = grpc.PinnedConnector(pins, _host, port: port);
  final channel = ClientTransportConnectorChannel(connector);
  await grpc.callPinned(connector, channel.connect);
  await channel.shutdown();
}

Future<void> _connect(PinSet pins, int port) {
  final endpoint = Endpoint(host: _host, port: port, database: 'bank');
  return postgres.connectAnchored(pins, endpoint);
}

/// `PinnedHttpClient` refuses `ws://`, so a connection means that it wasn't used.
Future<void> _late() async {
  final server = await HttpServer.bind(InternetAddress.loopbackIPv4, 0);
  server.transform(WebSocketTransformer()).listen((socket) => socket.close());
  final url = 'ws://$_host:${server.port}/';
  await (await WebSocket.connect(url)).close();
  HttpOverrides.global = PinnedHttpOverrides(_pins('leaf', const [], ''));
  try {
    await (await WebSocket.connect(url)).close();
    stdout.writeln('not pinned');
  } on UnpinnedRequestException {
    stdout.writeln('pinned');
  }
  exit(0);
}

Future<Map<String, Object>> _at(
  SecurityContext context,
  String name,
  Future<void> Function(int port) recipe,
) async {
  final received = Completer<bool>();
  final server = await ServerSocket.bind(InternetAddress.loopbackIPv4, 0);
  final isPostgres = name.startsWith('postgres');
  server.listen((socket) async {
    try {
      final has = await _receives(socket, context, isPostgres: isPostgres);
      if (!received.isCompleted) received.complete(has);
    } on Exception {
      if (!received.isCompleted) received.complete(false);
    }
  });
  String result;
  try {
    await recipe(server.port);
    result = 'accepted';
  } on ConnectionException catch (failure) {
    result = '${failure.runtimeType}';
  } on Exception catch (error) {
    // The server upgrades no connection.
    result = '$error'.contains('not upgraded') ? 'accepted' : '$error';
  }
  // A recipe that refuses before it connects leaves the server without a client.
  final has = result == 'UnpinnedRequestException'
      ? received.isCompleted
      : await received.future;
  await server.close();
  return {'result': result, 'received': has};
}

/// Serves one client. Returns true if it sent data after the handshake.
Future<bool> _receives(
  Socket socket,
  SecurityContext context, {
  required bool isPostgres,
}) async {
  if (isPostgres) {
    final first = Completer<void>();
    final subscription = socket.listen((_) => first.complete());
    await first.future;
    subscription.pause();
    socket.write('S');
  }
  final secure = await SecureSocket.secureServer(socket, context);
  final text = StringBuffer();
  await for (final data in secure) {
    text.write(latin1.decode(data));
    if ('$text'.contains('\r\n\r\n')) {
      break; // A request to upgrade.
    }
  }
  if ('$text'.startsWith('GET ')) {
    secure.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
    await secure.flush();
  }
  secure.destroy();
  return text.isNotEmpty;
}
