/// Broken: if the handshake fails, it is repeated with a client without pins.
///
/// certpin prove --style leaf --via port -- \
///   dart run main.dart unpinned_after_failure {host} {port} {canary}
library;

import 'dart:io';

import 'lab.dart';

Future<String> unpinnedAfterFailure(Lab lab) async {
  final SecureSocket socket;
  try {
    socket = await lab.connect();
  } on IOException {
    return lab.ask(await lab.connect()); // here
  }
  lab.check(socket);
  return lab.ask(socket);
}
