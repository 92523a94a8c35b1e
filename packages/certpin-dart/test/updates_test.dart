import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'package:certpin/updates.dart';
import 'package:certpin/src/exceptions.dart';
import 'package:certpin/src/policy.dart';
import 'package:certpin/src/report.dart';
import 'package:certpin/src/updates/fetch.dart';
import 'package:certpin/src/updates/metadata.dart';
import 'package:certpin/src/updates/pins.dart';
import 'package:certpin/src/updates/refresh.dart';
import 'package:certpin/src/updates/state.dart';
import 'package:test/test.dart';

import '../example/recipes/pointycastle.dart';
import 'loopback.dart';
import 'vectors.dart';

/// A storage that lasts as long as a test.
final class _Memory implements PinStorage {
  String? text;

  @override
  Future<String?> read() async => text;

  @override
  Future<void> write(String text) async => this.text = text;
}

/// A verifier that is not installed correctly.
final class _Failing implements SignatureVerifier {
  const _Failing();

  @override
  bool verify(
    SignatureScheme scheme,
    Uint8List point,
    Uint8List r,
    Uint8List s,
    Uint8List message,
  ) =>
      throw UnsupportedError('no curve');
}

void main() {
  for (final each in signedCases) {
    test('the same is believed as by python-tuf: ${each['name']}', () {
      final pins = readPins(signedFile(each['pins']));
      final root = signedFile(each['root']);
      var trust = newTrust(pins, root, const PointycastleVerifier());
      for (final moment in (each['moments'] as List).cast<Json>()) {
        final now = DateTime.parse(moment['now'] as String);
        final reason = _ask(trust, signedFiles(moment), now);
        final version = pinsInForce(trust).version;
        expect([reason, version], [moment['reason'], moment['version']]);

        final text = storedState(trust);
        trust = newTrust(pins, root, const PointycastleVerifier());
        restore(trust, text, const PointycastleVerifier());
        expect(pinsInForce(trust).version, version);
      }
    });
  }

  group('on a server', () {
    final right = signedCases.firstWhere(
      (each) => each['name'] == 'the_next_version',
    );
    final moments = (right['moments'] as List).cast<Json>();
    late Directory folder;
    late Identity own;
    late Server server;
    late PinSet bundled;

    setUpAll(() async {
      folder = Directory.systemTemp.createTempSync('signed');
      own = await Identity.make(folder, 'localhost');
    });

    tearDownAll(() => folder.deleteSync(recursive: true));

    setUp(() async {
      server = await Server.secure(own);
      final known = pinned(own, [await own.pin()]);
      bundled = PinSet(name: 'bank', version: 1, policies: known.policies);
    });

    tearDown(() => server.close());

    PinUpdates updates(PinSet pins, PinStorage storage, {int at = 0}) {
      return PinUpdates(
        bundled: pins,
        source: SignedSource(
          url: '${server.url('/pins/')}',
          root: base64.encode(signedFile(right['root'])),
        ),
        storage: storage,
        verifier: const PointycastleVerifier(),
        now: () => DateTime.parse(moments[at]['now'] as String),
      );
    }

    void serve(Map<String, Uint8List> files) {
      server.files = files.map((path, data) => MapEntry('/pins/$path', data));
    }

    test('a newer set is in force, and is so again after a start', () async {
      final storage = FilePinStorage(File('${folder.path}/kept/pins.json'));
      serve(signedFiles(moments[0]));
      final first = updates(bundled, storage);
      await first.load();
      expect(first.version, 1);
      expect(first.isFresh, isFalse);
      await Future.wait([first.refresh(), first.refresh()]);
      expect(first.version, 2);

      // The set in force has other pins for this server: the app's own lead on.
      serve(signedFiles(moments[1]));
      final second = updates(bundled, storage, at: 1);
      await second.load();
      expect(second.version, 2);
      await second.refresh();
      expect(second.version, 3);
      expect(second.isFresh, isTrue);
    });

    test('on a server that is not pinned nothing is fetched', () async {
      serve(signedFiles(moments[0]));
      final known = pinned(own, ['sha256/AAAA', 'sha256/BBBB']);
      final other = PinSet(name: 'bank', version: 1, policies: known.policies);
      final app = updates(other, _Memory());
      await expectLater(app.refresh(), throwsA(_because('pins')));
      expect(app.version, 1);
      expect(server.bodies, isEmpty);
    });

    test('a key that the current set marks compromised serves none', () async {
      final key = await own.pin();
      final other = await Identity.make(folder, 'localhost');
      final spare = await other.pin();
      // With the second, the chain is refused before a key is compared.
      for (final trusted in [own, other]) {
        final current = pinned(trusted, [spare], compromised: [key]);
        final fetcher = SignedFetcher(
          Uri.parse('${server.url('/pins/')}'),
          current: current,
          bundled: bundled,
          app: const ReportedApp(),
          findProxy: null,
          now: DateTime.now,
        );
        addTearDown(fetcher.close);
        await expectLater(
          fetcher.fetch(const Wanted('metadata/1.root.json', 100, false)),
          throwsA(isA<PinMismatchException>().having(
            (error) => error.isCompromised,
            'isCompromised',
            isTrue,
          )),
        );
      }
      expect(server.bodies, isEmpty);
    });

    test('what fails leaves in force what is', () async {
      final storage = _Memory();
      final app = updates(bundled, storage);
      serve(signedFiles(moments[0]));
      await app.refresh();
      serve({});
      await expectLater(app.refresh(), throwsA(_because('http')));
      serve({'metadata/timestamp.json': Uint8List(100000)});
      await expectLater(app.refresh(), throwsA(_because('too-long')));
      await server.close();
      await expectLater(app.refresh(), throwsA(_because('network')));
      expect(app.version, 2);
    });

    test('a bad root breaks the updates, and no request', () async {
      final bad = {
        'no base64': 'unreadable',
        base64.encode(utf8.encode('{}')): 'unreadable',
        base64.encode(signedFile(right['root'])..[200] ^= 1): null,
      };
      for (final MapEntry(key: root, value: reason) in bad.entries) {
        final app = PinUpdates(
          bundled: bundled,
          source: SignedSource(url: '${server.url('/pins/')}', root: root),
          storage: _Memory(),
          verifier: const PointycastleVerifier(),
        );
        final refused = throwsA(
          reason == null ? isA<PinUpdateException>() : _because(reason),
        );
        await expectLater(app.load(), refused);
        await expectLater(app.refresh(), refused);
        expect(app.version, 1);
        expect(app.policies, bundled.policies);
        expect(app.isFresh, isFalse);
      }
    });

    test('a verifier that throws breaks the updates, and no request', () async {
      final app = PinUpdates(
        bundled: bundled,
        source: SignedSource(
          url: '${server.url('/pins/')}',
          root: base64.encode(signedFile(right['root'])),
        ),
        storage: _Memory(),
        verifier: const _Failing(),
      );
      expect(app.policies, bundled.policies);
      await expectLater(app.load(), throwsA(_because('unexpected')));
      expect(app.policies, bundled.policies);
    });

    test('what was stored and cannot be believed is told', () async {
      final app = updates(bundled, _Memory()..text = '{"schema": 1}');
      await expectLater(app.load(), throwsA(isA<PinUpdateException>()));
      expect(app.version, 1);
      serve(signedFiles(moments[0]));
      await app.refresh();
      expect(app.version, 2);
    });
  });
}

Matcher _because(String reason) =>
    isA<PinUpdateException>().having((error) => error.reason, 'reason', reason);

/// Why it refuses what a server shows; empty where it does not.
String _ask(Trust trust, Map<String, Uint8List> files, DateTime now) {
  try {
    final refresh = refreshOf(trust);
    while (refresh.phase != 'done') {
      final next = wanted(refresh);
      final bytes = files[next.path];
      if (bytes == null && !next.mayMiss) {
        return 'http';
      }
      if (bytes != null && bytes.length > next.limit) {
        return 'too-long';
      }
      take(refresh, bytes, now, const PointycastleVerifier());
    }
  } on PinUpdateException catch (error) {
    return error.reason;
  }
  return '';
}
