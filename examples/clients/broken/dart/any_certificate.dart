/// Broken: the callback for bad certificates accepts each of them.
///
/// certpin prove --style none --via port -- \
///   dart run main.dart any_certificate {host} {port} {canary}
library;

import 'lab.dart';

Future<String> anyCertificate(Lab lab) async =>
    lab.ask(await lab.connect(onBadCertificate: (_) => true)); // here
