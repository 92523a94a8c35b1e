/// Connections to two servers, of which one has a root of the platform: that
/// of the VM's option `--root-certs-file`. Prints a line of JSON: the type of
/// each result, by the name of the case.
library;

import 'dart:convert';
import 'dart:io';

import 'package:certpin/certpin.dart';

Future<int> serve(String folder, String name) async {
  final server = await SecureServerSocket.bind(
    InternetAddress.loopbackIPv4,
    0,
    SecurityContext()
      ..useCertificateChain('$folder/$name.pem')
      ..usePrivateKey('$folder/$name.key'),
  );
  server.listen(
    (client) => client.listen((_) {}, onError: (Object _) {}),
    onError: (Object _) {},
  );
  return server.port;
}

Future<String> typeOf(Future<Socket> connection) async {
  try {
    (await connection).destroy();
    return 'accepted';
  } on Exception catch (error) {
    return '${error.runtimeType}';
  }
}

Future<void> main(List<String> words) async {
  final [folder, platformPin, ownPin] = words;
  final platform = await serve(folder, 'platform');
  final own = await serve(folder, 'own');
  final anchors = File('$folder/anchors.pem').readAsStringSync();

  PinSet pins(List<String> pins, {String match = 'leaf', String? trust}) =>
      PinSet(
        name: 'roots',
        version: 1,
        policies: [
          HostPolicy(
            pattern: 'localhost',
            mode: 'enforce',
            match: match,
            pins: pins,
            trust: trust,
          ),
        ],
      );

  Future<String> connect(int port, PinSet pins) =>
      typeOf(PinnedSecureSocket.connect('localhost', port, pins: pins));

  Future<String> inContext(int port) => typeOf(
        SecureSocket.connect(
          'localhost',
          port,
          context: pinnedSecurityContext(
            pins(const [], match: 'ca', trust: anchors),
            host: 'localhost',
          ),
        ),
      );

  final found = {
    'platform root, pinned key': await connect(platform, pins([platformPin])),
    'platform root, other key': await connect(platform, pins([ownPin])),
    'unknown root, pinned key': await connect(own, pins([ownPin])),
    'trust, pinned key under a platform root': await connect(
      platform,
      pins([platformPin], trust: anchors),
    ),
    'trust as pins, platform root': await connect(
      platform,
      pins(const [], match: 'ca', trust: anchors),
    ),
    'trust as pins, its root': await connect(
      own,
      pins(const [], match: 'ca', trust: anchors),
    ),
    'context, platform root': await inContext(platform),
    'context, its root': await inContext(own),
  };
  stdout.writeln(jsonEncode(found));
  await stdout.flush();
  exit(0);
}
