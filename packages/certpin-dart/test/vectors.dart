/// The vectors that certpin made: what it says of certificates, hosts, moments.
library;

import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

typedef Json = Map<String, dynamic>;

final Json _vectors = jsonDecode(
  File('test/vectors.json').readAsStringSync(),
) as Json;

/// Certificates by what is particular about them: `der`, and `pins` or null.
Map<String, Json> get certificates =>
    (_vectors['certificates'] as Json).cast<String, Json>();

/// The patterns of a pin set.
List<String> get patterns => (_vectors['patterns'] as List).cast<String>();

/// Hosts, and the pattern that covers each, or null.
Map<String, String?> get hosts =>
    (_vectors['hosts'] as Json).cast<String, String?>();

/// Policies with a moment, and what is decided.
List<Json> get decisions => (_vectors['decisions'] as List).cast<Json>();

final Json _signed = jsonDecode(
  File('test/updates_vectors.json').readAsStringSync(),
) as Json;

/// What servers show, moment after moment: `name`, `pins`, `root`, `moments`.
List<Json> get signedCases => (_signed['cases'] as List).cast<Json>();

/// A file of those, by the name that stands for it.
Uint8List signedFile(Object? name) =>
    base64.decode((_signed['files'] as Json)[name] as String);

/// What a server shows at a moment, by path.
Map<String, Uint8List> signedFiles(Json moment) => (moment['files'] as Json)
    .map((path, name) => MapEntry(path, signedFile(name)));
