/// Connects to the lab of `certpin prove` with one client of this package:
///
///     certpin prove -- dart run example/prove.dart proxy --proxy {proxy} \
///       --url {url} --pins {pin},{backup} --anchors {ca}
///
/// The other clients connect directly, so the host must be on this machine:
///
///     certpin prove --host localhost --via port -- \
///       dart run example/prove.dart http \
///       --url {url} --pins {pin},{backup} --anchors {ca}
///
/// `http` is a `PinnedHttpClient`, `proxy` the same over an HTTP proxy,
/// `websocket` a `WebSocket` on it, `socket` a `PinnedSecureSocket`, `isolate`
/// an `HttpClient` in another isolate, and `anchors` a `PinnedHttpClient` with
/// no pins but its trust anchors, which it requires:
///
///     certpin prove --host localhost --via port --style ca -- \
///       dart run example/prove.dart anchors --url {url} --anchors {anchors}
///
/// `--url2`, `--pins2` and `--anchors2` are for the second host of the matrix,
/// and `--compromised {compromised}` is a key to refuse. Without `--anchors`,
/// the other clients trust the roots of the platform.
///
/// The exit status is 0 if every server was accepted, and 1 if one was refused.
library;

import 'dart:async';
import 'dart:io';

import 'package:certpin/certpin.dart';

/// Sends a request to a URL. Throws an exception if it fails.
typedef Client = Future<void> Function(PinSet pins, Uri url);

Future<void> main(List<String> words) async {
  final options = _Options.of(words);
  final Client client = switch (words.first) {
    'http' || 'anchors' => overHttp,
    'websocket' => overWebSocket,
    'socket' => overSocket,
    'proxy' => (pins, url) => overProxy(pins, url, options.proxy),
    'isolate' => inIsolate,
    _ => _usage(),
  };
  // The first URL is requested twice, each time on a new connection, and after
  // a refusal too: every connection has to be checked.
  for (final url in [options.urls.first, ...options.urls]) {
    try {
      await client(options.pins, url);
    } on Exception catch (error) {
      stderr.writeln(error);
      exitCode = 1;
    }
  }
}

/// `PinnedHttpClient`. It follows redirects, to pinned hosts only.
Future<void> overHttp(PinSet pins, Uri url) =>
    _get(PinnedHttpClient(pins, reports: false), url);

/// `PinnedHttpClient` over an HTTP proxy.
Future<void> overProxy(PinSet pins, Uri url, Uri proxy) => _get(
      PinnedHttpClient(pins, reports: false)
        ..findProxy = (_) => 'PROXY ${proxy.host}:${proxy.port}',
      url,
    );

/// `WebSocket` on a `PinnedHttpClient`.
Future<void> overWebSocket(PinSet pins, Uri url) async {
  final client = PinnedHttpClient(pins, reports: false);
  try {
    final address = '${url.replace(scheme: 'wss')}';
    final socket = await WebSocket.connect(address, customClient: client);
    socket.add('a message');
    var answers = 0;
    await socket.forEach((_) {
      answers++;
      unawaited(socket.close());
    });
    if (answers == 0) {
      throw const WebSocketException('the server sent no message');
    }
  } finally {
    client.close(force: true);
  }
}

/// `PinnedSecureSocket`, and a request as an app's own protocol would send it.
Future<void> overSocket(PinSet pins, Uri url) async {
  final socket = await PinnedSecureSocket.connect(
    url.host,
    url.port,
    pins: pins,
    reports: false,
  );
  try {
    socket.write('GET ${url.path} HTTP/1.1\r\nHost: ${url.authority}\r\n\r\n');
    await socket.flush();
    if (await socket.isEmpty) {
      throw const SocketException('the server sent no answer');
    }
  } finally {
    socket.destroy();
  }
}

/// An `HttpClient` of other code, in a new isolate.
Future<void> inIsolate(PinSet pins, Uri url) =>
    PinnedHttpOverrides.runInIsolate(pins, () => _get(HttpClient(), url));

Future<void> _get(HttpClient client, Uri url) async {
  try {
    final request = await client.getUrl(url);
    // A redirect is then followed on a new connection.
    request.persistentConnection = false;
    final response = await request.close();
    await response.drain<void>();
  } finally {
    client.close(force: true);
  }
}

Never _usage() {
  stderr.writeln(
    'usage: prove.dart anchors|http|isolate|proxy|socket|websocket --url URL\n'
    '  [--pins PIN,PIN] [--anchors FILE] [--compromised PIN] [--proxy URL]\n'
    '  [--url2 URL] [--pins2 PIN,PIN] [--anchors2 FILE]',
  );
  exit(64);
}

/// The words of the command line: a client, and then `--name value`.
final class _Options {
  _Options(this._values);

  factory _Options.of(List<String> words) {
    final values = <String, String>{};
    for (var at = 1; at + 1 < words.length; at += 2) {
      values[words[at]] = words[at + 1];
    }
    final isKnown = _names.containsAll(values.keys);
    if (words.length.isEven || !isKnown || !values.containsKey('--url')) {
      _usage();
    }
    return _Options(values);
  }

  static const _names = {
    ...{'--url', '--pins', '--anchors'},
    ...{'--url2', '--pins2', '--anchors2'},
    ...{'--compromised', '--proxy'},
  };

  final Map<String, String> _values;

  List<Uri> get urls => [
        Uri.parse(_values['--url']!),
        if (_values['--url2'] case final second?) Uri.parse(second),
      ];

  Uri get proxy => switch (_values['--proxy']) {
        final address? => Uri.parse(address),
        null => _usage(),
      };

  PinSet get pins => PinSet(
        name: 'lab',
        version: 1,
        policies: [
          _policy(urls.first, _values['--pins'], _values['--anchors']),
          if (urls.length > 1)
            _policy(
              urls.last,
              _values['--pins2'],
              _values['--anchors2'] ?? _values['--anchors'],
            ),
        ],
      );

  HostPolicy _policy(Uri url, String? pins, String? anchors) {
    if (pins == null && anchors == null) {
      _usage(); // There would be nothing to compare.
    }
    return HostPolicy(
      pattern: url.host,
      mode: 'enforce',
      match: pins == null ? 'ca' : 'leaf',
      pins: pins?.split(',') ?? const [],
      compromised: _list(_values['--compromised']),
      trust: anchors == null ? null : File(anchors).readAsStringSync(),
    );
  }

  static List<String> _list(String? words) =>
      words == null || words.isEmpty ? const [] : words.split(',');
}
