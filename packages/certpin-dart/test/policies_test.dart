import 'dart:async';
import 'dart:io';

import 'package:certpin/certpin.dart';
import 'package:test/test.dart';

import 'loopback.dart';

/// The same policies on each kind of connection.
typedef Connect = Future<Socket> Function(
  PinSet pins,
  Uri url,
  void Function(PinFailure failure) onFailure,
);

/// A set that is updated during the handshake of its first user.
final class _Updated implements PinSet {
  _Updated(this.before, this.after);

  final PinSet before;
  final PinSet after;
  bool _isUpdated = false;

  /// A handshake waits for the network, so that the timer of the first read
  /// ends during it.
  @override
  List<HostPolicy> get policies {
    Timer.run(() => _isUpdated = true);
    return (_isUpdated ? after : before).policies;
  }

  @override
  String get name => after.name;

  @override
  int get version => after.version;

  @override
  String? get debugAnchors => null;
}

void main() {
  late Directory folder;
  late Identity own;
  late Identity other;
  late String pin;
  late String otherPin;
  late Server server;
  late Server otherServer;
  late PlainServer proxy;

  setUpAll(() async {
    folder = Directory.systemTemp.createTempSync('pinning');
    own = await Identity.make(folder, 'localhost', address: '127.0.0.1');
    other = await Identity.make(folder, 'localhost', address: '127.0.0.1');
    pin = await own.pin();
    otherPin = await other.pin();
    server = await Server.secure(own);
    otherServer = await Server.secure(other);
    proxy = await startProxy();
  });

  tearDownAll(() async {
    await proxy.close();
    await server.close();
    await otherServer.close();
    folder.deleteSync(recursive: true);
  });

  Future<Socket> detached(PinnedHttpClient client, Uri url) async {
    addTearDown(() => client.close(force: true));
    final request = await client.getUrl(url);
    return (await request.close()).detachSocket();
  }

  final kinds = <String, Connect>{
    'a request': (pins, url, onFailure) =>
        detached(PinnedHttpClient(pins, onFailure: onFailure), url),
    'a request through a proxy': (pins, url, onFailure) => detached(
          PinnedHttpClient(pins, onFailure: onFailure)
            ..findProxy = (_) => 'PROXY localhost:${proxy.port}',
          url,
        ),
    'a socket': (pins, url, onFailure) => PinnedSecureSocket.connect(
          url.host,
          url.port,
          pins: pins,
          onFailure: onFailure,
        ),
    'an upgraded socket': (pins, url, onFailure) async =>
        PinnedSecureSocket.secure(
          await Socket.connect('localhost', url.port),
          host: url.host,
          pins: pins,
          onFailure: onFailure,
        ),
  };

  test('a client keeps the anchors of its hosts apart', () async {
    final client = PinnedHttpClient(
      PinSet(
        name: 'test',
        version: 1,
        policies: [
          ...pinned(own, [pin]).policies,
          ...pinned(other, [pin, otherPin], pattern: '127.0.0.1').policies,
        ],
      ),
    );
    addTearDown(() => client.close(force: true));
    Future<void> get(Uri url) async =>
        (await (await client.getUrl(url)).close()).drain<void>();

    Uri byAddress(Server server) => server.url().replace(host: '127.0.0.1');

    await get(server.url());
    await expectLater(
      get(byAddress(server)),
      throwsA(isA<TlsHandshakeException>()),
    );
    await get(byAddress(otherServer));
  });

  for (final MapEntry(key: kind, value: connect) in kinds.entries) {
    group(kind, () {
      late List<PinFailure> failures;

      setUp(() => failures = []);

      Future<void> accepted(PinSet pins, {Uri? url}) async {
        final socket = await connect(pins, url ?? server.url(), failures.add);
        socket.destroy();
      }

      Future<void> refused<T>(PinSet pins, {Uri? url}) =>
          expectLater(accepted(pins, url: url), throwsA(isA<T>()));

      void found(Decision decision, Reason reason) {
        expect(
          [for (final each in failures) (each.decision, each.reason)],
          [(decision, reason)],
        );
      }

      test('compares the key of the server', () async {
        await accepted(pinned(own, [otherPin, pin]));
        expect(failures, isEmpty);
        await refused<PinMismatchException>(pinned(own, [otherPin]));
        found(Decision.refuse, Reason.mismatch);
      });

      test('accepts what its anchors certify, if they are the pins', () async {
        await accepted(pinned(own, [otherPin], match: 'ca'));
        await accepted(pinned(own, [], match: 'any'));
        expect(failures, isEmpty);
        await refused<TlsHandshakeException>(
          pinned(other, [otherPin], match: 'ca'),
        );
        found(Decision.refuse, Reason.untrusted);
      });

      test('has separate anchors for each host', () async {
        final pins = PinSet(
          name: 'test',
          version: 1,
          policies: [
            ...pinned(own, [pin]).policies,
            ...pinned(other, [otherPin], pattern: '127.0.0.1').policies,
          ],
        );
        Uri byAddress(Server server) =>
            server.url().replace(host: '127.0.0.1');

        await accepted(pins);
        await accepted(pins, url: byAddress(otherServer));
        expect(failures, isEmpty);
        await refused<TlsHandshakeException>(pins, url: byAddress(server));
        await refused<TlsHandshakeException>(pins, url: otherServer.url());
      });

      test('finds the policy of a pattern', () async {
        await refused<UnpinnedRequestException>(
          pinned(own, [pin], pattern: '*.localhost'),
        );
        await accepted(pinned(own, [pin], pattern: '**.localhost'));
        final exact = PinSet(
          name: 'test',
          version: 1,
          policies: [
            ...pinned(own, [otherPin], pattern: '**.localhost').policies,
            ...pinned(own, [pin]).policies,
          ],
        );
        await accepted(exact);
      });

      test('reports and continues in report mode', () async {
        await accepted(pinned(own, [otherPin], mode: 'report'));
        found(Decision.report, Reason.mismatch);
      });

      test('refuses a compromised key before anything else', () async {
        for (final match in ['leaf', 'ca']) {
          await refused<PinMismatchException>(
            pinned(
              own,
              [pin],
              match: match,
              compromised: [pin],
              expires: '2020-01-01T00:00:00Z',
              onExpiry: 'fail-open',
            ),
          );
        }
        expect(failures.map((each) => each.reason).toSet().toList(), [
          Reason.compromisedKey,
        ]);
        failures.clear();
        await accepted(
          pinned(own, [pin], mode: 'report', compromised: [pin]),
        );
        found(Decision.report, Reason.compromisedKey);
      });

      test('follows the policy when its pins have expired', () async {
        PinSet past(String onExpiry, {String mode = 'enforce'}) => pinned(
              own,
              [otherPin],
              mode: mode,
              expires: '2020-01-01T00:00:00Z',
              onExpiry: onExpiry,
            );

        await refused<PinSetExpiredException>(past('fail-closed'));
        found(Decision.refuse, Reason.expired);
        failures.clear();
        await accepted(past('fail-open'));
        expect(failures, isEmpty);
        await accepted(past('report'));
        found(Decision.report, Reason.mismatch);
        failures.clear();
        await accepted(past('fail-closed', mode: 'report'));
        found(Decision.report, Reason.expired);
      });

      test('applies a set that was updated during the handshake', () async {
        final old = pinned(own, [pin]);
        await refused<PinMismatchException>(
          _Updated(old, pinned(own, [pin], compromised: [pin])),
        );
        found(Decision.refuse, Reason.compromisedKey);
        await refused<UnpinnedRequestException>(
          _Updated(old, pinned(own, [pin], pattern: 'other.example')),
        );
        await refused<NetworkException>(_Updated(old, pinned(other, [pin])));
        await accepted(
          _Updated(pinned(own, [otherPin]), pinned(own, [otherPin, pin])),
        );
      });

      test('lets no exception of a listener accept a server', () async {
        await expectLater(
          connect(
            pinned(own, [otherPin]),
            server.url(),
            (_) => throw StateError('no'),
          ),
          throwsA(isA<PinMismatchException>()),
        );
      });
    });
  }
}
