/// Broken: the host counts as checked after its first connection.
///
/// certpin prove --style leaf --via port -- \
///   dart run main.dart first_connection_only {host} {port} {canary}
library;

import 'lab.dart';

Future<String> firstConnectionOnly(Lab lab) async {
  var isChecked = false;
  for (var number = 0; number < 2; number++) {
    final socket = await lab.connect();
    if (!isChecked) {
      lab.check(socket);
      isChecked = true; // here
    }
    await lab.ask(socket);
  }
  return 'done';
}
