import 'dart:io';

import 'package:certpin/certpin.dart';
import 'package:certpin/src/proxy.dart' show maxResponseHead;
import 'package:test/test.dart';

import 'loopback.dart';

const Duration _patience = Duration(seconds: 20);

void main() {
  late PlainServer proxy;

  useServer(otherName: 'localhost');

  setUp(() async => proxy = await startProxy());

  tearDown(() => proxy.close());

  PinnedHttpClient clientOf(
    PinSet pins,
    String proxies, {
    void Function(PinFailure failure)? onFailure,
  }) {
    final client = PinnedHttpClient(pins, onFailure: onFailure)
      ..findProxy = (_) => proxies;
    addTearDown(() => client.close(force: true));
    return client;
  }

  Future<int> get(PinnedHttpClient client, [Uri? url]) async {
    final request = await client.getUrl(url ?? server.url());
    request.headers.set('authorization', 'Bearer secret');
    final response = await request.close();
    await response.drain<void>();
    return response.statusCode;
  }

  Future<void> refused<T extends ConnectionException>(
    PinnedHttpClient client, {
    int? status,
  }) async {
    try {
      await get(client);
      fail('it was accepted');
    } on T catch (error) {
      final found = error is NetworkException ? error.proxyStatus : null;
      expect(found, status);
    }
  }

  String via([PlainServer? other]) =>
      'PROXY localhost:${(other ?? proxy).port}';

  test('a pinned key is accepted, and the proxy sees no request', () async {
    final client = clientOf(pinned(own, [pin]), via());
    expect(await get(client), 200);
    expect(await get(client), 200); // on the same connection
    expect(server.authorizations, ['Bearer secret', 'Bearer secret']);
    final seen = proxy.clients.single.text;
    final port = server.url().port;
    final head = 'CONNECT localhost:$port HTTP/1.1\r\n'
        'Host: localhost:$port\r\n\r\n';
    expect(seen.substring(0, head.length), head);
    expect(seen, isNot(contains('secret')));
    expect(seen.codeUnitAt(head.length), 22); // the ClientHello
  });

  test('the credentials of the proxy are sent to it only', () async {
    final proxies = 'PROXY user:pass@localhost:${proxy.port}';
    expect(await get(clientOf(pinned(own, [pin]), proxies)), 200);
    final [_, _, authorization, end, ...] =
        proxy.clients.single.text.split('\r\n');
    expect(authorization, 'Proxy-Authorization: Basic dXNlcjpwYXNz');
    expect(end, '');
    expect(server.authorizations, ['Bearer secret']);
  });

  test('another key is refused before a byte of the request', () async {
    final failures = <PinFailure>[];
    await refused<PinMismatchException>(
      clientOf(pinned(own, [otherPin]), via(), onFailure: failures.add),
    );
    expect(server.bodies, isEmpty);
    expect(failures.single.host, 'localhost');
    expect(failures.single.port, server.url().port);
  });

  test('a proxy that intercepts TLS is refused', () async {
    final impostor = await Server.secure(other);
    addTearDown(impostor.close);
    final intercepting = await startProxy(target: impostor.url().port);
    addTearDown(intercepting.close);
    await refused<TlsHandshakeException>(
      clientOf(pinned(own, [pin]), via(intercepting)),
    );
    // The same with an authority that the app trusts.
    final both = PinSet(
      name: 'test',
      version: 1,
      policies: [
        HostPolicy(
          pattern: 'localhost',
          mode: 'enforce',
          match: 'leaf',
          pins: [pin],
          trust: own.pem + other.pem,
        ),
      ],
    );
    await refused<PinMismatchException>(clientOf(both, via(intercepting)));
    expect(impostor.bodies, isEmpty);
  });

  test('a refusal is final: the next route is not tried', () async {
    final impostor = await Server.secure(other);
    addTearDown(impostor.close);
    final intercepting = await startProxy(target: impostor.url().port);
    addTearDown(intercepting.close);
    final proxies = '${via(intercepting)}; ${via()}; DIRECT';
    await refused<TlsHandshakeException>(
      clientOf(pinned(own, [pin]), proxies),
    );
    expect(proxy.clients, isEmpty);
    expect(server.bodies, isEmpty);
  });

  test('a proxy that refuses is a failure with its status', () async {
    for (final status in [407, 502, 403, 101, 302]) {
      final refusing = await startProxy(
        response: 'HTTP/1.1 $status No\r\nLocation: /\r\n\r\n',
      );
      addTearDown(refusing.close);
      final client = clientOf(pinned(own, [pin]), via(refusing));
      await refused<NetworkException>(client, status: status);
    }
    expect(server.bodies, isEmpty);
    expect(const NetworkException('', proxyStatus: 407).mayRetry, isFalse);
    expect(const NetworkException('', proxyStatus: 502).mayRetry, isTrue);
  });

  test('a hostile response is a failure of the network', () async {
    for (final response in [
      'HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
      'HTTP/1.1 200 OK\r\n${'a: b\r\n' * maxResponseHead}',
      'a' * 100000,
      'SSH-2.0-x\r\n\r\n',
    ]) {
      final hostile = await startProxy(response: response);
      addTearDown(hostile.close);
      await refused<NetworkException>(
        clientOf(pinned(own, [pin]), via(hostile)),
      );
      await hostile.clients.single.ended.timeout(_patience);
    }
    expect(server.bodies, isEmpty);
  });

  test('a proxy that closes or stays silent is one too', () async {
    final closing = await PlainServer.start((client) async {
      await client.until('\r\n\r\n');
      client.socket.destroy();
    });
    addTearDown(closing.close);
    await refused<NetworkException>(
      clientOf(pinned(own, [pin]), via(closing)),
    );
    final silent = await PlainServer.start((_) {});
    addTearDown(silent.close);
    final client = clientOf(pinned(own, [pin]), via(silent))
      ..connectionTimeout = const Duration(milliseconds: 300);
    await refused<NetworkException>(client);
    await silent.clients.single.ended.timeout(_patience);
  });

  test('the next entry is tried after a failure of the network', () async {
    final closed = await PlainServer.start((_) {});
    await closed.close();
    final refusing = await startProxy(response: 'HTTP/1.1 502 No\r\n\r\n');
    addTearDown(refusing.close);
    final silent = await PlainServer.start((_) {});
    addTearDown(silent.close);
    final failing = [closed, refusing, silent].map(via).join('; ');
    final client = clientOf(pinned(own, [pin]), '$failing; ${via()}; DIRECT')
      ..connectionTimeout = const Duration(milliseconds: 500);
    expect(await get(client), 200);
    expect(proxy.clients, hasLength(1));
    expect(await get(clientOf(pinned(own, [pin]), '$failing; DIRECT')), 200);
    await refused<NetworkException>(
      clientOf(pinned(own, [pin]), '${via(closed)}; ${via(refusing)}'),
      status: 502,
    );
  });

  test('a direct connection after a failed proxy is pinned too', () async {
    final refusing = await startProxy(response: 'HTTP/1.1 502 No\r\n\r\n');
    addTearDown(refusing.close);
    await refused<PinMismatchException>(
      clientOf(pinned(own, [otherPin]), '${via(refusing)}; DIRECT'),
    );
    expect(server.bodies, isEmpty);
  });

  test('a proxy of an unsupported kind is refused, not left out', () async {
    for (final proxies in ['HTTPS a:1; DIRECT', 'SOCKS5 a:1', 'a:secret']) {
      final client = clientOf(pinned(own, [pin]), proxies);
      await refused<UnpinnedRequestException>(client);
    }
    expect(server.bodies, isEmpty);
  });

  test('hosts without a policy and http:// are refused', () async {
    final client = clientOf(pinned(own, [pin]), via());
    for (final url in [
      server.url().replace(host: '127.0.0.1'),
      server.url().replace(scheme: 'http'),
    ]) {
      await expectLater(
        get(client, url),
        throwsA(isA<UnpinnedRequestException>()),
      );
    }
    server.moved = 'https://127.0.0.1:${server.url().port}/';
    await expectLater(
      get(client, server.url('/moved')),
      throwsA(isA<UnpinnedRequestException>()),
    );
    expect(proxy.clients, hasLength(1)); // for `/moved`
  });

  test('the variables of the environment can be used', () async {
    final environment = {'https_proxy': 'http://u:p@localhost:${proxy.port}'};
    final client = PinnedHttpClient(pinned(own, [pin]))
      ..findProxy = (url) => HttpClient.findProxyFromEnvironment(
            url,
            environment: environment,
          );
    addTearDown(() => client.close(force: true));
    expect(await get(client), 200);
    expect(proxy.clients.single.text, contains('Basic dTpw'));
  });

  test('null means no proxy', () async {
    final client = clientOf(pinned(own, [pin]), via())..findProxy = null;
    expect(await get(client), 200);
    expect(proxy.clients, isEmpty);
  });

  test('an error of the function is not swallowed', () async {
    final client = PinnedHttpClient(pinned(own, [pin]))
      ..findProxy = (_) => throw StateError('no');
    addTearDown(() => client.close(force: true));
    await expectLater(get(client), throwsA(isA<StateError>()));
  });

  test('credentials that only dart:io can read are refused', () {
    final client = clientOf(pinned(own, [pin]), via());
    expect(
      () => client.addProxyCredentials(
        'localhost',
        1,
        '',
        HttpClientBasicCredentials('user', 'pass'),
      ),
      throwsA(
        isA<UnsupportedError>().having(
          (error) => error.message,
          'message',
          contains("'PROXY user:password@host:port' from findProxy"),
        ),
      ),
    );
    expect(
      () => client.authenticateProxy = (_, __, ___, ____) async => true,
      throwsUnsupportedError,
    );
  });

  test('a WebSocket goes through the proxy, and is pinned', () async {
    final url = server.url('/ws').replace(scheme: 'wss');
    final socket = await WebSocket.connect(
      '$url',
      customClient: clientOf(pinned(own, [pin]), via()),
    );
    socket.add('hello');
    expect(await socket.first, 'hello');
    await socket.close();
    expect(proxy.clients, hasLength(1));
    await expectLater(
      WebSocket.connect(
        '$url',
        customClient: clientOf(pinned(own, [otherPin]), via()),
      ),
      throwsA(isA<PinMismatchException>()),
    );
  });

  test('a WebSocket without a port has port 443', () async {
    final tunnels = await startProxy(target: server.url().port);
    addTearDown(tunnels.close);
    final urls = <Uri>[];
    final failures = <PinFailure>[];
    Future<WebSocket> connect(String expected) {
      final client = PinnedHttpClient(
        pinned(own, [expected]),
        onFailure: failures.add,
      )..findProxy = (url) {
          urls.add(url);
          return via(tunnels);
        };
      addTearDown(() => client.close(force: true));
      return WebSocket.connect('wss://localhost/ws', customClient: client);
    }

    await (await connect(pin)).close();
    expect(tunnels.clients.single.text, contains('CONNECT localhost:443 '));
    expect(urls.single.port, 443);
    await expectLater(
      connect(otherPin),
      throwsA(isA<PinMismatchException>()),
    );
    expect(failures.single.port, 443);
  });

  test('clients of overrides use a proxy too', () async {
    final overrides = PinnedHttpOverrides(
      pinned(own, [pin]),
      findProxy: (_) => via(),
    );
    final client = overrides.createHttpClient(null) as PinnedHttpClient;
    addTearDown(() => client.close(force: true));
    expect(await get(client), 200);
    expect(proxy.clients, hasLength(1));
  });
}
