/// `package:http` 1 on pinned connections.
library;

import 'package:certpin/certpin.dart';
import 'package:http/http.dart';
import 'package:http/io_client.dart';

/// Returns a [Client] that pins every connection.
///
/// The functions `get`, `post` and so on of the package create their own
/// client: call the methods of this one, or set `PinnedHttpOverrides`.
Client pinnedClient(PinSet pins) => IOClient(PinnedHttpClient(pins));

/// Returns the failure of the connection; null if the error has another cause.
///
/// The package passes a refusal on unchanged, and converts network failures to
/// a [ClientException] without the status of a proxy: it may be retried here
/// even if a proxy refused with 407.
ConnectionException? failureOf(Object error) {
  final host = error is ClientException ? error.uri?.host ?? '' : '';
  return ConnectionException.of(error, host: host) ??
      (error is ClientException
          ? NetworkException(error.message, host: host)
          : null);
}
