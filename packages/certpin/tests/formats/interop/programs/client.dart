/// A client of the exported library: one request, redirects followed as they
/// come.
///
///     client.dart HOST PORT PATH
library;

import 'dart:io';

import 'package:certpin/certpin.dart';
import 'package:pinning/pins.dart';

Future<void> main(List<String> words) async {
  final [host, port, path] = words;
  final client = PinnedHttpClient(pins, reports: false);
  try {
    final url = Uri(
      scheme: 'https',
      host: host,
      port: int.parse(port),
      path: path,
    );
    final request = await client.getUrl(url);
    // A redirect is then followed on a new connection.
    request.persistentConnection = false;
    final response = await request.close();
    await response.drain<void>();
  } on Exception catch (error) {
    stderr.writeln(error);
    exitCode = 1;
  } finally {
    client.close(force: true);
  }
}
