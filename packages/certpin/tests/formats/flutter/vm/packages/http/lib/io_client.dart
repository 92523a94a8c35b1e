import 'dart:io';

import 'http.dart';

class IOClient implements Client {
  IOClient([HttpClient? inner]) : inner = inner ?? HttpClient();

  final HttpClient inner;

  @override
  void close() => inner.close();
}
