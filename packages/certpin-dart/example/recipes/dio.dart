/// dio 5 on pinned connections.
///
/// The pins are checked before dio sends a request. Don't use the adapter's
/// `validateCertificate` for that: dio calls it with the response, when the
/// request was already sent.
library;

import 'package:certpin/certpin.dart';
import 'package:dio/dio.dart';
import 'package:dio/io.dart';

/// Returns a [Dio] that pins every connection.
///
/// For an existing one, set its `httpClientAdapter`. Every `Dio` of the app
/// needs it, also the one that an interceptor creates to renew a token.
Dio pinnedDio(PinSet pins, {BaseOptions? options}) {
  final chosen = options ?? BaseOptions();
  // dio sets the timeout of its client: without a value it removes the limit.
  final timeout = chosen.connectTimeout ?? const Duration(seconds: 15);
  return Dio(chosen.copyWith(connectTimeout: timeout))
    ..httpClientAdapter =
        IOHttpClientAdapter(createHttpClient: () => PinnedHttpClient(pins));
}

/// Returns the failure of the connection; null if there was a response (a 404,
/// for example).
///
/// A refusal has the type `unknown`, and is the `error` of the exception. If
/// dio's own timer ends a request, `error` is null.
ConnectionException? failureOf(DioException exception) {
  final host = exception.requestOptions.uri.host;
  return ConnectionException.of(exception.error, host: host) ??
      switch (exception.type) {
        DioExceptionType.connectionTimeout ||
        DioExceptionType.sendTimeout ||
        DioExceptionType.receiveTimeout ||
        DioExceptionType.connectionError =>
          NetworkException(exception.message ?? 'timed out', host: host),
        _ => null,
      };
}
