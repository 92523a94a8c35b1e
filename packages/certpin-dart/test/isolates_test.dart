import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:isolate';

import 'package:certpin/certpin.dart';
import 'package:certpin/updates.dart';
import 'package:test/test.dart';

import '../example/recipes/pointycastle.dart';
import 'loopback.dart';
import 'vectors.dart';

/// Overrides are not inherited by a new isolate: its clients are not pinned.
void main() {
  late Directory folder;
  late Identity own;
  late String pin;
  late Server server;
  late PinSet wrong;

  setUpAll(() async {
    folder = Directory.systemTemp.createTempSync('pinning');
    own = await Identity.make(folder, 'localhost');
    pin = await own.pin();
    server = await Server.secure(own);
    wrong = pinned(own, [_otherPin]);
  });

  tearDownAll(() async {
    await server.close();
    folder.deleteSync(recursive: true);
  });

  tearDown(() => HttpOverrides.global = null);

  test('a client of a new isolate is not pinned', () async {
    HttpOverrides.global = PinnedHttpOverrides(wrong);
    expect(HttpClient() is PinnedHttpClient, isTrue);
    expect(await Isolate.run(_isPinnedHere), isFalse);
    // A certificate that the app's pins refuse is accepted there.
    expect(await Isolate.run(_getTrusting(server.url(), own.pem)), 200);
  });

  test('in runInIsolate a wrong key is refused', () async {
    final url = server.url();
    await expectLater(
      PinnedHttpOverrides.runInIsolate(wrong, _get(url)),
      throwsA(isA<PinMismatchException>()),
    );
    expect(
      await PinnedHttpOverrides.runInIsolate(pinned(own, [pin]), _get(url)),
      200,
    );
  });

  test('runInIsolate changes no overrides of the caller', () async {
    await PinnedHttpOverrides.runInIsolate(wrong, _isPinnedHere);
    expect(HttpOverrides.current, isNull);
  });

  test('the pins of a computation hold in an isolate that other code starts',
      () async {
    Future<int> get(PinSet pins) {
      final run = PinnedHttpOverrides.pinnedComputation(pins, _getUrl);
      return _compute(run, server.url());
    }

    await expectLater(get(wrong), throwsA(isA<PinMismatchException>()));
    expect(await get(pinned(own, [pin])), 200);
  });

  test('a client certificate and a proxy are used there too', () async {
    final asking = await Server.secure(own, clients: own);
    final proxy = await startProxy();
    addTearDown(asking.close);
    addTearDown(proxy.close);
    final status = await PinnedHttpOverrides.runInIsolate(
      pinned(own, [pin]),
      _get(asking.url()),
      clientCertificate: own.client,
      findProxy: _through(proxy.port),
    );
    expect(status, 200);
    expect(asking.clients, [own.pem]);
    expect(proxy.clients, hasLength(1));
  });

  test('a report of an isolate is delivered before it ends', () async {
    final collector = await Server.plain();
    addTearDown(collector.close);
    final reporting = pinned(
      own,
      [_otherPin],
      // Another host, because reports to a pinned one are pinned.
      reportTo: ['${collector.url().replace(host: '127.0.0.1')}'],
    );
    final heard = ReceivePort();
    addTearDown(heard.close);
    for (var call = 1; call <= 2; call += 1) {
      await expectLater(
        PinnedHttpOverrides.runInIsolate(
          reporting,
          _get(server.url()),
          onFailure: _telling(heard.sendPort),
        ),
        throwsA(isA<PinMismatchException>()),
      );
      expect(collector.bodies, hasLength(call));
    }
    expect(await heard.first, 'localhost');
  });

  test('signed updates are sent as the current set', () async {
    final root = base64.encode(signedFile(signedCases.first['root']));
    final updates = PinUpdates(
      bundled: pinned(own, [pin]),
      source: SignedSource(url: 'https://localhost/', root: root),
      storage: _Unsendable(),
      verifier: const PointycastleVerifier(),
    );
    addTearDown((updates.storage as _Unsendable).port.close);
    await expectLater(
      Isolate.run(_versionOf(updates)),
      throwsA(isA<ArgumentError>()),
    );
    expect(await Isolate.run(_versionOf(updates.snapshot)), 1);
    expect(updates.snapshot.policies, updates.policies);
    final url = server.url();
    expect(await PinnedHttpOverrides.runInIsolate(updates, _get(url)), 200);
  });

  test('a connection error keeps its type between isolates', () async {
    final url = server.url().replace(host: '127.0.0.1');
    await expectLater(
      PinnedHttpOverrides.runInIsolate(wrong, _get(url)),
      throwsA(isA<UnpinnedRequestException>()),
    );
    final gone = await Server.secure(own);
    final address = gone.url();
    await gone.close();
    await expectLater(
      PinnedHttpOverrides.runInIsolate(wrong, _get(address)),
      throwsA(isA<NetworkException>()),
    );
  });
}

/// A storage that can't be sent, such as one with a database.
final class _Unsendable implements PinStorage {
  final ReceivePort port = ReceivePort();

  @override
  Future<String?> read() async => null;

  @override
  Future<bool> replace(String? before, String text) async => true;
}

const String _otherPin = 'sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=';

bool _isPinnedHere() => HttpClient() is PinnedHttpClient;

// Functions that return closures: a closure of a test refers to its variables,
// which can't be sent.

/// Flutter's `compute`.
Future<R> _compute<M, R>(FutureOr<R> Function(M message) run, M message) =>
    Isolate.run(() => run(message));

int Function() _versionOf(PinSet pins) => () => pins.version;

Future<int> Function() _get(Uri url) => () => _getUrl(url);

void Function(PinFailure failure) _telling(SendPort port) =>
    (failure) => port.send(failure.host);

String Function(Uri url) _through(int port) => (_) => 'PROXY localhost:$port';

Future<int> _getUrl(Uri url) => _getWith(HttpClient(), url);

Future<int> Function() _getTrusting(Uri url, String anchors) => () {
      final context = SecurityContext()
        ..setTrustedCertificatesBytes(anchors.codeUnits);
      return _getWith(HttpClient(context: context), url);
    };

Future<int> _getWith(HttpClient client, Uri url) async {
  try {
    final response = await (await client.getUrl(url)).close();
    await response.drain<void>();
    return response.statusCode;
  } finally {
    client.close(force: true);
  }
}
