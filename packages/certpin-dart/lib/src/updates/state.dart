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

/// Returns the state of an app before its first refresh: the pins and the
/// [root] in the app. Throws a [PinUpdateException] if the root is invalid.
Trust newTrust(PinSet bundled, Uint8List root, SignatureVerifier verifier) {
  final roots = <Metadata>[firstRoot(root, bundled.name, verifier)];
  return Trust(bundled, roots, null, null, null, null);
}

/// Returns the state as one text (JSON), to be stored.
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
    kept['good'] = _storedSet(good);
  }
  return jsonEncode(kept);
}

Map<String, Object?> _storedSet(SignedSet good) {
  return <String, Object?>{
    'root': good.root,
    'timestamp': base64.encode(good.timestamp),
    'snapshot': base64.encode(good.snapshot),
    'targets': base64.encode(good.targets),
    'pins': base64.encode(good.bytes),
  };
}

String? _text(Metadata? found) {
  if (found == null) {
    return null;
  }
  return base64.encode(found.bytes);
}

/// Returns [trust] with a stored state: of each part, the newer one. Another
/// isolate or process of the app may have stored it.
///
/// Throws if the text is not trustworthy; its pins are then not used.
Trust withStored(Trust trust, String text, SignatureVerifier verifier) {
  final merged = Trust(
    trust.bundled,
    [...trust.roots],
    trust.timestamp,
    trust.snapshot,
    trust.targets,
    trust.good,
  );
  restore(merged, text, verifier);
  return merged;
}

/// Restores a stored state into [trust], which never goes back. Throws if the
/// text is not trustworthy; do not use [trust] then.
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
  final stored = Trust(
    trust.bundled,
    trust.roots,
    _seen(kept, 'timestamp'),
    _seen(kept, 'snapshot'),
    _seen(kept, 'targets'),
    null,
  );
  // First: a thief of replaced keys could have signed the highest version.
  dropReplaced(stored, verifier);
  dropReplaced(trust, verifier);
  trust.timestamp = _newer(trust.timestamp, stored.timestamp);
  trust.snapshot = _newer(trust.snapshot, stored.snapshot);
  trust.targets = _newer(trust.targets, stored.targets);
  if (kept.containsKey('good')) {
    final found = _good(trust, objectAt(kept, 'good'), verifier);
    trust.good = _newerSet(trust, found, verifier);
  }
}

Metadata? _newer(Metadata? known, Metadata? stored) {
  if (known == null || stored == null) {
    return known ?? stored;
  }
  return stored.version > known.version ? stored : known;
}

/// Returns the known set or the [stored] one: that which current keys signed,
/// else the higher version, else the one whose metadata expires later.
SignedSet _newerSet(
  Trust trust,
  SignedSet stored,
  SignatureVerifier verifier,
) {
  final good = trust.good;
  if (good == null) {
    return stored;
  }
  // The stored roots may have replaced its keys.
  final known = _good(trust, _storedSet(good), verifier);
  if (_isNewerSet(stored, known)) {
    return stored;
  }
  return known.superseded == good.superseded ? good : known;
}

bool _isNewerSet(SignedSet one, SignedSet other) {
  if (one.superseded != other.superseded) {
    return other.superseded;
  }
  if (one.pins.version != other.pins.version) {
    return one.pins.version > other.pins.version;
  }
  return one.promise.until.isAfter(other.promise.until);
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
