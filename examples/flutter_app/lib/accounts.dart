/// What the app asks its server.
library;

import 'package:dio/dio.dart';

import 'pinning/exceptions.dart';
import 'pinning/pinned_dio.dart';

/// The accounts of whoever uses the app.
class Accounts {
  /// Accounts, asked for over [dio]: one that `pinnedDio` has made.
  Accounts(this.dio);

  /// The client. There is one for the whole app.
  final Dio dio;

  /// The answer of the server. Throws a [ConnectionException], by whose type the
  /// screen decides what to say and whether to offer another try.
  Future<String> load() async {
    try {
      final response = await dio.get<String>('/accounts');
      return response.data ?? '';
    } on DioException catch (error) {
      final failure = error.connectionFailure;
      if (failure == null) {
        rethrow; // There was a connection: an answer such as 404.
      }
      throw failure;
    }
  }
}
