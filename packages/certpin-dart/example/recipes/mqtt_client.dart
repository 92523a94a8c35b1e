/// MQTT: mqtt_client 10.
///
/// The package opens its own sockets, and takes only a `SecurityContext`. That
/// enforces policies with `match = "ca"`, whose pins are the anchors in
/// `trust`. **Pins of the server's key cannot be enforced over TCP**: such a
/// policy is refused. Over a WebSocket all of them are, unless
/// `useAlternateWebSocketImplementation` or `onBadCertificate` is set.
///
/// With `PinUpdates`, make a new client to reconnect: a context has the pins of
/// the moment at which it was made.
library;

import 'package:certpin/certpin.dart';
import 'package:mqtt_client/mqtt_client.dart' hide ConnectionException;
import 'package:mqtt_client/mqtt_server_client.dart';

/// Connects to a broker by MQTT over TLS. Don't set `onBadCertificate`.
///
/// Throws a [ConnectionException] if the policy of [host] has pins of the
/// server's key, or if the connection was refused or failed.
Future<MqttServerClient> connectAnchored(
  PinSet pins,
  String host,
  String identifier, {
  int port = 8883,
}) async {
  final client = MqttServerClient.withPort(host, identifier, port)
    ..secure = true
    ..securityContext = pinnedSecurityContext(pins, host: host);
  await _connect(client, host);
  return client;
}

/// Connects to a broker by MQTT over a WebSocket, with all checks.
///
/// Set `HttpOverrides.global = PinnedHttpOverrides(pins)` at the start of
/// `main`. `dart:io` creates the client of all WebSockets when the first one is
/// opened, and mqtt_client passes no other.
Future<MqttServerClient> connectPinned(
  String host,
  String identifier, {
  int port = 443,
}) async {
  final client = MqttServerClient.withPort('wss://$host/mqtt', identifier, port)
    ..useWebSocket = true;
  await _connect(client, host);
  return client;
}

Future<void> _connect(MqttServerClient client, String host) async {
  try {
    await client.connect();
  } on NoConnectionException {
    rethrow; // The broker was not reached in time, or did not accept the client.
  } on Exception catch (error) {
    throw ConnectionException.of(error, host: host) ?? error;
  }
}
