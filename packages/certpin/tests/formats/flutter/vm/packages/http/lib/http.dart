/// Stands in for `package:http` 1 in certpin's tests, as far as the export names
/// it: its parts have the types of that package, and don't do anything.
library;

abstract interface class Client {
  void close();
}

class ClientException implements Exception {
  ClientException(this.message, [this.uri]);

  final String message;
  final Uri? uri;
}
