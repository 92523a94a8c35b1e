/// Calls what the library decides with, for certpin's tests in Python: a line of
/// JSON in, `{"call": name, "with": [...]}`, and a line out.
///
/// Bytes are `{"bytes": base64}` in both directions.
library;

import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'package:certpin/src/der.dart';
import 'package:certpin/src/digests.dart';
import 'package:certpin/src/exceptions.dart';
import 'package:certpin/src/hosts.dart';
import 'package:certpin/src/policy.dart';
import 'package:certpin/src/report.dart';
import 'package:certpin/src/updates/exception.dart';
import 'package:certpin/src/updates/json.dart';
import 'package:certpin/src/updates/keys.dart';
import 'package:certpin/src/updates/metadata.dart';
import 'package:certpin/src/updates/pins.dart';
import 'package:certpin/src/updates/refresh.dart';
import 'package:certpin/src/updates/roles.dart';
import 'package:certpin/src/updates/state.dart';
import 'package:certpin/src/verdict.dart';

import '../../../../../certpin-dart/example/recipes/pointycastle.dart';
import 'dump.dart';

typedef Json = Map<String, dynamic>;

Future<void> main() async {
  final lines = stdin.transform(utf8.decoder).transform(const LineSplitter());
  await for (final line in lines) {
    stdout.writeln(jsonEncode(_answer(jsonDecode(line) as Json)));
  }
}

Json _answer(Json asked) {
  try {
    final call = _calls[asked['call']]!;
    final words = [for (final word in asked['with'] as List) _decoded(word)];
    return {'result': _encoded(Function.apply(call, words))};
  } on PinUpdateException catch (refused) {
    return {
      'error': 'PinUpdateException',
      'reason': refused.reason,
      'problem': refused.problem,
    };
  } on FormatException catch (refused) {
    return {'error': 'FormatException', 'problem': refused.message};
  } on Object catch (error, trace) {
    return {'error': '${error.runtimeType}', 'problem': '$error\n$trace'};
  }
}

Object? _decoded(Object? value) {
  if (value case {'bytes': final String text}) {
    return base64.decode(text);
  }
  return value;
}

Object? _encoded(Object? value) => switch (value) {
      final Uint8List bytes => {'bytes': base64.encode(bytes)},
      final List<Object?> list => [for (final each in list) _encoded(each)],
      _ => value,
    };

final Map<String, Function> _calls = {
  'subjectPublicKeyInfo': subjectPublicKeyInfo,
  'pinsOf': pinsOf,
  'normaliseHost': normaliseHost,
  'covering': (List<dynamic> patterns, String host) {
    final name = normaliseHost(host);
    return name == null ? null : policyFor(_covering(patterns), name)?.pattern;
  },
  'refusalOf': (
    List<dynamic> patterns,
    String scheme,
    String host,
    bool proxied,
  ) {
    try {
      requirePolicy(
        _covering(patterns),
        host,
        scheme: scheme,
        isProxied: proxied,
      );
    } on UnpinnedRequestException catch (refused) {
      return refused.problem;
    }
    return '';
  },
  'judge': (Json policy, List<dynamic> presented, String now) {
    final (decision, reason) = judge(
      _policy(policy),
      presented.cast<String>(),
      DateTime.parse(now),
    );
    return [decision.name, reason.word];
  },
  'maxReports': () => maxReports,
  'admits': (List<dynamic> failures) {
    final sent = <String, int>{};
    return [
      for (final [what as String, now as int] in failures)
        [admits(sent, what, now), sent.length],
    ];
  },
  'maxDepth': () => maxDepth,
  'canonicalJson': (String text) => canonicalJson(jsonDecode(text)),
  'canonicalObject': (Uint8List bytes) => canonicalJson(decodedObject(bytes)),
  'ecdsaIntegers': (Uint8List der) {
    final (r, s) = ecdsaIntegers(der);
    return [r, s];
  },
  'schemes': () => [for (final each in SignatureScheme.values) each.tufName],
  'pointOf': (String scheme, String pem) {
    final known = SignatureScheme.named(scheme);
    return known == null ? null : pointOf(known, pem);
  },
  'fromHex': fromHex,
  'verify': (
    String scheme,
    Uint8List point,
    Uint8List r,
    Uint8List s,
    Uint8List message,
  ) =>
      const PointycastleVerifier()
          .verify(SignatureScheme.named(scheme)!, point, r, s, message),
  'readMetadata': (String role, Uint8List bytes) =>
      readMetadata(role, bytes).version,
  'requireSigned': (Uint8List root, String role, Uint8List found) =>
      requireSigned(
        readMetadata('root', root),
        role,
        readMetadata(role, found),
        const PointycastleVerifier(),
      ),
  'readPins': (Uint8List bytes) => dumpOf(readPins(bytes)),
  'samePolicies': (Uint8List one, Uint8List other) =>
      samePolicies(readPins(one).policies, readPins(other).policies),
  'appNew': (Uint8List pins, Uint8List root) {
    _apps.add(_App(readPins(pins), root));
    return _apps.length - 1;
  },
  'appStart': (int app, String stored) => _apps[app].start(stored),
  'appRefresh': (int app, Json files, String now) =>
      _apps[app].refresh(files, DateTime.parse(now)),
  'appState': (int app) => _apps[app].state,
  'appIsNewest': (int app, String now) =>
      isNewest(_apps[app].trust, DateTime.parse(now)),
};

