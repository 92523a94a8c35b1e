/// Runs the `main` of a client for each line of the input, which has its words
/// as JSON, in a new isolate. The last line of the output is then
/// `ended STATUS`, with the exit status of a program that did the same.
library;

import 'dart:convert';
import 'dart:io';
import 'dart:isolate';

import 'package:client/client.dart' as client;

const _uncaught = 255; // the exit status of a VM after an uncaught error

Future<void> main() async {
  final lines = stdin.transform(utf8.decoder).transform(const LineSplitter());
  await for (final line in lines) {
    final words = List<String>.from(jsonDecode(line) as List<dynamic>);
    final messages = ReceivePort();
    final port = messages.sendPort;
    exitCode = 0; // of the VM: an isolate sets it for all
    await Isolate.spawn(client.main, words, onError: port, onExit: port);
    // An error is a list, and the end of the isolate is null.
    await for (final message in messages) {
      if (message == null) {
        break;
      }
      stderr.writeln(message);
      exitCode = _uncaught;
    }
    stdout.writeln('ended $exitCode');
  }
}
