// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// dio on pinned connections. Needs `package:dio`, version 5.
library;

import 'package:dio/dio.dart';
import 'package:dio/io.dart';

import 'exceptions.dart';
import 'pinned_http_client.dart';
import 'policy.dart';
import 'report.dart';

/// A [Dio] whose every connection is pinned.
///
/// dio sets the timeout of its client from `connectTimeout`: where [options]
/// has none, it gets 15 seconds. [app] is how reports name the app, and
/// [clientCertificate] is for servers that ask for one.
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

/// The adapter, for a [Dio] that the app already has.
///
/// `validateCertificate` is not used: dio calls it when the request was already
/// sent. Here the check comes before.
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

/// Why dio had no connection.
extension ConnectionFailureOfDio on DioException {
  /// What is inside: `null` where there was a connection (an answer such as
  /// 404).
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
