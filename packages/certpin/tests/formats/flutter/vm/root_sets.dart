/// Connects to one server below each root, with the pins of each provider.
///
/// `main` is in a program that imports the exported pins of all providers.
library;

import 'dart:convert';
import 'dart:io';

import 'package:certpin/certpin.dart';

/// Prints a line of JSON: for each provider, the result at each root.
///
/// [folder] has a chain and a key for each of [roots], named by its number.
Future<void> connectToAll(
  String folder,
  List<String> roots,
  Map<String, PinSet> providers,
) async {
  final ports = [
    for (var number = 0; number < roots.length; number++)
      await _serve('$folder/$number'),
  ];
  final found = <String, Map<String, String>>{};
  for (final MapEntry(key: name, value: pins) in providers.entries) {
    found[name] = {
      for (final (number, root) in roots.indexed)
        root: await _connect(ports[number], pins),
    };
  }
  stdout.writeln(jsonEncode(found));
  await stdout.flush();
  exit(0);
}

Future<int> _serve(String path) async {
  final server = await SecureServerSocket.bind(
    InternetAddress.loopbackIPv4,
    0,
    SecurityContext()
      ..useCertificateChain('$path.pem')
      ..usePrivateKey('$path.key'),
  );
  server.listen(
    (client) => client.listen((_) {}, onError: (Object _) {}),
    onError: (Object _) {},
  );
  return server.port;
}

Future<String> _connect(int port, PinSet pins) async {
  try {
    (await PinnedSecureSocket.connect('localhost', port, pins: pins)).destroy();
    return 'accepted';
  } on Exception catch (error) {
    return '${error.runtimeType}';
  }
}
