/// Proxies: their notation, and the tunnel that a proxy opens with CONNECT
/// (RFC 9110, section 9.3.6).
///
/// A proxy sees the host, the port and its own credentials. TLS and the pins
/// hold between the app and the server, whatever the proxy does.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'exceptions.dart';

/// The maximum size of a proxy's response, in bytes: curl's limit for the
/// headers of a response to CONNECT.
const int maxResponseHead = 16384;

/// An HTTP proxy.
final class Proxy {
  /// Creates a proxy. [credentials] are `user:password`.
  const Proxy(this.host, this.port, [this.credentials]);

  /// The host of the proxy.
  final String host;

  /// The port of the proxy.
  final int port;

  /// The user and the password for Basic authentication (RFC 7617), as
  /// `user:password`. `null`: none.
  final String? credentials;
}

/// Parses the result of a `findProxy`: routes in the order in which they are
/// tried; `null` is a direct connection.
///
/// The notation is that of `HttpClient.findProxy`: `DIRECT`,
/// `PROXY host:port`, `PROXY user:password@host:port`, separated by `;`.
///
/// Throws a [FormatException] on anything else, also on proxies that are
/// themselves reached over TLS (`HTTPS`) and on `SOCKS`. Its message contains
/// no credentials.
List<Proxy?> parseProxies(String configuration) {
  final entries = configuration.split(';').map((entry) => entry.trim());
  final routes = [
    for (final entry in entries)
      if (entry.isNotEmpty) entry == 'DIRECT' ? null : _parseProxy(entry),
  ];
  if (routes.isEmpty) {
    throw const FormatException('it is empty. fix: return DIRECT');
  }
  return routes;
}

Proxy _parseProxy(String entry) {
  const word = 'PROXY ';
  if (!entry.startsWith(word)) {
    final kind = entry.split(' ').first;
    final named = RegExp(r'^(HTTPS?|SOCKS[45]?)$').hasMatch(kind);
    throw FormatException(
      '${named ? '$kind proxies are' : 'an entry is'} not supported. '
      'fix: return DIRECT or PROXY host:port, the address of an HTTP proxy',
    );
  }
  var place = entry.substring(word.length).trim();
  String? credentials;
  final at = place.lastIndexOf('@');
  if (at >= 0) {
    credentials = _parseCredentials(place.substring(0, at));
    place = place.substring(at + 1).trim();
  }
  final colon = place.lastIndexOf(':');
  final port = int.tryParse(place.substring(colon + 1).trim());
  if (colon < 1 || port == null || port < 1 || port > 65535) {
    throw const FormatException('a proxy is not of the form PROXY host:port');
  }
  var host = place.substring(0, colon).trim();
  if (host.startsWith('[') && host.endsWith(']')) {
    host = host.substring(1, host.length - 1);
  }
  return Proxy(host, port, credentials);
}

String _parseCredentials(String text) {
  final colon = text.indexOf(':');
  if (colon < 1 || colon == text.length - 1) {
    throw const FormatException(
      'the credentials of a proxy are not of the form user:password',
    );
  }
  final user = text.substring(0, colon).trim();
  return '$user:${text.substring(colon + 1).trim()}';
}

/// Returns the request that opens a tunnel to a server. It contains no part of
/// the app's request.
///
/// [host] is normalised, so that it can't contain a line break.
List<int> connectRequest(Proxy proxy, String host, int port) {
  final authority = host.contains(':') ? '[$host]:$port' : '$host:$port';
  final credentials = proxy.credentials;
  final lines = [
    'CONNECT $authority HTTP/1.1',
    'Host: $authority',
    if (credentials != null)
      'Proxy-Authorization: Basic ${base64.encode(utf8.encode(credentials))}',
  ];
  return ascii.encode('${lines.join('\r\n')}\r\n\r\n');
}

/// The response to CONNECT, read as it arrives.
final class ConnectResponse {
  static final RegExp _statusLine = RegExp(r'^HTTP/1\.[01] ([1-5]\d\d)( .*)?$');

  final List<int> _line = [];
  int _length = 0;
  int? _status;

  /// The status of the final response. 0 until [add] has returned true.
  int status = 0;

  /// Reads more bytes. Returns true if the response is complete.
  ///
  /// Interim responses (1xx) are skipped, and header fields ignored: a
  /// successful response to CONNECT has no content (RFC 9110, section 9.3.6).
  ///
  /// Throws a [FormatException] if it is not a response of HTTP/1, if it is
  /// longer than [maxResponseHead], or if bytes follow a success: the client
  /// begins the handshake, so that a server has nothing to send.
  bool add(Uint8List bytes) {
    for (final (index, byte) in bytes.indexed) {
      _length += 1;
      if (_length > maxResponseHead) {
        throw const FormatException('its response is too long');
      }
      if (byte != 0x0a) {
        _line.add(byte);
      } else if (_endLine()) {
        if (status ~/ 100 == 2 && index + 1 < bytes.length) {
          throw const FormatException('it sent data before the handshake');
        }
        return true;
      }
    }
    return false;
  }

  /// Returns true if the line that ends here is the end of the response.
  bool _endLine() {
    if (_line.isNotEmpty && _line.last == 0x0d) {
      _line.removeLast();
    }
    final line = latin1.decode(_line);
    _line.clear();
    final current = _status;
    if (current == null) {
      final found = _statusLine.firstMatch(line);
      if (found == null) {
        throw const FormatException('its response is not HTTP/1');
      }
      _status = int.parse(found[1]!);
      return false;
    }
    if (line.isNotEmpty) {
      return false;
    }
    if (current ~/ 100 == 1 && current != HttpStatus.switchingProtocols) {
      _status = null;
      return false;
    }
    status = current;
    return true;
  }
}

/// Opens a tunnel to a server on a connection to a proxy.
///
/// Afterwards the socket has a paused subscription: only `SecureSocket.secure`
/// can use it. Throws a [NetworkException] if the proxy refuses, with its
/// status, or if its response is invalid.
Future<void> openTunnel(Socket socket, Proxy proxy, String host, int port) {
  final opened = Completer<void>();
  void fail(String problem, [int? status]) {
    if (!opened.isCompleted) {
      opened.completeError(
        NetworkException(
          'the proxy ${proxy.host}:${proxy.port} opened no tunnel: $problem',
          host: host,
          proxyStatus: status,
        ),
      );
    }
  }

  final response = ConnectResponse();
  // It ends with the socket, which `SecureSocket.secure` takes with it.
  // ignore: cancel_subscriptions
  late final StreamSubscription<Uint8List> subscription;
  subscription = socket.listen(
    (bytes) {
      try {
        if (!response.add(bytes)) {
          return;
        }
      } on FormatException catch (error) {
        subscription.pause();
        return fail(error.message);
      }
      subscription.pause();
      if (response.status ~/ 100 == 2) {
        opened.complete();
      } else {
        fail(_problemOf(response.status), response.status);
      }
    },
    onError: (Object error) => fail('$error'),
    onDone: () => fail('it closed the connection'),
  );
  socket
    ..done.ignore() // The subscription has the same errors.
    ..add(connectRequest(proxy, host, port));
  return opened.future;
}

String _problemOf(int status) {
  return status == HttpStatus.proxyAuthenticationRequired
      ? 'status 407. fix: return PROXY user:password@host:port from findProxy'
      : 'status $status';
}
