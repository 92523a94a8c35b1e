/// Signed metadata as JSON: untrusted until its signatures are verified.
library;

import 'dart:convert';
import 'dart:typed_data';

import 'exception.dart';

/// Metadata has about five levels. Deeper nesting could exhaust the stack.
const int maxDepth = 16;

/// Parses a JSON object. Throws a [PinUpdateException] on anything else.
Map<String, Object?> decodedObject(Uint8List bytes) {
  try {
    final decoded = jsonDecode(utf8.decode(bytes));
    if (decoded is Map<String, Object?>) {
      return decoded;
    }
  } on FormatException {
    throw const PinUpdateException('unreadable', 'it is not JSON');
  }
  throw const PinUpdateException('unreadable', 'it is not a JSON object');
}

/// Returns the JSON object at the key [name]. Throws a [PinUpdateException] if
/// there is none.
Map<String, Object?> objectAt(Map<String, Object?> object, String name) {
  final value = object[name];
  if (value is! Map<String, Object?>) {
    throw PinUpdateException('unreadable', '$name is not an object');
  }
  return value;
}

/// Returns the list at the key [name]. Throws a [PinUpdateException] if there
/// is none.
List<Object?> listAt(Map<String, Object?> object, String name) {
  final value = object[name];
  if (value is! List<Object?>) {
    throw PinUpdateException('unreadable', '$name is not a list');
  }
  return value;
}

/// Returns the string at the key [name]. Throws a [PinUpdateException] if there
/// is none.
String textAt(Map<String, Object?> object, String name) {
  final value = object[name];
  if (value is! String) {
    throw PinUpdateException('unreadable', '$name is not a text');
  }
  return value;
}

/// Returns the integer at the key [name]. Throws a [PinUpdateException] if
/// there is none, or if it is below 1.
int countAt(Map<String, Object?> object, String name) {
  final value = object[name];
  if (value is! int || value < 1) {
    throw PinUpdateException('unreadable', '$name is not a number from 1 on');
  }
  return value;
}

/// Returns a list of strings. Throws a [PinUpdateException] if it has anything
/// else, or the same string twice.
List<String> textsOf(List<Object?> values) {
  final texts = <String>[];
  for (final value in values) {
    if (value is! String || texts.contains(value)) {
      throw const PinUpdateException('unreadable', 'not a list of texts');
    }
    texts.add(value);
  }
  return texts;
}

/// Returns the bytes to which signatures apply: canonical JSON, as written by
/// securesystemslib (TUF 1.0.31, 4.2.1;
/// http://wiki.laptop.org/go/Canonical_JSON).
///
/// It has sorted keys and no spaces; only `"` and `\` are escaped. Throws a
/// [PinUpdateException] on other values, such as a fraction, and on more than
/// [maxDepth] levels.
Uint8List canonicalJson(Object? value) {
  final out = BytesBuilder();
  _write(out, value, 0);
  return out.takeBytes();
}

void _write(BytesBuilder out, Object? value, int depth) {
  if (depth > maxDepth) {
    throw const PinUpdateException('unreadable', 'it is nested too deeply');
  }
  if (value is String) {
    _writeText(out, value);
    return;
  }
  if (value is List<Object?>) {
    _writeList(out, value, depth);
    return;
  }
  if (value is Map<String, Object?>) {
    _writeMap(out, value, depth);
    return;
  }
  if (value != null && value is! bool && value is! int) {
    throw const PinUpdateException('unreadable', 'it has a fraction in it');
  }
  out.add(utf8.encode(jsonEncode(value)));
}

void _writeText(BytesBuilder out, String text) {
  for (final rune in text.runes) {
    // Encoders would replace an unpaired surrogate by another character.
    if (rune >= 0xd800 && rune < 0xe000) {
      throw const PinUpdateException('refused', 'half a character');
    }
  }
  final escaped = text.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
  out.add(utf8.encode('"$escaped"'));
}

void _writeList(BytesBuilder out, List<Object?> values, int depth) {
  var between = '[';
  for (final value in values) {
    out.add(utf8.encode(between));
    _write(out, value, depth + 1);
    between = ',';
  }
  if (values.isEmpty) {
    out.add(utf8.encode('['));
  }
  out.add(utf8.encode(']'));
}

void _writeMap(BytesBuilder out, Map<String, Object?> values, int depth) {
  final names = <String>[];
  for (final name in values.keys) {
    names.add(name);
  }
  names.sort(_compare);
  out.add(utf8.encode('{'));
  var first = true;
  for (final name in names) {
    if (!first) {
      out.add(utf8.encode(','));
    }
    first = false;
    _writeText(out, name);
    out.add(utf8.encode(':'));
    _write(out, values[name], depth + 1);
  }
  out.add(utf8.encode('}'));
}

/// Compares by code points. `compareTo` compares surrogates, in another order.
int _compare(String one, String other) {
  final others = other.runes.toList();
  var place = 0;
  for (final rune in one.runes) {
    if (place == others.length) {
      return 1;
    }
    if (rune != others[place]) {
      return rune - others[place];
    }
    place += 1;
  }
  return place - others.length;
}

/// Whether two byte lists are equal.
bool sameBytes(Uint8List one, Uint8List other) {
  if (one.length != other.length) {
    return false;
  }
  var place = 0;
  while (place < one.length) {
    if (one[place] != other[place]) {
      return false;
    }
    place += 1;
  }
  return true;
}
