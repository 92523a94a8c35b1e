/// A substitute for `package:mqtt_client` 10.11: the types that the recipe names.
/// It opens connections as that package does, and sends one message.
library;

enum MqttConnectionState { disconnected, connected }

class MqttClientConnectionStatus {
  MqttConnectionState state = MqttConnectionState.disconnected;
}

class NoConnectionException implements Exception {
  NoConnectionException(this.message);

  final String message;
}

/// It has the name of a class of `package:certpin`, as in that package.
class ConnectionException implements Exception {
  ConnectionException(this.message);

  final String message;
}

abstract class MqttClient {
  MqttClient.withPort(this.server, this.clientIdentifier, this.port);

  String server;
  String clientIdentifier;
  int port;

  Future<MqttClientConnectionStatus?> connect([
    String? username,
    String? password,
  ]);
}
