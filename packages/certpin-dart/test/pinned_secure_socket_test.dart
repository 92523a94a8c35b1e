import 'dart:async';
import 'dart:convert';
import 'dart:io';

import 'package:certpin/certpin.dart';
import 'package:test/test.dart';

import 'loopback.dart';

const Duration _patience = Duration(seconds: 20);

void main() {
  useServer();

  Future<String> request(Socket socket) async {
    addTearDown(socket.destroy);
    socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    return (await utf8.decodeStream(socket)).split('\r\n').first;
  }

  Future<SecureSocket> connect(
    PinSet pins, {
    Object host = 'localhost',
    int? port,
    Duration? timeout,
    ClientCertificate? clientCertificate,
    void Function(PinFailure failure)? onFailure,
  }) {
    return PinnedSecureSocket.connect(
      host,
      port ?? server.url().port,
      pins: pins,
      timeout: timeout,
      clientCertificate: clientCertificate,
      onFailure: onFailure,
    );
  }

  Future<void> refused<T>(Future<Socket> connection) =>
      expectLater(connection, throwsA(isA<T>()));

  test('a pinned key is accepted, and the socket is usable', () async {
    final socket = await connect(pinned(own, [otherPin, pin]));
    expect(socket.peerCertificate!.pem, own.pem);
    expect(await request(socket), 'HTTP/1.1 200 OK');
  });

  test('another key is refused, and nothing is sent', () async {
    final failures = <PinFailure>[];
    final pins = pinned(own, [otherPin]);
    await refused<PinMismatchException>(
      connect(pins, onFailure: failures.add),
    );
    expect(failures.single.reason, Reason.mismatch);
    expect(failures.single.port, server.url().port);
    expect(server.bodies, isEmpty);
  });

  test('a refused connection is closed', () async {
    final closed = Completer<void>();
    final listening = await SecureServerSocket.bind(
      InternetAddress.loopbackIPv4,
      0,
      own.context,
    );
    addTearDown(listening.close);
    listening.listen(
      (client) => client.listen((_) {}, onDone: closed.complete),
      onError: (Object _) {},
    );
    await refused<PinMismatchException>(
      connect(pinned(own, [otherPin]), port: listening.port),
    );
    await closed.future.timeout(_patience);
  });

  test('a chain to another root is refused and reported', () async {
    final failures = <PinFailure>[];
    final pins = pinned(other, [pin]);
    await refused<TlsHandshakeException>(
      connect(pins, onFailure: failures.add),
    );
    expect(failures.single.reason, Reason.untrusted);
  });

  test('the name of an address is verified and pinned', () async {
    final [address, ...] = await InternetAddress.lookup('localhost');
    final socket = await connect(pinned(own, [pin]), host: address);
    expect(await request(socket), 'HTTP/1.1 200 OK');
    await refused<UnpinnedRequestException>(
      connect(pinned(own, [pin]), host: InternetAddress('127.0.0.1')),
    );
    await expectLater(
      connect(pinned(own, [pin]), host: Uri.parse('https://localhost')),
      throwsA(isA<ArgumentError>()),
    );
  });

  test('a certificate for another name is refused', () async {
    final impostor = await Server.secure(other);
    addTearDown(impostor.close);
    await refused<TlsHandshakeException>(
      connect(pinned(other, [otherPin]), port: impostor.url().port),
    );
  });

  test('a host without a policy is not contacted', () async {
    final silent = await PlainServer.start((_) {});
    addTearDown(silent.close);
    for (final host in [
      ...['127.0.0.1', 'evil.example', '', 'localhost\r\nx: y', 'local%host'],
      ...['a:b', '::g', ':', '[::1]', 'x' * 300, 'ä.example'],
    ]) {
      await refused<UnpinnedRequestException>(
        connect(pinned(own, [pin]), host: host, port: silent.port),
      );
    }
    expect(silent.clients, isEmpty);
  });

  test('the protocol is negotiated', () async {
    final listening = await SecureServerSocket.bind(
      InternetAddress.loopbackIPv4,
      0,
      own.context..setAlpnProtocols(['mqtt', 'h2'], true),
    );
    addTearDown(listening.close);
    listening.listen((client) => client.listen((_) {}));
    final socket = await PinnedSecureSocket.connect(
      'localhost',
      listening.port,
      pins: pinned(own, [pin]),
      supportedProtocols: ['h2', 'mqtt'],
    );
    addTearDown(socket.destroy);
    expect(socket.selectedProtocol, 'mqtt');
  });

  group('failures of the network', () {
    Future<void> lost(
      void Function(Heard client) act, {
      Duration? timeout,
    }) async {
      final plain = await PlainServer.start((client) async {
        await client.until('localhost'); // the name in the ClientHello
        act(client);
      });
      addTearDown(plain.close);
      final failures = <PinFailure>[];
      await expectLater(
        connect(
          pinned(own, [pin]),
          port: plain.port,
          timeout: timeout,
          onFailure: failures.add,
        ),
        throwsA(
          isA<NetworkException>()
              .having((error) => error.mayRetry, 'mayRetry', isTrue)
              .having((error) => error.host, 'host', 'localhost'),
        ),
      );
      expect(failures, isEmpty);
    }

    test('a server that never responds is a timeout, not a refusal', () async {
      await lost((_) {}, timeout: const Duration(milliseconds: 300));
    });

    test('an end during the handshake is a lost connection', () async {
      await lost((client) => client.socket.destroy());
    });

    test('an end within a message is a lost connection', () async {
      await lost((client) {
        client.socket
          ..add([22, 3, 3, 0, 200, 2])
          ..destroy();
      });
    });

    test('a reset during the handshake is a lost connection', () async {
      await lost((client) => client.reset());
    });

    test('a closed port is a failure of the network', () async {
      final plain = await PlainServer.start((_) {});
      await plain.close();
      await refused<NetworkException>(
        connect(pinned(own, [pin]), port: plain.port),
      );
    });

    test('an alert or bytes without TLS are a failed handshake', () async {
      for (final bytes in [
        [21, 3, 3, 0, 2, 2, 40],
        utf8.encode('HTTP/1.1 400 Bad Request\r\n\r\n'),
      ]) {
        final plain = await PlainServer.start((client) async {
          await client.until('localhost');
          client.socket.add(bytes);
        });
        addTearDown(plain.close);
        await refused<TlsHandshakeException>(
          connect(pinned(own, [pin]), port: plain.port),
        );
      }
    });
  });

  group('a task that is cancelled', () {
    Future<ConnectionTask<SecureSocket>> start(int port) {
      return PinnedSecureSocket.startConnect(
        'localhost',
        port,
        pins: pinned(own, [pin]),
      );
    }

    test('fails at once, also during the handshake', () async {
      final plain = await PlainServer.start((_) {});
      addTearDown(plain.close);
      final task = await start(plain.port);
      while (plain.clients.isEmpty) {
        await Future<void>.delayed(const Duration(milliseconds: 10));
      }
      await plain.clients.single.until('localhost');
      task.cancel();
      await refused<NetworkException>(task.socket);
    });

    test('closes the socket when the handshake ends', () async {
      final accepted = Completer<void>();
      final closed = Completer<void>();
      final plain = await PlainServer.start((client) async {
        await client.until('localhost');
        client.subscription.pause();
        accepted.complete();
        await Future<void>.delayed(const Duration(milliseconds: 200));
        final secure = await SecureSocket.secureServer(
          client.socket,
          own.context,
          bufferedData: client.bytes,
        );
        secure.listen((_) {}, onDone: closed.complete);
      });
      addTearDown(plain.close);
      final task = await start(plain.port);
      await accepted.future;
      task.cancel();
      await refused<NetworkException>(task.socket);
      await closed.future.timeout(_patience);
    });

    test('stays open if it is complete', () async {
      final task = await start(server.url().port);
      final socket = await task.socket;
      task.cancel();
      expect(await request(socket), 'HTTP/1.1 200 OK');
    });
  });

  group('a connection that is upgraded', () {
    late PlainServer plain;
    late List<String> heard;

    setUp(() async {
      heard = [];
      plain = await PlainServer.start((client) async {
        client.socket.write('220 ready\r\n');
        await client.until('STARTTLS\r\n');
        client.socket.write('220 go ahead\r\n');
        await client.socket.flush();
        client.subscription.pause();
        try {
          final secure = await SecureSocket.secureServer(
            client.socket,
            own.context,
          );
          heard.addAll(await secure.map(utf8.decode).toList());
          heard.add('end');
        } on IOException {
          heard.add('no handshake');
        }
      });
    });

    tearDown(() => plain.close());

    Future<SecureSocket> upgrade(
      PinSet pins, {
      Object host = 'localhost',
    }) async {
      final socket = await Socket.connect('localhost', plain.port);
      final ready = Completer<void>();
      final received = StringBuffer();
      final subscription = socket.listen((bytes) {
        received.write(utf8.decode(bytes));
        if ('$received'.contains('go ahead\r\n')) {
          ready.complete();
        }
      });
      socket.write('STARTTLS\r\n');
      await ready.future;
      subscription.pause();
      return PinnedSecureSocket.secure(socket, host: host, pins: pins);
    }

    Future<void> until(String text) async {
      final waited = Stopwatch()..start();
      while (!heard.contains(text)) {
        expect(waited.elapsed < _patience, isTrue);
        await Future<void>.delayed(const Duration(milliseconds: 10));
      }
    }

    test('has its pins compared', () async {
      final socket = await upgrade(pinned(own, [pin]));
      socket.write('EHLO');
      await socket.close();
      await until('end');
      expect(heard, ['EHLO', 'end']);
    });

    test('is closed if another key is presented', () async {
      await refused<PinMismatchException>(upgrade(pinned(own, [otherPin])));
      await until('end');
      expect(heard, ['end']);
    });

    test('is closed if its chain is refused', () async {
      await refused<TlsHandshakeException>(upgrade(pinned(other, [pin])));
      await until('no handshake');
    });

    test('is closed without a handshake if no policy covers it', () async {
      await refused<UnpinnedRequestException>(
        upgrade(pinned(own, [pin]), host: 'evil.example'),
      );
      await until('no handshake');
    });

    test('fails as lost if it was closed before', () async {
      final socket = await Socket.connect('localhost', plain.port);
      socket.destroy();
      await refused<NetworkException>(
        PinnedSecureSocket.secure(
          socket,
          host: 'localhost',
          pins: pinned(own, [pin]),
        ),
      );
    });

    test('has a limit of time', () async {
      final silent = await PlainServer.start((_) {});
      addTearDown(silent.close);
      await refused<NetworkException>(
        PinnedSecureSocket.secure(
          await Socket.connect('localhost', silent.port),
          host: 'localhost',
          pins: pinned(own, [pin]),
          timeout: const Duration(milliseconds: 300),
        ),
      );
    });
  });

  group('a client certificate', () {
    late Server asking;

    setUp(() async => asking = await Server.secure(own, clients: other));

    tearDown(() => asking.close());

    Future<String?> sent(ClientCertificate? certificate) async {
      final socket = await connect(
        pinned(own, [pin]),
        port: asking.url().port,
        clientCertificate: certificate,
      );
      await request(socket);
      return asking.clients.removeLast();
    }

    test('is PEM, encrypted PEM or PKCS #12', () async {
      expect(await sent(null), isNull);
      expect(await sent(other.client), other.pem);
      expect(await sent(await other.encryptedClient('pass word')), other.pem);
      final archive = await other.archive('secret');
      expect(
        await sent(ClientCertificate.pkcs12(archive, password: 'secret')),
        other.pem,
      );
    });

    test('that is unreadable is a mistake of the app, not a refusal', () async {
      final encrypted = await other.encryptedClient('right');
      final archive = await other.archive('right');
      for (final certificate in [
        ClientCertificate(chain: encrypted.chain, key: encrypted.key),
        ClientCertificate(
          chain: encrypted.chain,
          key: encrypted.key,
          password: 'wrong',
        ),
        ClientCertificate.pkcs12(archive, password: 'wrong'),
        ClientCertificate(chain: own.client.chain, key: other.client.key),
        const ClientCertificate(chain: [1, 2], key: []),
      ]) {
        final pins = pinned(own, [pin]);
        final failures = <PinFailure>[];
        await expectLater(
          connect(
            pins,
            clientCertificate: certificate,
            onFailure: failures.add,
          ),
          throwsA(isA<ArgumentError>()),
        );
        expect(
          () => PinnedHttpClient(pins, clientCertificate: certificate),
          throwsA(isA<ArgumentError>()),
        );
        expect(failures, isEmpty);
      }
    });
  });
}
