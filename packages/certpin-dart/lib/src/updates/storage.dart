/// Storage for the last valid signed set.
library;

import 'dart:io';

import 'exception.dart';

/// Storage for one text. It need be neither secret nor tamper-proof, because
/// the text is verified. An attacker who deletes it can only replay old pins.
abstract interface class PinStorage {
  /// Returns the stored text, or `null` if there is none.
  Future<String?> read();

  /// Replaces the stored text atomically.
  Future<void> write(String text);
}

/// A file in a private folder of the app, such as that of
/// `getApplicationSupportDirectory` in `package:path_provider`.
final class FilePinStorage implements PinStorage {
  /// Creates a storage. A missing folder is created.
  const FilePinStorage(this.file);

  /// The file.
  final File file;

  // Base64 (four bytes for three) of pins, metadata and several roots.
  static const int _maxBytes = 16777216;

  @override
  Future<String?> read() async {
    try {
      if (await file.length() > _maxBytes) {
        throw const PinUpdateException('cache', 'what was stored is too long');
      }
      return await file.readAsString();
    } on PathNotFoundException {
      return null;
    }
  }

  @override
  Future<void> write(String text) async {
    await file.parent.create(recursive: true);
    final beside = File('${file.path}.new');
    await beside.writeAsString(text, flush: true);
    await beside.rename(file.path);
  }
}
