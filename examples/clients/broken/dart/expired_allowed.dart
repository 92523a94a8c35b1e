/// Broken: the callback lets every certificate in that has expired, for users
/// with a wrong clock.
///
/// certpin prove --style none --via port -- \
///   dart run main.dart expired_allowed {host} {port} {canary}
library;

import 'lab.dart';

Future<String> expiredAllowed(Lab lab) async => lab.ask(
      await lab.connect(
        onBadCertificate: (certificate) =>
            certificate.endValidity.isBefore(DateTime.now()), // here
      ),
    );
