/// The requests of the app.
library;

import 'package:certpin/certpin.dart';
import 'package:dio/dio.dart';

/// The accounts of the user.
class Accounts {
  /// Creates accounts that are loaded over [dio], which has pinned connections.
  Accounts(this.dio);

  /// The client. There is one for the whole app.
  final Dio dio;

  /// Returns the response of the server. Throws a [ConnectionException], whose
  /// type decides what the screen shows, and whether it offers to try again.
  Future<String> load() async {
    try {
      final response = await dio.get<String>('/accounts');
      return response.data ?? '';
    } on DioException catch (error) {
      final failure = failureOf(error);
      if (failure == null) {
        rethrow; // There was a connection: a response such as 404.
      }
      throw failure;
    }
  }
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
