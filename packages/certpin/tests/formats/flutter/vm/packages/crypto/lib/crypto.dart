/// Stands in for `package:crypto` in certpin's tests: SHA-256 only.
library;

import 'dart:typed_data';

import 'src/sha2.dart';

/// The digest of some bytes.
final class Digest {
  const Digest(this.bytes);

  final List<int> bytes;

  @override
  String toString() => [
        for (final octet in bytes) octet.toRadixString(16).padLeft(2, '0'),
      ].join();
}

/// SHA-256.
const Sha256 sha256 = Sha256._();

final class Sha256 {
  const Sha256._();

  Digest convert(List<int> input) =>
      Digest(sha256Of(Uint8List.fromList(input)));
}
