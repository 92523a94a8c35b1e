// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// dio on pinned connections. Needs `package:dio`, version 5.
library;

import 'package:dio/dio.dart';
import 'package:dio/io.dart';

import 'exceptions.dart';
import 'pinned_http_client.dart';
import 'policy.dart';
import 'report.dart';

/// Returns a [Dio] that pins every connection.
///
/// dio sets the timeout of its client from `connectTimeout`; the default is 15
/// seconds if [options] has none. [app] is the name of the app in reports, and
/// [clientCertificate] is for servers that request one.
Dio pinnedDio(
  PinSet pins, {
  BaseOptions? options,
  void Function(PinFailure failure)? onFailure,
  ReportedApp app = const ReportedApp(),
  ClientCertificate? clientCertificate,
}) {
  final chosen = options ?? BaseOptions();
  final patience = chosen.connectTimeout ?? const Duration(seconds: 15);
  return Dio(chosen.copyWith(connectTimeout: patience))
    ..httpClientAdapter = pinnedAdapter(
      pins,
      onFailure: onFailure,
      app: app,
      clientCertificate: clientCertificate,
    );
}

/// Returns the adapter, for an existing [Dio].
///
/// It does not use `validateCertificate`, because dio calls that only after the
/// request was sent. The pins are checked before.
IOHttpClientAdapter pinnedAdapter(
  PinSet pins, {
  void Function(PinFailure failure)? onFailure,
  ReportedApp app = const ReportedApp(),
  ClientCertificate? clientCertificate,
}) {
  return IOHttpClientAdapter(
    createHttpClient: () => PinnedHttpClient(
      pins,
      onFailure: onFailure,
      app: app,
      clientCertificate: clientCertificate,
    ),
  );
}

/// Converts a connection failure of dio.
extension ConnectionFailureOfDio on DioException {
  /// The failure; `null` if there was a connection (a response such as 404).
  ConnectionException? get connectionFailure {
    return ConnectionException.of(error) ??
        switch (type) {
          DioExceptionType.connectionTimeout ||
          DioExceptionType.sendTimeout ||
          DioExceptionType.receiveTimeout ||
          DioExceptionType.connectionError =>
            NetworkException(
              message ?? type.name,
              host: requestOptions.uri.host,
            ),
          _ => null,
        };
  }
}
