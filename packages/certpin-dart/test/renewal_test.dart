import 'dart:io';

import 'package:certpin/certpin.dart';
import 'package:test/test.dart';

import 'loopback.dart';

/// A set that a test replaces, as `PinUpdates` does.
final class _Current implements PinSet {
  _Current(this.policies);

  @override
  List<HostPolicy> policies;

  @override
  int version = 1;

  @override
  String get name => 'test';

  @override
  String? get debugAnchors => null;
}

/// A connection is used only as long as its check holds.
void main() {
  useServer();

  Future<int> get(PinnedHttpClient client, [String path = '/']) async {
    final request = await client.getUrl(server.url(path));
    final response = await request.close();
    await response.drain<void>();
    return response.statusCode;
  }

  PinnedHttpClient clientOf(PinSet pins, {DateTime Function()? now}) {
    final client = PinnedHttpClient(
      pins,
      reports: false,
      now: now ?? DateTime.now,
    );
    addTearDown(() => client.close(force: true));
    return client;
  }

  test('a key that an update revokes is refused at once', () async {
    final pins = _Current(pinned(own, [pin]).policies);
    final client = clientOf(pins);
    expect(await get(client), 200);
    pins
      ..policies = pinned(own, [otherPin], compromised: [pin]).policies
      ..version = 2;
    await expectLater(get(client), throwsA(isA<PinMismatchException>()));
    expect(server.bodies, hasLength(1));
  });

  test('other pins of the same version are an update too', () async {
    // After a theft of keys, a new root lets the owner sign this version again.
    final pins = _Current(pinned(own, [pin]).policies);
    final client = clientOf(pins);
    expect(await get(client), 200);
    pins.policies = pinned(own, [otherPin]).policies;
    await expectLater(get(client), throwsA(isA<PinMismatchException>()));
    expect(server.bodies, hasLength(1));
  });

  test('a policy that an update removes allows no more requests', () async {
    final pins = _Current(pinned(own, [pin]).policies);
    final client = clientOf(pins);
    expect(await get(client), 200);
    pins
      ..policies = const []
      ..version = 2;
    await expectLater(get(client), throwsA(isA<UnpinnedRequestException>()));
  });

  test('pins that expire refuse the next request', () async {
    var now = DateTime.utc(2027);
    final client = clientOf(
      pinned(own, [pin], expires: '2027-06-01T00:00:00Z'),
      now: () => now,
    );
    expect(await get(client), 200);
    expect(await get(client), 200);
    expect(server.ports, hasLength(1));
    now = DateTime.utc(2027, 6);
    await expectLater(get(client), throwsA(isA<PinSetExpiredException>()));
    expect(server.bodies, hasLength(2));
  });

  test('without a change the connection is used again', () async {
    var now = DateTime.utc(2027);
    final client = clientOf(
      pinned(
        own,
        [pin],
        expires: '2027-06-01T00:00:00Z',
        onExpiry: 'fail-open',
      ),
      now: () => now,
    );
    await get(client);
    now = DateTime.utc(2028);
    await get(client);
    expect(server.ports, hasLength(2));
    await get(client);
    expect(server.ports, hasLength(2));
  });

  test('requests that are running or connecting finish', () async {
    final pins = _Current(pinned(own, [pin]).policies);
    final client = clientOf(pins);
    final open = await client.getUrl(server.url());
    final connecting = get(client);
    server.moved = '/';
    pins.version = 2;
    expect(await get(client), 200);
    expect(await connecting, 200);
    final response = await open.close();
    await response.drain<void>();
    expect(response.statusCode, 200);
  });

  test('a running request still follows its redirect', () async {
    final pins = _Current(pinned(own, [pin]).policies);
    final client = clientOf(pins);
    final open = await client.getUrl(server.url('/moved'));
    pins.version = 2;
    expect(await get(client), 200);
    final response = await open.close();
    await response.drain<void>();
    expect(response.statusCode, 200);
    expect(response.redirects, hasLength(1));
  });

  test('the settings stay', () async {
    final pins = _Current(pinned(own, [pin]).policies);
    final client = clientOf(pins)
      ..idleTimeout = const Duration(seconds: 3)
      ..maxConnectionsPerHost = 2
      ..autoUncompress = false
      ..userAgent = 'bank-app'
      ..addCredentials(
        server.url(),
        'bank',
        HttpClientBasicCredentials('user', 'password'),
      );
    await get(client);
    pins.version = 2;
    await get(client);
    expect(client.idleTimeout, const Duration(seconds: 3));
    expect(client.maxConnectionsPerHost, 2);
    expect(client.autoUncompress, isFalse);
    expect(client.userAgent, 'bank-app');
    expect(server.ports, hasLength(2));
    expect(server.authorizations, [
      for (var at = 0; at < 2; at += 1) 'Basic dXNlcjpwYXNzd29yZA==',
    ]);
  });

  test('a closed client stays closed', () async {
    final pins = _Current(pinned(own, [pin]).policies);
    final client = clientOf(pins);
    await get(client);
    client.close();
    pins.version = 2;
    await expectLater(get(client), throwsA(isA<StateError>()));
  });

  test('a path that looks like a URL stays a path', () async {
    final client = clientOf(pinned(own, [pin]));
    final port = server.url().port;
    final paths = {
      '//x/y': '//x/y',
      'a:b': '/a:b',
      '//u:p@x/y': '//u:p@x/y',
      '/a?b=//c?d#e?f': '/a?b=//c?d',
    };
    for (final MapEntry(key: path, value: sent) in paths.entries) {
      final request = await client.get('localhost', port, path);
      expect(request.uri.userInfo, '');
      expect('${request.uri}', 'https://localhost:$port$sent');
      await (await request.close()).drain<void>();
    }
  });

  test('a connection that onFailure cancels is not returned', () async {
    late ConnectionTask<SecureSocket> task;
    task = await PinnedSecureSocket.startConnect(
      'localhost',
      server.url().port,
      pins: pinned(own, [otherPin], mode: 'report'),
      reports: false,
      onFailure: (_) => task.cancel(),
    );
    await expectLater(task.socket, throwsA(isA<NetworkException>()));
  });
}
