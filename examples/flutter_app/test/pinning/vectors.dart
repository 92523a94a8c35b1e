/// The vectors that certpin made: what it says of certificates, hosts, moments.
library;

import 'dart:convert';
import 'dart:io';

typedef Json = Map<String, dynamic>;

final Json _vectors = jsonDecode(
  File('test/pinning/vectors.json').readAsStringSync(),
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
