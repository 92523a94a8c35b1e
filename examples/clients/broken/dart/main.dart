/// Broken clients in Dart, in one program: each file has one of them.
///
///     certpin prove --style leaf --via port -- \
///       dart run main.dart NAME {host} {port} {canary}
library;

import 'dart:io';

import 'any_certificate.dart';
import 'certificate_as_pin.dart';
import 'expired_allowed.dart';
import 'first_connection_only.dart';
import 'issuer_by_name.dart';
import 'lab.dart';
import 'pin_after_answer.dart';
import 'pin_in_callback_only.dart';
import 'unpinned_after_failure.dart';

const clients = {
  'any_certificate': anyCertificate,
  'certificate_as_pin': certificateAsPin,
  'expired_allowed': expiredAllowed,
  'first_connection_only': firstConnectionOnly,
  'issuer_by_name': issuerByName,
  'pin_after_answer': pinAfterAnswer,
  'pin_in_callback_only': pinInCallbackOnly,
  'unpinned_after_failure': unpinnedAfterFailure,
};

Future<void> main(List<String> words) async {
  final [name, host, port, canary] = words;
  try {
    stdout.write(await clients[name]!(Lab(host, int.parse(port), canary)));
  } on Exception catch (error) {
    stderr.writeln(error);
    exitCode = 1;
  }
}
