/// Sends one request with the pins of the lab, for `certpin prove`:
///
///     certpin prove --host localhost -- \
///       dart run tool/prove.dart {host} {port} {ca} {pin} {backup} {canary}
///
/// The pins come from the lab; the rest is the code of the app. The exit status
/// is 1 if the connection was refused, as the lab expects.
library;

import 'dart:io';

import 'package:certpin/certpin.dart';

Future<void> main(List<String> words) async {
  if (words.length != 6) {
    stderr.writeln('usage: prove.dart HOST PORT CA PIN BACKUP CANARY');
    exit(64);
  }
  final [host, port, anchors, pin, backup, canary] = words;
  final policy = HostPolicy(
    pattern: host,
    mode: 'enforce',
    match: 'leaf',
    pins: [pin, backup],
    trust: File(anchors).readAsStringSync(),
  );
  final client = PinnedHttpClient(
    PinSet(name: 'lab', version: 1, policies: [policy]),
  );
  try {
    final url = Uri(
      scheme: 'https',
      host: host,
      port: int.parse(port),
      path: '/$canary',
    );
    final request = await client.getUrl(url);
    final response = await request.close();
    await response.drain<void>();
  } on Exception catch (error) {
    stderr.writeln(error);
    exitCode = 1;
  } finally {
    client.close(force: true);
  }
}
