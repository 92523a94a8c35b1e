// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// `package:http` on pinned connections. Needs `package:http`, version 1.
library;

import 'package:http/http.dart';
import 'package:http/io_client.dart';

import 'exceptions.dart';
import 'pinned_http_client.dart';
import 'policy.dart';
import 'report.dart';

/// A [Client] whose every connection is pinned. Close it when it is not needed.
/// [app] is how reports name the app, and [clientCertificate] is for servers
/// that ask for one.
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

/// Why there was no connection; `null` where the error is about something else.
///
/// `package:http` lets a refusal through as it is. What the network did, it
/// makes a [ClientException] of.
ConnectionException? connectionFailure(Object error) {
  return ConnectionException.of(error) ??
      (error is ClientException
          ? NetworkException(error.message, host: error.uri?.host ?? '')
          : null);
}
