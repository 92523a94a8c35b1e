/// WebSockets on pinned connections: web_socket_channel 3.
///
/// `WebSocketChannel.connect` takes no client. `IOWebSocketChannel` does.
library;

import 'package:certpin/certpin.dart';
import 'package:web_socket_channel/io.dart';
import 'package:web_socket_channel/web_socket_channel.dart';

/// Opens a pinned WebSocket to [url], which begins with `wss:`.
///
/// Throws a [ConnectionException] if the connection was refused or failed.
Future<WebSocketChannel> connectPinned(PinSet pins, Uri url) async {
  final client = PinnedHttpClient(pins);
  final channel = IOWebSocketChannel.connect(url, customClient: client);
  try {
    await channel.ready;
  } on Exception catch (error) {
    // The package puts the cause into `inner`.
    final cause = error is WebSocketChannelException ? error.inner : error;
    throw ConnectionException.of(cause) ?? error;
  }
  return channel;
}
