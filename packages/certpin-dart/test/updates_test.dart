import 'dart:async';
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
  bool isBroken = false;

  /// Takes the place of another isolate, once.
  Future<void> Function()? beforeReplacing;

  @override
  Future<String?> read() async => text;

  @override
  Future<bool> replace(String? before, String text) async {
    final other = beforeReplacing;
    beforeReplacing = null;
    await other?.call();
    final isCurrent = this.text == before && !isBroken;
    if (isCurrent) {
      this.text = text;
    }
    return isCurrent;
  }
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

/// Suspends the app at one operation on a file of which the path has [mark],
/// and lets [meanwhile] run.
final class _Suspending extends IOOverrides {
  _Suspending(this.mark, this.operation, this.meanwhile);

  final RegExp mark;
  final Symbol operation;
  final Future<void> Function() meanwhile;

  @override
  File createFile(String path) {
    final file = super.createFile(path);
    return mark.hasMatch(path) ? _SuspendedFile(file, this) : file;
  }
}

final class _SuspendedFile implements File {
  _SuspendedFile(this._file, this._app);

  final File _file;
  final _Suspending _app;

  Future<void> _reach(Symbol operation) async {
    if (operation == _app.operation) {
      await Zone.root.run(_app.meanwhile);
    }
  }

  @override
  String get path => _file.path;

  @override
  Future<File> create({bool recursive = false, bool exclusive = false}) =>
      _file.create(recursive: recursive, exclusive: exclusive);

  @override
  Future<Uint8List> readAsBytes() => _file.readAsBytes();

  @override
  Future<FileSystemEntity> delete({bool recursive = false}) => _file.delete();

