/// Stands in for `package:dio` 5 in certpin's tests, as far as the export names
/// it: its parts have the types of that package, and don't do anything.
library;

enum DioExceptionType {
  connectionTimeout,
  sendTimeout,
  receiveTimeout,
  badCertificate,
  badResponse,
  cancel,
  connectionError,
  unknown,
}

class RequestOptions {
  RequestOptions({this.baseUrl = '', this.path = ''});

  String baseUrl;
  String path;

  Uri get uri => Uri.parse('$baseUrl$path');
}

class BaseOptions {
  BaseOptions({this.baseUrl = '', this.connectTimeout});

  String baseUrl;
  Duration? connectTimeout;

  BaseOptions copyWith({String? baseUrl, Duration? connectTimeout}) =>
      BaseOptions(
        baseUrl: baseUrl ?? this.baseUrl,
        connectTimeout: connectTimeout ?? this.connectTimeout,
      );
}

abstract class HttpClientAdapter {}

class Response<T> {
  Response({this.data, this.statusCode});

  T? data;
  int? statusCode;
}

class Dio {
  Dio([BaseOptions? options]) : options = options ?? BaseOptions();

  BaseOptions options;
  late HttpClientAdapter httpClientAdapter;

  Future<Response<T>> get<T>(String path) => throw UnimplementedError();
}

class DioException implements Exception {
  DioException({
    required this.requestOptions,
    this.type = DioExceptionType.unknown,
    this.error,
    this.message,
  });

  final RequestOptions requestOptions;
  final DioExceptionType type;
  final Object? error;
  final String? message;
}
