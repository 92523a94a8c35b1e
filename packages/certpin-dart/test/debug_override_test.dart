import 'dart:io';

import 'package:certpin/certpin.dart';
import 'package:test/test.dart';

import 'loopback.dart';

/// Whether the override is expected: a debug build with
/// `--dart-define=CERTPIN_DEBUG=true`. certpin's tests run this file in builds
/// with and without it.
const bool _expected = bool.fromEnvironment('EXPECT_OVERRIDE');

void main() {
  late Directory folder;
  late Identity own;
  late Identity debugging;
  late Identity third;
  late String pin;
  late Server intercepting;

  setUpAll(() async {
    folder = Directory.systemTemp.createTempSync('pinning');
    own = await Identity.make(folder, 'localhost');
    debugging = await Identity.make(folder, 'localhost');
    third = await Identity.make(folder, 'localhost');
    pin = await own.pin();
    intercepting = await Server.secure(debugging);
  });

  tearDownAll(() async {
    await intercepting.close();
    folder.deleteSync(recursive: true);
  });

  Future<void> connect(PinSet pins, Server server) async {
    final proxy = await startProxy();
    addTearDown(proxy.close);
    String through(Uri _) => 'PROXY localhost:${proxy.port}';
    for (final findProxy in [null, through]) {
      final client = PinnedHttpClient(pins)..findProxy = findProxy;
      addTearDown(() => client.close(force: true));
      await (await client.getUrl(server.url())).close();
    }
    final socket = await PinnedSecureSocket.connect(
      'localhost',
      server.url().port,
      pins: pins,
    );
    socket.destroy();
  }

  Future<void> refused(PinSet pins, Server server) => expectLater(
        connect(pins, server),
        throwsA(isA<ConnectionException>().having(
          (error) => error.mayRetry,
          'mayRetry',
          isFalse,
        )),
      );

  PinSet withAnchors({String? expires}) =>
      pinned(own, [pin], expires: expires, debugAnchors: debugging.pem);

  test('the anchors of the file are accepted only in such a build', () async {
    expect(debugOverride, _expected);
    if (_expected) {
      await connect(withAnchors(), intercepting);
      // Also after their pins have expired, as in Python.
      await connect(
        withAnchors(expires: '2020-01-01T00:00:00Z'),
        intercepting,
      );
    } else {
      await refused(withAnchors(), intercepting);
    }
  });

  test('a build alone does not accept them', () async {
    await refused(pinned(own, [pin]), intercepting);
  });

  test('other anchors stay refused', () async {
    final rogue = await Server.secure(third);
    addTearDown(rogue.close);
    await refused(withAnchors(), rogue);
  });

  test('a server that neither accepts fails for its own reason', () async {
    final server = await Server.secure(own);
    addTearDown(server.close);
    await expectLater(
      connect(
        pinned(own, [await third.pin()], debugAnchors: debugging.pem),
        server,
      ),
      throwsA(isA<PinMismatchException>()),
    );
  });

  test('an upgraded socket has no second connection for them', () async {
    await expectLater(
      PinnedSecureSocket.secure(
        await Socket.connect('localhost', intercepting.url().port),
        host: 'localhost',
        pins: withAnchors(),
      ),
      throwsA(isA<TlsHandshakeException>()),
    );
  });

  test('a context contains them only in such a build', () async {
    final context = pinnedSecurityContext(
      pinned(own, [pin], match: 'ca', debugAnchors: debugging.pem),
      host: 'localhost',
    );
    final connection = SecureSocket.connect(
      'localhost',
      intercepting.url().port,
      context: context,
    );
    if (_expected) {
      (await connection).destroy();
    } else {
      await expectLater(connection, throwsA(isA<HandshakeException>()));
    }
  });
}
