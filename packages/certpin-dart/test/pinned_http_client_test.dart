import 'dart:convert';
import 'dart:io';

import 'package:certpin/certpin.dart';
import 'package:test/test.dart';

import 'loopback.dart';

void main() {
  useServer();

  Future<int> get(PinnedHttpClient client, Uri url) async {
    addTearDown(() => client.close(force: true));
    final request = await client.getUrl(url);
    final response = await request.close();
    await response.drain<void>();
    return response.statusCode;
  }

  Future<void> refused<T>(PinnedHttpClient client, Uri url) =>
      expectLater(get(client, url), throwsA(isA<T>()));

  test('the pinned key is accepted, and a backup beside it does no harm', () {
    final client = PinnedHttpClient(pinned(own, [otherPin, pin]));
    expect(get(client, server.url()), completion(200));
  });

  test('another key is refused before a byte of the request is sent', () async {
    final client = PinnedHttpClient(pinned(own, [otherPin]));
    await refused<PinMismatchException>(client, server.url());
    expect(server.bodies, isEmpty);
  });

  test('a refusal says what was presented and what is pinned', () async {
    final client = PinnedHttpClient(pinned(own, [otherPin]));
    try {
      await get(client, server.url());
      fail('it was accepted');
    } on PinMismatchException catch (error) {
      expect(error.presented, contains(pin));
      expect(error.pinned, [otherPin]);
      expect(error.mayRetry, isFalse);
      expect(ConnectionException.of(error), same(error));
    }
  });

  test('a chain to another root is refused, whatever key is pinned', () async {
    final failures = <PinFailure>[];
    final client = PinnedHttpClient(
      pinned(other, [pin]),
      onFailure: failures.add,
    );
    await refused<TlsHandshakeException>(client, server.url());
    expect(failures.single.reason, Reason.untrusted);
    expect(server.bodies, isEmpty);
  });

  test('another name is refused, although root and key are pinned', () async {
    final impostor = await Server.secure(other);
    addTearDown(impostor.close);
    final client = PinnedHttpClient(pinned(other, [otherPin]));
    await refused<TlsHandshakeException>(client, impostor.url());
    expect(impostor.bodies, isEmpty);
  });

  test('where the anchors are the pins, what they vouch for is accepted', () {
    final client = PinnedHttpClient(pinned(own, [otherPin], match: 'ca'));
    expect(get(client, server.url()), completion(200));
  });

  test('in report mode it passes, and the failure is reported', () async {
    final failures = <PinFailure>[];
    final client = PinnedHttpClient(
      pinned(own, [otherPin], mode: 'report'),
      onFailure: failures.add,
    );
    expect(await get(client, server.url()), 200);
    expect(failures.single.decision, Decision.report);
  });

  test('a report names the app and its version, if they are given', () async {
    final failures = <PinFailure>[];
    final client = PinnedHttpClient(
      pinned(own, [otherPin], mode: 'report'),
      onFailure: failures.add,
    );
    await get(client, server.url());
    Map<String, Object?> reported(ReportedApp app) {
      final text = utf8.decode(failures.single.reportOf(app));
      return jsonDecode(text) as Map<String, Object?>;
    }

    final named = reported(
      ReportedApp(name: 'bank-app', version: '4.2.0'.padRight(300)),
    );
    expect(named['app'], 'bank-app');
    expect(named['app-version'], '4.2.0'.padRight(255));
    expect(named['port'], server.url().port);
    expect(reported(const ReportedApp()), isNot(contains('app')));
  });

  test('a report has at most 64 pins, those of certificates too', () async {
    final failures = <PinFailure>[];
    final certificate = 'cert-sha256/${List.filled(32, 'AB').join(':')}';
    final client = PinnedHttpClient(
      pinned(
        own,
        [certificate, ...List.filled(70, otherPin)],
        mode: 'report',
      ),
      onFailure: failures.add,
    );
    await get(client, server.url());
    final text = utf8.decode(failures.single.reportOf(const ReportedApp()));
    final known = (jsonDecode(text) as Map<String, Object?>)['known-pins'];
    expect(known, [
      certificate,
      ...List.filled(63, 'pin-sha256="${otherPin.substring(7)}"'),
    ]);
  });

  test('a chain that the platform refuses is reported too', () async {
    final failures = <PinFailure>[];
    const policy = HostPolicy(
      pattern: 'localhost',
      mode: 'enforce',
      match: 'leaf',
      pins: ['sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='],
    );
    const pins = PinSet(name: 'test', version: 1, policies: [policy]);
    final client = PinnedHttpClient(pins, onFailure: failures.add);
    await refused<TlsHandshakeException>(client, server.url());
    expect(failures.single.reason, Reason.untrusted);
    expect(server.bodies, isEmpty);
  });

  test('a listener that throws lets nothing through', () async {
    final client = PinnedHttpClient(
      pinned(own, [otherPin]),
      onFailure: (_) => throw StateError('no'),
    );
    await refused<PinMismatchException>(client, server.url());
  });

  test('pins past their date refuse, or pass, as the policy says', () async {
    Future<int> at(String onExpiry) {
      final pins = pinned(
        own,
        [otherPin],
        expires: '2020-01-01T00:00:00Z',
        onExpiry: onExpiry,
      );
      return get(PinnedHttpClient(pins), server.url());
    }

    await expectLater(
      at('fail-closed'),
      throwsA(isA<PinSetExpiredException>()),
    );
    expect(await at('fail-open'), 200);
    expect(await at('report'), 200);
  });

  test('a compromised key is refused, whatever else matches', () async {
    for (final match in ['leaf', 'ca']) {
      final pins = pinned(
        own,
        [pin, otherPin],
        match: match,
        compromised: [pin],
        expires: '2020-01-01T00:00:00Z',
        onExpiry: 'fail-open',
      );
      try {
        await get(PinnedHttpClient(pins), server.url());
        fail('it was accepted');
      } on PinMismatchException catch (error) {
        expect(error.isCompromised, isTrue);
      }
    }
    expect(server.bodies, isEmpty);
  });

  test('in report mode a compromised key passes, and is reported', () async {
    final failures = <PinFailure>[];
    final client = PinnedHttpClient(
      pinned(own, [pin], mode: 'report', compromised: [pin]),
      onFailure: failures.add,
    );
    expect(await get(client, server.url()), 200);
    final text = utf8.decode(failures.single.reportOf(const ReportedApp()));
    final report = jsonDecode(text) as Map<String, Object?>;
    expect(report['reason'], 'compromised-key');
    expect(report['decision'], 'report');
  });

  group('a server that asks for a certificate', () {
    late Server asking;

    setUp(() async => asking = await Server.secure(own, clients: other));

    tearDown(() => asking.close());

    Future<String?> shown(HttpClient client) async {
      addTearDown(() => client.close(force: true));
      final request = await client.getUrl(asking.url());
      final response = await request.close();
      await response.drain<void>();
      return asking.clients.single;
    }

    test('gets the one that the client was given', () async {
      final client = PinnedHttpClient(
        pinned(own, [pin]),
        clientCertificate: other.client,
      );
      expect(await shown(client), other.pem);
    });

    test('gets it from clients that other code makes, too', () async {
      final overrides = PinnedHttpOverrides(
        pinned(own, [pin]),
        clientCertificate: other.client,
      );
      expect(await shown(overrides.createHttpClient(null)), other.pem);
    });

    test('gets none where there is none', () async {
      expect(await shown(PinnedHttpClient(pinned(own, [pin]))), isNull);
    });

    test('is not seen by one whose chain `trust` refuses', () async {
      final client = PinnedHttpClient(
        pinned(other, [pin]),
        clientCertificate: other.client,
      );
      await refused<TlsHandshakeException>(client, asking.url());
      expect(asking.clients, isEmpty);
    });
  });

  test('a context of other code is refused, and not dropped', () {
    final overrides = PinnedHttpOverrides(pinned(own, [pin]));
    expect(
      () => overrides.createHttpClient(SecurityContext()),
      throwsUnsupportedError,
    );
  });

  test('no override is asked for a socket', () async {
    HttpOverrides.global = PinnedHttpOverrides(pinned(own, [otherPin]));
    addTearDown(() => HttpOverrides.global = null);
    final trusting = SecurityContext()
      ..setTrustedCertificatesBytes(utf8.encode(own.pem));
    final socket = await SecureSocket.connect(
      'localhost',
      server.url().port,
      context: trusting,
    );
    socket.destroy();
  });

  test('http:// and hosts without a policy are refused', () async {
    final client = PinnedHttpClient(pinned(own, [pin]));
    final plain = server.url().replace(scheme: 'http');
    await refused<UnpinnedRequestException>(client, plain);
    final unknown = Uri.parse('https://127.0.0.1:${server.url().port}/');
    await refused<UnpinnedRequestException>(client, unknown);
  });

  test('so are redirects to them', () async {
    final plain = await Server.plain();
    addTearDown(plain.close);
    server.moved = plain.url().toString();
    final client = PinnedHttpClient(pinned(own, [pin]));
    await refused<UnpinnedRequestException>(client, server.url('/moved'));
    expect(plain.bodies, isEmpty);
  });

  test('a server that is not there is a matter of the network', () async {
    final url = server.url();
    await server.close();
    final client = PinnedHttpClient(pinned(own, [pin]));
    await refused<NetworkException>(client, url);
    await refused<SocketException>(PinnedHttpClient(client.pins), url);
  });

  test('nothing can be set that leads around the pins', () {
    final client = PinnedHttpClient(pinned(own, [pin]));
    expect(
      () => client.badCertificateCallback = (_, __, ___) => true,
      throwsUnsupportedError,
    );
    expect(
      () => client.connectionFactory =
          (url, proxy, port) => Socket.startConnect(url.host, url.port),
      throwsUnsupportedError,
    );
    client
      ..badCertificateCallback = null
      ..connectionFactory = null
      ..keyLog = null;
    expect(() => client.keyLog = (_) {}, throwsUnsupportedError);
  });

  test('overrides of other code do not reach it', () {
    HttpOverrides.runWithHttpOverrides(() {
      final client = PinnedHttpClient(pinned(other, [pin]));
      expect(
        get(client, server.url()),
        throwsA(isA<TlsHandshakeException>()),
      );
    }, _Careless());
  });

  test('code that makes its own client gets a pinned one', () {
    final overrides = PinnedHttpOverrides(pinned(own, [pin]));
    final client = overrides.createHttpClient(null);
    expect(client, isA<PinnedHttpClient>());
  });

  test('a failure is reported once, on a connection of its own', () async {
    final collector = await Server.plain();
    addTearDown(collector.close);
    // No policy covers this address. `localhost` is pinned, and so takes https
    // only, from reports too.
    final address = collector.url('/reports').replace(host: '127.0.0.1');
    final pins = pinned(own, [otherPin], reportTo: ['$address']);
    await refused<PinMismatchException>(PinnedHttpClient(pins), server.url());
    await refused<PinMismatchException>(PinnedHttpClient(pins), server.url());
    await _until(() => collector.bodies.isNotEmpty);
    final report = jsonDecode(collector.bodies.single) as Map<String, dynamic>;
    expect(report['hostname'], 'localhost');
    expect(report['known-pins'], ['pin-sha256="${otherPin.substring(7)}"']);
    expect(report['served-certificate-chain'], hasLength(1));
    expect(server.bodies, isEmpty);
  });
}

Future<void> _until(bool Function() holds) async {
  final end = DateTime.now().add(const Duration(seconds: 20));
  while (!holds() && DateTime.now().isBefore(end)) {
    await Future<void>.delayed(const Duration(milliseconds: 20));
  }
}

final class _Careless extends HttpOverrides {
  @override
  HttpClient createHttpClient(SecurityContext? context) =>
      super.createHttpClient(context)
        ..badCertificateCallback = (_, __, ___) => true;
}
