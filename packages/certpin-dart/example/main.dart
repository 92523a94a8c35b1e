/// A request with pinned connections. In an app, `pins` is the constant that
/// `certpin export flutter` writes.
library;

import 'dart:convert';
import 'dart:io';

import 'package:certpin/certpin.dart';

const PinSet pins = PinSet(
  name: 'bank-app',
  version: 1,
  policies: [
    HostPolicy(
      pattern: 'api.bank.example',
      mode: 'enforce',
      match: 'leaf',
      pins: [
        'sha256/q6W5mRnWhhUuWUf2C/dYjmTbCDrQsPCOZvfn3JNyE+s=', // in use
        'sha256/4a6cPehI7OG6cuDZka5NDZ7FR8a60d3auda+sKfg4Ng=', // the backup
      ],
    ),
  ],
);

Future<void> main() async {
  final client = PinnedHttpClient(pins);
  try {
    final url = Uri.parse('https://api.bank.example/accounts');
    final request = await client.getUrl(url);
    final response = await request.close();
    stdout.writeln(await response.transform(utf8.decoder).join());
  } on NetworkException catch (failure) {
    stderr.writeln('try again later: ${failure.logMessage}');
  } on ConnectionException catch (failure) {
    stderr.writeln('refused: ${failure.logMessage}'); // never continue
  } finally {
    client.close();
  }
}
