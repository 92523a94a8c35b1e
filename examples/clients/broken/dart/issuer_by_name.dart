/// Broken: the callback accepts a certificate if its issuer has the right name,
/// which an attacker can choose.
///
/// certpin prove --style none --via port -- \
///   dart run main.dart issuer_by_name {host} {port} {canary}
library;

import 'lab.dart';

Future<String> issuerByName(Lab lab) async => lab.ask(
      await lab.connect(
        onBadCertificate: (certificate) =>
            certificate.issuer.contains('Intermediate I,') || // here
            certificate.subject.contains('Intermediate I,'),
      ),
    );
