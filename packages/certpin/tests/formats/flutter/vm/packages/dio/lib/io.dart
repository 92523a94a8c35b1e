import 'dart:io';

import 'dio.dart';

typedef CreateHttpClient = HttpClient Function();

class IOHttpClientAdapter implements HttpClientAdapter {
  IOHttpClientAdapter({this.createHttpClient});

  CreateHttpClient? createHttpClient;
}
