import 'dart:io';

import 'mqtt_client.dart';

class MqttServerClient extends MqttClient {
  MqttServerClient.withPort(
    super.server,
    super.clientIdentifier,
    super.port, {
    this.maxConnectionAttempts = 3,
  }) : super.withPort();

  SecurityContext securityContext = SecurityContext.defaultContext;
  bool Function(X509Certificate certificate)? onBadCertificate;
  bool useWebSocket = false;
  bool secure = false;
  final int maxConnectionAttempts;

  /// With `onBadCertificate`, the package sets the callback of an `HttpClient`.
  @override
  Future<MqttClientConnectionStatus?> connect([
    String? username,
    String? password,
  ]) async {
    if (useWebSocket) {
      final url = Uri.parse(server).replace(port: port);
      final socket = await WebSocket.connect('$url', protocols: ['mqtt']);
      socket.add('connect $clientIdentifier');
      await socket.close();
    } else if (secure) {
      final socket = await SecureSocket.connect(
        server,
        port,
        onBadCertificate: onBadCertificate,
        context: securityContext,
      );
      socket.write('connect $clientIdentifier');
      await socket.flush();
      await socket.close();
    } else {
      throw NoConnectionException('the substitute has no plain TCP');
    }
    return MqttClientConnectionStatus()..state = MqttConnectionState.connected;
  }
}
