/// A substitute for `package:grpc` 5.1: the types that the recipe names. A call
/// only opens the connection, and reports a failure as that package does.
library;

import 'dart:async';

import 'package:http2/transport.dart';

abstract class ClientTransportConnector {
  Future<ClientTransportConnection> connect();

  Future<dynamic> get done;

  void shutdown();

  String get authority;
}

class ChannelCredentials {
  const ChannelCredentials.secure({List<int>? certificates});
}

class ChannelOptions {
  const ChannelOptions({
    this.credentials = const ChannelCredentials.secure(),
  });

  final ChannelCredentials credentials;
}

class ClientTransportConnectorChannel {
  ClientTransportConnectorChannel(
    this.transportConnector, {
    this.options = const ChannelOptions(),
  });

  final ClientTransportConnector transportConnector;
  final ChannelOptions options;

  /// Not part of the package: what the first call of a client does.
  Future<void> connect() async {
    try {
      await transportConnector.connect();
    } on Object catch (error) {
      throw GrpcError.unavailable('Error connecting: $error');
    }
  }

  Future<void> shutdown() async => transportConnector.shutdown();
}

class GrpcError implements Exception {
  const GrpcError.unavailable([this.message]) : code = 14;

  final int code;
  final String? message;
}
