import 'dart:async';
import 'dart:io';

import 'web_socket_channel.dart';

class IOWebSocketChannel implements WebSocketChannel {
  factory IOWebSocketChannel.connect(
    Object url, {
    Iterable<String>? protocols,
    Map<String, dynamic>? headers,
    Duration? pingInterval,
    Duration? connectTimeout,
    HttpClient? customClient,
  }) {
    return IOWebSocketChannel._(
      WebSocket.connect('$url', customClient: customClient),
    );
  }

  IOWebSocketChannel._(Future<WebSocket> socket) : ready = _open(socket) {
    ready.ignore();
  }

  @override
  final Future<void> ready;

  static Future<void> _open(Future<WebSocket> socket) async {
    try {
      final open = await socket;
      open.add('hello');
      await open.close();
    } on TimeoutException {
      rethrow;
    } on Object catch (error) {
      throw WebSocketChannelException.from(error);
    }
  }
}
