/// A substitute for `package:web_socket_channel` 3.0: the types that the recipe
/// names, with the errors of that package.
library;

abstract interface class WebSocketChannel {
  Future<void> get ready;
}

class WebSocketChannelException implements Exception {
  WebSocketChannelException.from(this.inner);

  final Object? inner;

  @override
  String toString() => 'WebSocketChannelException: $inner';
}