List<HostPolicy> _covering(List<dynamic> patterns) => [
      for (final pattern in patterns.cast<String>())
        HostPolicy(
          pattern: pattern,
          mode: 'enforce',
          match: 'leaf',
          pins: const [],
        ),
    ];

HostPolicy _policy(Json fields) => HostPolicy(
      pattern: 'bank.example',
      mode: fields['mode'] as String,
      match: fields['match'] as String,
      pins: (fields['pins'] as List).cast<String>(),
      compromised: (fields['compromised'] as List? ?? const []).cast<String>(),
      expires: fields['expires'] as String?,
      onExpiry: fields['onExpiry'] as String,
      trust: fields['match'] == 'leaf' ? null : '',
    );

final List<_App> _apps = [];

/// The same answer to the same question: apps are started again and again here.
final class _Cached implements SignatureVerifier {
  const _Cached();

  static final Map<String, bool> _verified = {};

  @override
  bool verify(
    SignatureScheme scheme,
    Uint8List point,
    Uint8List r,
    Uint8List s,
    Uint8List message,
  ) =>
      _verified.putIfAbsent(
        [scheme.name, ...[point, r, s, message].map(base64.encode)].join(' '),
        () => const PointycastleVerifier().verify(scheme, point, r, s, message),
      );
}

/// An app that follows signed sets, without its connection and its storage.
final class _App {
  _App(this.pins, this.root) : trust = newTrust(pins, root, const _Cached());

  final PinSet pins;
  final Uint8List root;
  Trust trust;

  /// Starts it, perhaps again, with what it stored.
  void start(String stored) {
    trust = newTrust(pins, root, const _Cached());
    if (stored.isNotEmpty) {
      restore(trust, stored, const _Cached());
    }
  }

  Json get state => {
        'version': pinsInForce(trust).version,
        'stored': storedState(trust),
        'roots': trust.roots.length,
        'good': trust.good != null,
        'until': trust.good?.promise.until.toUtc().toIso8601String(),
      };

  /// Asks a server that shows these files.
  Json refresh(Json files, DateTime now) {
    final asked = <String>[];
    var reason = '';
    var problem = '';
    try {
      final refresh = refreshOf(trust);
      while (refresh.phase != 'done') {
        final next = wanted(refresh);
        asked.add(next.path);
        take(refresh, _file(files, next), now, const _Cached());
      }
    } on PinUpdateException catch (refused) {
      reason = refused.reason;
      problem = refused.problem;
    }
    return {...state, 'asked': asked, 'reason': reason, 'problem': problem};
  }

  Uint8List? _file(Json files, Wanted wanted) {
    final text = files[wanted.path] as String?;
    if (text == null && !wanted.mayMiss) {
      throw PinUpdateException('http', '${wanted.path} is not there');
    }
    final bytes = text == null ? null : base64.decode(text);
    if (bytes != null && bytes.length > wanted.limit) {
      throw PinUpdateException('too-long', wanted.path);
    }
    return bytes;
  }
}
