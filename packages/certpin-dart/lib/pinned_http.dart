// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// `package:http` on pinned connections. Needs `package:http`, version 1.
library;

import 'package:http/http.dart';
import 'package:http/io_client.dart';

import 'exceptions.dart';
import 'pinned_http_client.dart';
import 'policy.dart';
import 'report.dart';

/// Returns a [Client] that pins every connection. Close it after use. [app] is
/// the name of the app in reports, and [clientCertificate] is for servers that
/// request one.
Client pinnedClient(
  PinSet pins, {
  void Function(PinFailure failure)? onFailure,
  ReportedApp app = const ReportedApp(),
  ClientCertificate? clientCertificate,
}) {
  return IOClient(
    PinnedHttpClient(
      pins,
      onFailure: onFailure,
      app: app,
      clientCertificate: clientCertificate,
    ),
  );
}

/// Converts a connection failure; `null` if the error has another cause.
///
/// `package:http` passes a refusal on unchanged, and converts network failures
/// to a [ClientException].
ConnectionException? connectionFailure(Object error) {
  return ConnectionException.of(error) ??
      (error is ClientException
          ? NetworkException(error.message, host: error.uri?.host ?? '')
          : null);
}
