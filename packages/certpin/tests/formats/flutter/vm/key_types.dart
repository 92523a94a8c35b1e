/// Connects to servers with different types of keys. The argument is the path
/// of a file with JSON: for each case its port, pin and anchors. Prints a line
/// of JSON: the result by the name of the case.
library;

import 'dart:convert';
import 'dart:io';

import 'package:certpin/certpin.dart';

Future<void> main(List<String> words) async {
  final text = File(words.single).readAsStringSync();
  final found = <String, String>{};
  for (final MapEntry(key: name, value: fields)
      in (jsonDecode(text) as Map<String, dynamic>).entries) {
    final [int port, String pin, String trust] = fields as List<dynamic>;
    final pins = PinSet(
      name: 'keys',
      version: 1,
      policies: [
        HostPolicy(
          pattern: 'localhost',
          mode: 'enforce',
          match: 'leaf',
          pins: [pin],
          trust: trust,
        ),
      ],
    );
    try {
      final socket = await PinnedSecureSocket.connect(
        'localhost',
        port,
        pins: pins,
      );
      socket.destroy();
      found[name] = 'accepted';
    } on ConnectionException catch (error) {
      found[name] = '${error.runtimeType}';
    }
  }
  stdout.writeln(jsonEncode(found));
  await stdout.flush();
  exit(0);
}
