/// A substitute for `package:http2` 2.3, for gRPC: the types that the recipe
/// names. It sends the client's preface.
library;

import 'dart:async';
import 'dart:io';

abstract class ClientSettings {}

class ClientTransportConnection {
  /// RFC 9113, section 3.4.
  ClientTransportConnection.viaSocket(
    Socket socket, {
    ClientSettings? settings,
  }) {
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  }
}
