import 'dart:io';

import 'package:certpin/certpin.dart';
import 'package:test/test.dart';

import 'loopback.dart';

void main() {
  late Directory folder;
  late Identity own;
  late Identity other;
  late String pin;
  late Server server;

  setUpAll(() async {
    folder = Directory.systemTemp.createTempSync('pinning');
    own = await Identity.make(folder, 'localhost');
    other = await Identity.make(folder, 'localhost');
    pin = await own.pin();
    server = await Server.secure(own, clients: other);
  });

  tearDownAll(() async {
    await server.close();
    folder.deleteSync(recursive: true);
  });

  /// Connects as a package does that accepts only a context.
  Future<SecureSocket> connect(SecurityContext context) async {
    final port = server.url().port;
    final socket = await SecureSocket.connect(
      'localhost',
      port,
      context: context,
    );
    addTearDown(socket.destroy);
    return socket;
  }

  void refused(PinSet pins, String fix, {String host = 'localhost'}) {
    expect(
      () => pinnedSecurityContext(pins, host: host),
      throwsA(
        isA<UnpinnedRequestException>().having(
          (error) => error.problem,
          'problem',
          contains(fix),
        ),
      ),
    );
  }

  test('a context trusts the anchors of the host, and no others', () async {
    final pins = PinSet(
      name: 'test',
      version: 1,
      policies: [
        ...pinned(own, [pin], match: 'ca').policies,
        ...pinned(other, [pin], match: 'any', pattern: '**.x.example').policies,
      ],
    );
    final context = pinnedSecurityContext(pins, host: 'LOCALHOST.');
    expect((await connect(context)).peerCertificate!.pem, own.pem);
    await expectLater(
      connect(pinnedSecurityContext(pins, host: 'a.x.example')),
      throwsA(isA<HandshakeException>()),
    );
  });

  test('the client certificate is in the context', () async {
    final socket = await connect(
      pinnedSecurityContext(
        pinned(own, [pin], match: 'ca'),
        host: 'localhost',
        clientCertificate: other.client,
      ),
    );
    socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await socket.drain<void>();
    expect(server.clients.last, other.pem);
    expect(
      () => pinnedSecurityContext(
        pinned(own, [pin], match: 'ca'),
        host: 'localhost',
        clientCertificate: const ClientCertificate(chain: [], key: []),
      ),
      throwsA(isA<ArgumentError>()),
    );
  });

  test('a host without a policy is refused', () {
    final pins = pinned(own, [pin], match: 'ca');
    refused(pins, 'no policy covers it', host: 'other.example');
    refused(pins, 'no policy covers it', host: 'a:b');
  });

  test('pins that are not held by anchors are refused, with the fix', () {
    refused(pinned(own, [pin]), 'match = "ca"');
    refused(pinned(own, [pin]), 'in `trust`');
  });

  test('a compromised key is refused, because a context accepts it', () {
    refused(
      pinned(own, [pin], match: 'ca', compromised: [pin]),
      'remove the authorities that certified it from `trust`',
    );
  });

  test('report mode is refused, because a context cannot report', () {
    refused(
      pinned(own, [pin], match: 'ca', mode: 'report'),
      'mode = "enforce"',
    );
  });

  test('expired pins are refused if they fail closed', () async {
    PinSet dated(String onExpiry) => pinned(
          own,
          [pin],
          match: 'ca',
          expires: '2027-01-01T00:00:00Z',
          onExpiry: onExpiry,
        );

    SecurityContext at(String onExpiry, int second) => pinnedSecurityContext(
          dated(onExpiry),
          host: 'localhost',
          now: () => DateTime.utc(2026, 12, 31, 23, 59, second),
        );

    await connect(at('fail-closed', 59));
    expect(
      () => at('fail-closed', 60),
      throwsA(
        isA<PinSetExpiredException>()
            .having((error) => error.pinSet, 'pinSet', 'test v1')
            .having((error) => error.expired, 'expired', contains('2027')),
      ),
    );
    // As on other connections: the anchors still apply.
    for (final onExpiry in ['fail-open', 'report']) {
      await connect(at(onExpiry, 60));
    }
  });
}
