/// Common mistakes of pinning in Dart, at real TLS servers.
///
///     mistakes.dart FOLDER
///
/// The folder has the certificates of `test_mistakes.py`. Prints one JSON
/// object: for each mistake, the result of the client, the data that the server
/// received, and the subjects of the certificates that a callback was given.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';

const String _password = 'the password';
const bool _isDebug = !bool.fromEnvironment('dart.vm.product');

late final String _folder;

Future<void> main(List<String> words) async {
  _folder = words.single;
  final results = {
    'callback at a rogue authority': await _at(['rogue'], _withCallback),
    'callback without roots': await _at(['honest'], _withoutRoots),
    'callback that accepts': await _at(['forged'], _accepting),
    'certificate of the response': await _at(['honest'], _exposed),
    'check on another connection': await _at(['honest', 'rogue'], _twoConnections),
    'check of the response': await _at(['rogue'], _late),
    'debug branch': await _at(['forged'], _debugBranch),
    'message': await _at(['forged'], _searchedMessage),
    'test that cannot fail': await _at(['forged'], _uselessTest),
  };
  final environment = {
    'fingerprint': const String.fromEnvironment(
      'CERT_FINGERPRINT',
      defaultValue: _isDebug ? 'DEVELOPMENT' : 'PRODUCTION',
    ),
  };
  stdout.writeln(jsonEncode({...results, 'environment': environment}));
}

/// A platform that trusts the root, and a callback that would refuse all.
Future<String> _withCallback(int port, List<String> given) =>
    _send(port, _client('root', given, (_) => false));

/// The method of guides: no roots, and a callback that compares the certificate
/// with that of the server.
Future<String> _withoutRoots(int port, List<String> given) =>
    _send(port, _client(null, given, _isPinned));

Future<String> _accepting(int port, List<String> given) =>
    _send(port, _client(null, given, (_) => true));

Future<String> _debugBranch(int port, List<String> given) =>
    _send(port, _client(null, given, (seen) => _isDebug || _isPinned(seen)));

Future<String> _exposed(int port, List<String> given) async {
  final certificate = await _post(port, _client('root', given, (_) => false));
  given.add(certificate.subject);
  return 'accepted';
}

/// dio's `validateCertificate`, in its order: request, response, certificate.
Future<String> _late(int port, List<String> given) async {
  final certificate = await _post(port, _client('root', given, (_) => false));
  return _isPinned(certificate) ? 'accepted' : 'refused';
}

/// A plugin's check before each request, on its own connection.
Future<String> _twoConnections(int port, List<String> given) async {
  final context = _context('root');
  final check = await SecureSocket.connect('localhost', port, context: context);
  final certificate = check.peerCertificate!;
  check.destroy();
  if (!_isPinned(certificate)) {
    return 'refused';
  }
  return _send(port, _client('root', given, (_) => false));
}

Future<String> _searchedMessage(int port, List<String> given) async {
  try {
    await _post(port, _client('root', given, (_) => false));
    return 'accepted';
  } on HandshakeException catch (error) {
    given.add(error.message);
    return 'refused';
  }
}

/// A test of guides, for a server that must be refused.
Future<String> _uselessTest(int port, List<String> given) async {
  try {
    await _post(port, _client('root', given, (_) => false));
  } on Exception catch (error) {
    stderr.writeln('Error: $error');
  }
  return 'passed';
}

HttpClient _client(
  String? trusted,
  List<String> given,
  bool Function(X509Certificate) accepts,
) {
  return HttpClient(context: _context(trusted))
    ..badCertificateCallback = (certificate, host, port) {
      given.add(certificate.subject);
      return accepts(certificate);
    };
}

SecurityContext _context(String? trusted) {
  final context = SecurityContext(withTrustedRoots: false);
  if (trusted != null) {
    context.setTrustedCertificates('$_folder/$trusted.pem');
  }
  return context;
}

bool _isPinned(X509Certificate certificate) {
  final honest = File('$_folder/honest.pem').readAsStringSync();
  return honest.startsWith(certificate.pem.trim());
}

Future<String> _send(int port, HttpClient client) async {
  try {
    await _post(port, client);
    return 'accepted';
  } on HandshakeException {
    return 'refused';
  }
}

/// Sends a request. Returns the certificate that comes with the response.
Future<X509Certificate> _post(int port, HttpClient client) async {
  try {
    final url = Uri.parse('https://localhost:$port/');
    final request = await client.postUrl(url);
    request.write(_password);
    final response = await request.close();
    final certificate = response.certificate!;
    await response.drain<void>();
    return certificate;
  } finally {
    client.close(force: true);
  }
}

/// Runs a client at a server that has one identity for each connection.
Future<Map<String, Object>> _at(
  List<String> identities,
  Future<String> Function(int port, List<String> given) client,
) async {
  final received = <String>[];
  var connections = 0;
  final server = await ServerSocket.bind(InternetAddress.loopbackIPv4, 0);
  server.listen((socket) {
    final at = connections++;
    final name = identities[at < identities.length ? at : identities.length - 1];
    unawaited(_serve(socket, name, received));
  });
  final given = <String>[];
  final result = await client(server.port, given);
  await server.close();
  return {
    'result': result,
    'received': received.any((text) => text.contains(_password)),
    'given': given,
  };
}

/// Answers one request. A client that refuses the server ends the connection.
Future<void> _serve(Socket socket, String name, List<String> received) async {
  final context = SecurityContext()
    ..useCertificateChain('$_folder/$name.pem')
    ..usePrivateKey('$_folder/$name.key');
  try {
    final secure = await SecureSocket.secureServer(socket, context);
    final text = StringBuffer();
    await for (final data in secure) {
      text.write(latin1.decode(data));
      received.add('$text');
      if ('$text'.contains(_password)) {
        break;
      }
    }
    secure.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
    await secure.flush();
    secure.destroy();
  } on Exception {
    socket.destroy();
  }
}
