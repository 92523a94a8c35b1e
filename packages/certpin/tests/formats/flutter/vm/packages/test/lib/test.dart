/// Replaces `package:test`: what the tests of the package and of the example
/// use. Prints a line of JSON for each test, with its error.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';

typedef _Body = FutureOr<void> Function();

/// Tests and what surrounds them: the whole file, or a `group` in it.
final class _Group {
  _Group(this.name, this.parent);

  final String name;
  final _Group? parent;
  final List<FutureOr<void> Function()> items = [];
  final List<_Body> before = [];
  final List<_Body> after = [];
  final List<_Body> first = [];
  final List<_Body> last = [];

  Future<void> run() async {
    await _each(first);
    await _each(items);
    await _each(last.reversed);
  }

  Future<void> setUps() async {
    await parent?.setUps();
    await _each(before);
  }

  Future<void> tearDowns() async {
    await _each(after.reversed);
    await parent?.tearDowns();
  }
}

Future<void> _each(Iterable<_Body> bodies) async {
  for (final body in bodies) {
    await body();
  }
}

_Group _group = _Group('', null);
bool _started = false;
List<_Body> _tearDowns = [];
List<Future<void>> _pending = [];

/// The first of them begins when the file has named them all.
void _start() {
  if (!_started) {
    _started = true;
    final whole = _group;
    Timer.run(() async {
      await whole.run();
      await stdout.flush();
      exit(exitCode); // Connections that are kept alive don't hold it up.
    });
  }
}

void group(String name, void Function() body) {
  _start();
  final outer = _group;
  _group = _Group('${outer.name} $name'.trim(), outer);
  outer.items.add(_group.run);
  body();
  _group = outer;
}

void setUp(_Body body) => _group.before.add(body);

void tearDown(_Body body) => _group.after.add(body);

void setUpAll(_Body body) => _group.first.add(body);

void tearDownAll(_Body body) => _group.last.add(body);

void addTearDown(_Body body) => _tearDowns.add(body);

void test(String name, _Body body) {
  _start();
  final inside = _group;
  inside.items.add(() async {
    final error = await _run(inside, body);
    final whole = [inside.name, name].where((part) => part.isNotEmpty);
    stdout.writeln(jsonEncode({'test': whole.join(' '), 'error': error}));
    if (error != null) {
      exitCode = 1;
    }
  });
}

/// What went wrong, in the body or in a future that it did not wait for. What is
/// to be torn down is, however it ended.
Future<String?> _run(_Group inside, _Body body) async {
  final error = await _guarded(() async {
    _tearDowns = [];
    _pending = [];
    await inside.setUps();
    await body();
    await Future.wait(_pending);
  });
  final later = await _guarded(() async {
    await _each(_tearDowns.reversed);
    await inside.tearDowns();
  });
  return error ?? later;
}

Future<String?> _guarded(Future<void> Function() body) {
  final ended = Completer<String?>();
  void end(String? error) {
    if (!ended.isCompleted) {
      ended.complete(error);
    }
  }

  runZonedGuarded(
    () => body().then((_) => end(null)),
    (error, trace) => end('$error\n$trace'),
  );
  return ended.future.timeout(
    const Duration(seconds: 60),
    onTimeout: () => 'it did not end',
  );
}

final class TestFailure implements Exception {
  TestFailure(this.message);

  final String message;

  @override
  String toString() => message;
}

Never fail(String message) => throw TestFailure(message);

void expect(Object? actual, Object? matcher, {String? reason}) {
  final found = matcherOf(matcher).check(actual);
  if (found is Future<String?>) {
    _pending.add(found.then((problem) => _report(problem, reason)));
  } else {
    _report(found, reason);
  }
}

Future<void> expectLater(Object? actual, Object? matcher) async =>
    _report(await matcherOf(matcher).check(actual), null);

void _report(String? problem, String? reason) {
  if (problem != null) {
    fail(reason == null ? problem : '$reason: $problem');
  }
}

/// Says what is wrong with a value; `null` if nothing is.
class Matcher {
  const Matcher(this.check);

  final FutureOr<String?> Function(Object? actual) check;
}

Matcher _plain(String wanted, bool Function(dynamic actual) holds) => Matcher(
      (actual) => holds(actual) ? null : 'expected $wanted, found $actual',
    );

Matcher matcherOf(Object? wanted) =>
    wanted is Matcher ? wanted : _plain('$wanted', (it) => _equal(it, wanted));

bool _equal(Object? one, Object? other) {
  if (one is List && other is List) {
    return one.length == other.length &&
        [for (var i = 0; i < one.length; i += 1) _equal(one[i], other[i])]
            .every((same) => same);
  }
  if (one is Map && other is Map) {
    return one.length == other.length &&
        one.keys.every((key) => _equal(one[key], other[key]));
  }
  return one == other;
}

final Matcher isNull = _plain('null', (it) => it == null);
final Matcher isTrue = _plain('true', (it) => it == true);
final Matcher isFalse = _plain('false', (it) => it == false);
final Matcher isEmpty = _plain('nothing in it', (it) => it.isEmpty as bool);
final Matcher throwsFormatException = throwsA(isA<FormatException>());
final Matcher throwsUnsupportedError = throwsA(isA<UnsupportedError>());

Matcher same(Object? other) => _plain('$other', (it) => identical(it, other));

Matcher hasLength(int length) =>
    _plain('a length of $length', (it) => it.length == length);

Matcher greaterThan(num least) => _plain('> $least', (it) => it > least as bool);

Matcher contains(Object? part) => _plain(
      'something with $part',
      (it) => (it is Map ? it.containsKey(part) : it.contains(part)) as bool,
    );

Matcher isNot(Object? unwanted) => Matcher((actual) {
      final found = matcherOf(unwanted).check(actual);
      return found == null ? '$actual was not expected' : null;
    });

TypeMatcher<T> isA<T>() => TypeMatcher<T>();

final class TypeMatcher<T> extends Matcher {
  TypeMatcher([this._more])
      : super(
          (actual) => actual is! T
              ? 'expected a $T, found a ${actual.runtimeType}: $actual'
              : _more?.call(actual as T),
        );

  final String? Function(T actual)? _more;

  TypeMatcher<T> having(
    Object? Function(T actual) feature,
    String name,
    Object? wanted,
  ) =>
      TypeMatcher((actual) {
        final problem = _more?.call(actual);
        final found = matcherOf(wanted).check(feature(actual)) as String?;
        return problem ?? (found == null ? null : '$name: $found');
      });
}

Matcher completion(Object? wanted) => Matcher(
      (actual) async => matcherOf(wanted).check(await (actual! as Future)),
    );

Matcher throwsA(Object? wanted) => Matcher((actual) {
      Object? result = actual;
      if (actual is Function) {
        try {
          result = actual.call();
        } on Object catch (error) {
          return matcherOf(wanted).check(error);
        }
      }
      return result is Future
          ? result.then<String?>(
              (value) => 'an error was expected, found $value',
              onError: (Object error) => matcherOf(wanted).check(error),
            )
          : 'an error was expected, found $result';
    });
