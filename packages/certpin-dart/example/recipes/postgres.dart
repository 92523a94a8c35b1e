/// PostgreSQL: postgres 3.
///
/// The package starts TLS inside its own protocol, and takes only a
/// `SecurityContext`. That enforces policies with `match = "ca"`, whose pins are
/// the anchors in `trust`. **Pins of the server's key cannot be enforced**: such
/// a policy is refused.
library;

import 'package:certpin/certpin.dart';
import 'package:postgres/postgres.dart';

/// Connects to a database.
///
/// `verifyFull` is necessary: the default, `require`, accepts each certificate
/// that the context refuses.
///
/// Throws a [ConnectionException] if the policy of [Endpoint.host] has pins of
/// the server's key, or if the connection was refused or failed.
Future<Connection> connectAnchored(PinSet pins, Endpoint endpoint) async {
  final host = endpoint.host;
  try {
    return await Connection.open(
      endpoint,
      settings: ConnectionSettings(
        sslMode: SslMode.verifyFull,
        securityContext: pinnedSecurityContext(pins, host: host),
      ),
    );
  } on BadCertificateException catch (error) {
    throw TlsHandshakeException(host, error.message);
  } on PgException {
    rethrow; // The server answered: a wrong password, for example.
  } on Exception catch (error) {
    throw ConnectionException.of(error, host: host) ?? error;
  }
}
