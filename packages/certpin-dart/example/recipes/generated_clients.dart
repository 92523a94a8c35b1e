/// Clients that retrofit 4 and chopper 8 generate, on pinned connections.
///
/// Both send their requests with the `Dio` or the `Client` of the caller. A
/// `ChopperClient` without one creates its own, which is not pinned.
library;

import 'package:certpin/certpin.dart';
import 'package:chopper/chopper.dart';
import 'package:dio/dio.dart';
import 'package:retrofit/retrofit.dart';

import 'dio.dart' show pinnedDio;
import 'http.dart' show pinnedClient;

const String _server = 'https://api.bank.example';

/// Returns a client of retrofit. Its errors are those of [pinnedDio].
AccountsApi pinnedAccounts(PinSet pins) =>
    AccountsApi(pinnedDio(pins, options: BaseOptions(baseUrl: _server)));

/// Returns a client of chopper. Its errors are those of [pinnedClient].
ChopperClient pinnedChopper(PinSet pins, List<ChopperService> services) {
  return ChopperClient(
    baseUrl: Uri.parse(_server),
    client: pinnedClient(pins),
    services: services,
  );
}

/// An API of retrofit.
@RestApi()
abstract class AccountsApi {
  /// Creates a client that sends its requests with [dio].
  factory AccountsApi(Dio dio) = _AccountsApi;

  /// Returns the accounts.
  @GET('/accounts')
  Future<String> accounts();
}

// In an app, retrofit_generator writes this class, into a part of the library.
class _AccountsApi implements AccountsApi {
  _AccountsApi(this._dio);

  final Dio _dio;

  @override
  Future<String> accounts() async =>
      (await _dio.get<String>('/accounts')).data ?? '';
}