  @override
  Future<File> writeAsString(
    String contents, {
    FileMode mode = FileMode.write,
    Encoding encoding = utf8,
    bool flush = false,
  }) async {
    await _reach(#writeAsString);
    return _file.writeAsString(contents, mode: mode, flush: flush);
  }

  @override
  Future<File> rename(String newPath) async {
    await _reach(#rename);
    return _file.rename(newPath);
  }

  @override
  dynamic noSuchMethod(Invocation invocation) =>
      throw UnsupportedError('${invocation.memberName}');
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

  test('of two states, the newer parts are kept', () {
    final each = signedCases.firstWhere((x) => x['name'] == 'the_next_version');
    final pins = readPins(signedFile(each['pins']));
    const verifier = PointycastleVerifier();
    final states = [
      for (var made = 0; made < 2; made += 1)
        newTrust(pins, signedFile(each['root']), verifier),
    ];
    final moments = (each['moments'] as List).cast<Json>();
    for (final (index, state) in states.indexed) {
      for (final moment in moments.take(index + 1)) {
        final now = DateTime.parse(moment['now'] as String);
        expect(_ask(state, signedFiles(moment), now), '');
      }
    }
    final [older, newer] = states;
    final texts = [storedState(older), storedState(newer)];
    expect(texts.toSet(), hasLength(2));
    expect(storedState(withStored(older, texts[1], verifier)), texts[1]);
    expect(storedState(withStored(newer, texts[0], verifier)), texts[1]);
    // Only the result has the newer parts.
    expect(storedState(older), texts[0]);
  });

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

    SignedFetcher fetcher(PinSet current, PinSet bundled) {
      final made = SignedFetcher(
        Uri.parse('${server.url('/pins/')}'),
        current: current,
        bundled: bundled,
        app: const ReportedApp(),
        findProxy: null,
        now: DateTime.now,
      );
      addTearDown(made.close);
      return made;
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
      for (final current in [
        pinned(own, [spare], compromised: [key]),
        // The chain is refused before a key is compared.
        pinned(other, [spare], compromised: [key]),
        pinned(own, [spare], mode: 'report', compromised: [key]),
      ]) {
        await expectLater(
          fetcher(current, bundled).fetch(const Wanted('metadata/1.root.json', 100, false)),
          throwsA(isA<PinMismatchException>().having(
            (error) => error.isCompromised,
            'isCompromised',
            isTrue,
          )),
        );
      }
      expect(server.bodies, isEmpty);
    });

    test('a current set that only reports opens no connection', () async {
      final spare = await (await Identity.make(folder, 'localhost')).pin();
      final current = pinned(own, [spare], mode: 'report');
      final bundled = pinned(own, [spare, spare]);
      await expectLater(
        fetcher(current, bundled).fetch(const Wanted('metadata/1.root.json', 100, false)),
        throwsA(isA<PinMismatchException>()),
      );
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
      await expectLater(app.load(), throwsA(_because('cache')));
      expect(app.version, 1);
      serve(signedFiles(moments[0]));
      await app.refresh();
      expect(app.version, 2);
    });

    test('a damaged file has its own reason, and is replaced', () async {
      final file = File('${folder.path}/damaged/pins.json');
      final storage = FilePinStorage(file);
      serve(signedFiles(moments[0]));
      await updates(bundled, storage).refresh();
      final whole = file.readAsBytesSync();
      final changed = utf8
          .decode(whole)
          .replaceFirst(RegExp('"targets":"....'), '"targets":"AAAA');
      for (final damaged in [
        Uint8List(0),
        whole.sublist(0, whole.length ~/ 2),
        Uint8List.fromList([0xff, 0xfe, 0]),
        utf8.encode(changed),
      ]) {
        file.writeAsBytesSync(damaged);
        final app = updates(bundled, storage);
        await expectLater(app.load(), throwsA(_because('cache')));
        expect(app.version, 1);
        await app.refresh();
        expect(app.version, 2);
        final next = updates(bundled, storage);
        await next.load();
        expect(next.version, 2);
      }
    });

    group('two isolates with one file', () {
      late File file;
      late File lock;
      late PinStorage storage;
      late PinUpdates first;
      late PinUpdates second;

      setUp(() async {
        file = File('${folder.path}/shared/pins.json');
        lock = File('${file.path}.new');
        storage = FilePinStorage(file);
        if (file.parent.existsSync()) {
          file.parent.deleteSync(recursive: true);
        }
        serve(signedFiles(moments[0]));
        first = updates(bundled, storage, at: 1);
        await first.refresh();
        second = updates(bundled, storage, at: 1);
        await second.load();
        expect(second.version, 2);
      });

      Future<void> expectStored(int version) async {
        final next = updates(bundled, storage, at: 1);
        await next.load();
        expect(next.version, version);
        expect(file.parent.listSync(), hasLength(1));
      }

      test('an older set does not replace the stored one', () async {
        serve(signedFiles(moments[1]));
        await first.refresh();
        serve(signedFiles(moments[0]));
        await expectLater(second.refresh(), throwsA(_because('rollback')));
        expect(second.version, 3);
        await expectStored(3);
      });

      test('an app that does not load first keeps the stored set', () async {
        serve(signedFiles(moments[1]));
        await first.refresh();
        serve(signedFiles(moments[0]));
        final next = updates(bundled, storage, at: 1);
        await expectLater(next.refresh(), throwsA(_because('rollback')));
        await expectStored(3);
      });

      test('a set that is stored during a refresh is not lost', () async {
        final stored = _Memory();
        stored.beforeReplacing = () async {
          serve(signedFiles(moments[1]));
          await updates(bundled, stored, at: 1).refresh();
          serve(signedFiles(moments[0]));
        };
        serve(signedFiles(moments[0]));
        final late = updates(bundled, stored, at: 1);
        await expectLater(late.refresh(), throwsA(_because('rollback')));
        expect(late.version, 3);
        final next = updates(bundled, stored, at: 1);
        await next.load();
        expect(next.version, 3);
      });

      test('both may refresh at the same time', () async {
        serve(signedFiles(moments[1]));
        await Future.wait([first.refresh(), second.refresh()]);
        expect([first.version, second.version], [3, 3]);
        await expectStored(3);
      });

      test('a file of a killed app is removed', () async {
        lock.writeAsStringSync('half');
        lock.setLastModifiedSync(DateTime.utc(2020));
        serve(signedFiles(moments[1]));
        await first.refresh();
        await expectStored(3);
      });

      test('a file that another one is writing is waited for', () async {
        lock.createSync();
        final text = file.readAsStringSync();
        final replaced = storage.replace(text, 'other');
        await Future<void>.delayed(const Duration(milliseconds: 100));
        expect(file.readAsStringSync(), text);
        lock.deleteSync();
        expect(await replaced, isTrue);
        expect(await storage.replace(text, 'late'), isFalse);
        expect(file.readAsStringSync(), 'other');
      });

      final operations = {
        'the word of the lock': (RegExp(r'\.new$'), #writeAsString),
        'the text': (RegExp(r'\.new-'), #writeAsString),
        'the replacing': (RegExp(r'\.new-'), #rename),
      };
      for (final MapEntry(key: name, value: (mark, operation))
          in operations.entries) {
        test('an app suspended before $name replaces no newer text', () async {
          final text = file.readAsStringSync();
          var isReached = false;
          final app = _Suspending(mark, operation, () async {
            isReached = true;
            lock.setLastModifiedSync(DateTime.utc(2020));
            expect(await storage.replace(text, 'newer'), isTrue);
          });
          final isReplaced = await IOOverrides.runWithIOOverrides(
            () => storage.replace(text, 'older'),
            app,
          );
          expect([isReached, isReplaced], [true, false]);
          expect(file.readAsStringSync(), 'newer');
          expect(file.parent.listSync(), hasLength(1));
        });
      }

      test('an app that another one has replaced does not store', () async {
        final text = file.readAsStringSync();
        final other = '0' * 32;
        final app = _Suspending(RegExp(r'\.new-'), #writeAsString, () async {
          lock.writeAsStringSync(other);
        });
        final isReplaced = await IOOverrides.runWithIOOverrides(
          () => storage.replace(text, 'older'),
          app,
        );
        expect(isReplaced, isFalse);
        expect(file.readAsStringSync(), text);
        expect(lock.readAsStringSync(), other);
      });

      test('the text of a killed app is removed', () async {
        final other = '0' * 32;
        lock.writeAsStringSync(other);
        lock.setLastModifiedSync(DateTime.utc(2020));
        File('${lock.path}-$other').writeAsStringSync('half');
        expect(await storage.replace(null, 'new'), isFalse);
        expect(file.parent.listSync(), hasLength(1));
      });

      test('a lock that cannot be released is an error', () async {
        Link(lock.path).createSync('${folder.path}/missing');
        final replaced = runZoned(
          () => storage.replace(file.readAsStringSync(), 'new'),
          zoneSpecification: ZoneSpecification(
            createTimer: (_, parent, zone, pause, run) =>
                parent.createTimer(zone, Duration.zero, run),
          ),
        );
        await expectLater(replaced, throwsA(isA<FileSystemException>()));
      });
    });

    test('a storage that never stores does not hold the pins back', () async {
      final app = updates(bundled, _Memory()..isBroken = true);
      serve(signedFiles(moments[0]));
      await expectLater(app.refresh(), throwsA(_because('storage')));
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
