/// Broken: the pin is compared when the answer arrives, as a hook on the
/// response does it.
///
/// certpin prove --style leaf --via port -- \
///   dart run main.dart pin_after_answer {host} {port} {canary}
library;

import 'dart:io';

import 'lab.dart';

Future<String> pinAfterAnswer(Lab lab) async {
  final socket = await lab.connect();
  final certificate = socket.peerCertificate;
  final answer = await lab.ask(socket);
  if (!lab.isPinned(certificate)) {
    throw const HandshakeException('not pinned'); // here
  }
  return answer;
}
