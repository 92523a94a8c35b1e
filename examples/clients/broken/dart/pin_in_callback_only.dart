/// Broken: the pin is compared in onBadCertificate, which Dart calls only for
/// certificates that it refuses: a valid one of an attacker is not compared,
/// and one with the right key is accepted for another host and after expiry.
///
/// certpin prove --style leaf --via port -- \
///   dart run main.dart pin_in_callback_only {host} {port} {canary}
library;

import 'lab.dart';

Future<String> pinInCallbackOnly(Lab lab) async =>
    lab.ask(await lab.connect(onBadCertificate: lab.isPinned)); // here
