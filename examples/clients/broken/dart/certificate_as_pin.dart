/// Broken: the pin is the digest of the certificate, and not of its key: each
/// renewal locks the client out.
///
/// certpin prove --style leaf --via port -- \
///   dart run main.dart certificate_as_pin {host} {port} {canary}
library;

import 'dart:io';

import 'package:certpin/src/digests.dart';

import 'lab.dart';

Future<String> certificateAsPin(Lab lab) async {
  final socket = await lab.connect();
  final [_, shown] = pinsOf(socket.peerCertificate!.der); // here
  if (shown.split('/').last != lab.fingerprint) {
    socket.destroy();
    throw const HandshakeException('not pinned');
  }
  return lab.ask(socket);
}
