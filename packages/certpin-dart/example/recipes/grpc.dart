/// gRPC on pinned connections: grpc 5, with its dependency http2.
///
/// `ClientChannel` opens its own socket and lets an app see the certificate
/// only if the handshake failed. A channel with a connector takes the socket of
/// the connector.
library;

import 'dart:io';

import 'package:certpin/certpin.dart';
import 'package:grpc/grpc.dart';
import 'package:http2/transport.dart';

/// Opens the connections of a channel. Create one for each channel:
///
/// ```dart
/// final connector = PinnedConnector(pins, 'grpc.bank.example');
/// final client = AccountsClient(ClientTransportConnectorChannel(connector));
/// final list = await callPinned(connector, () => client.list(request));
/// ```
final class PinnedConnector implements ClientTransportConnector {
  /// Creates a connector to a [host] with a policy in [pins].
  PinnedConnector(this.pins, this.host, {this.port = 443});

  /// The pins.
  final PinSet pins;

  /// The host.
  final String host;

  /// The port.
  final int port;

  /// Why the last attempt to connect failed; null if it did not.
  ///
  /// The package reports every such failure as `GrpcError.unavailable`, with
  /// the cause only as text.
  ConnectionException? failure;

  late Socket _socket;

  @override
  Future<ClientTransportConnection> connect() async {
    failure = null;
    try {
      _socket = await PinnedSecureSocket.connect(
        host,
        port,
        pins: pins,
        supportedProtocols: const ['h2'],
        timeout: const Duration(seconds: 15),
      );
    } on Exception catch (error) {
      failure = ConnectionException.of(error, host: host);
      rethrow;
    }
    _socket.setOption(SocketOption.tcpNoDelay, true);
    return ClientTransportConnection.viaSocket(_socket);
  }

  @override
  String get authority => port == 443 ? host : '$host:$port';

  @override
  Future<void> get done => _socket.done;

  @override
  void shutdown() => _socket.destroy();
}

/// Makes a call. If the connection failed, throws its [ConnectionException].
Future<T> callPinned<T>(
  PinnedConnector connector,
  Future<T> Function() request,
) async {
  try {
    return await request();
  } on GrpcError {
    if (connector.failure case final failure?) {
      throw failure;
    }
    rethrow;
  }
}
