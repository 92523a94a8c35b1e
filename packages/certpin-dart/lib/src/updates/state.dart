/// The stored state of an app between two runs: one text, so that a write is
/// atomic. It is not trusted more than data of a server: the same steps verify
/// it, except for expiry, because no newer set is available.
library;

import 'dart:convert';
import 'dart:typed_data';

import '../policy.dart';
import 'exception.dart';
import 'json.dart';
import 'keys.dart';
import 'metadata.dart';
import 'refresh.dart';
import 'roles.dart';
import 'trust.dart';

const int _schema = 1;

/// Returns the state of an app before its first refresh.
Trust newTrust(PinSet bundled, Uint8List root, SignatureVerifier verifier) {
  final roots = <Metadata>[firstRoot(root, bundled.name, verifier)];
  return Trust(bundled, roots, null, null, null, null);
}

/// Serialises the state.
String storedState(Trust trust) {
  final roots = <String>[];
  for (final root in trust.roots) {
    roots.add(base64.encode(root.bytes));
  }
  final kept = <String, Object?>{
    'schema': _schema,
    'roots': roots,
    'timestamp': _text(trust.timestamp),
    'snapshot': _text(trust.snapshot),
    'targets': _text(trust.targets),
  };
  final good = trust.good;
  if (good != null) {
    kept['good'] = <String, Object?>{
      'root': good.root,
      'timestamp': base64.encode(good.timestamp),
      'snapshot': base64.encode(good.snapshot),
      'targets': base64.encode(good.targets),
      'pins': base64.encode(good.bytes),
    };
  }
  return jsonEncode(kept);
}

String? _text(Metadata? found) {
  if (found == null) {
    return null;
  }
  return base64.encode(found.bytes);
}

/// Restores a stored state. Throws if the text is not trustworthy; its pins are
/// then not used.
void restore(Trust trust, String text, SignatureVerifier verifier) {
  final kept = decodedObject(_utf8(text));
  if (kept['schema'] != _schema) {
    throw const PinUpdateException('cache', 'it is of another schema');
  }
  for (final root in textsOf(listAt(kept, 'roots'))) {
    final bytes = _bytes(root);
    if (readMetadata('root', bytes).version > trust.roots.last.version) {
      final name = trust.bundled.name;
      trust.roots.add(nextRoot(trust.roots.last, bytes, name, verifier));
    }
  }
  trust.timestamp = _seen(kept, 'timestamp');
  trust.snapshot = _seen(kept, 'snapshot');
  trust.targets = _seen(kept, 'targets');
  dropReplaced(trust, verifier);
  if (kept.containsKey('good')) {
    trust.good = _good(trust, objectAt(kept, 'good'), verifier);
  }
}

Metadata? _seen(Map<String, Object?> kept, String role) {
  if (kept[role] == null) {
    return null;
  }
  return readMetadata(role, _bytes(textAt(kept, role)));
}

/// Verifies the stored set under the newest root, or under an earlier one. In
/// the latter case its keys have been replaced, and no newer set is known.
SignedSet _good(
  Trust trust,
  Map<String,
  Object?> kept,
  SignatureVerifier verifier,
) {
  try {
    return _under(trust.roots.last, trust, kept, verifier, false);
  } on PinUpdateException {
    final version = countAt(kept, 'root');
    for (final root in trust.roots) {
      if (root.version == version) {
        return _under(root, trust, kept, verifier, true);
      }
    }
  }
  throw const PinUpdateException('signature', 'no root vouches for it');
}

/// Returns the number of the root under which the stored set was fetched. It is
/// not signed, so it can't be that of a root that doesn't exist: the limit for
/// jumps of the version depends on it.
int _rootOf(Trust trust, Map<String, Object?> kept) {
  final number = countAt(kept, 'root');
  final newest = trust.roots.last.version;
  return number < newest ? number : newest;
}

SignedSet _under(
  Metadata root,
  Trust trust,
  Map<String, Object?> kept,
  SignatureVerifier verifier,
  bool superseded,
) {
  final first = _bytes(textAt(kept, 'timestamp'));
  final timestamp = nextTimestamp(root, null, first, verifier);
  final second = _bytes(textAt(kept, 'snapshot'));
  final snapshot = nextSnapshot(root, timestamp, null, second, verifier);
  final third = _bytes(textAt(kept, 'targets'));
  final targets = namedBy(root, snapshot, 'targets', third, verifier);
  final until = firstEnd([root, timestamp, snapshot, targets]);
  final promise = promiseIn(targets, trust.bundled.name, until);
  final bytes = _bytes(textAt(kept, 'pins'));
  final pins = pinsAsPromised(promise, trust.bundled.name, bytes);
  return SignedSet(
    pins,
    promise,
    _rootOf(trust, kept),
    first,
    second,
    third,
    bytes,
    superseded,
  );
}

Uint8List _utf8(String text) {
  final out = BytesBuilder();
  out.add(utf8.encode(text));
  return out.takeBytes();
}

Uint8List _bytes(String text) {
  try {
    return base64.decode(text);
  } on FormatException {
    throw const PinUpdateException('cache', 'it is not base64');
  }
}
