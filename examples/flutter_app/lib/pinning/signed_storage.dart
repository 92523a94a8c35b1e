// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// Where an app keeps the signed set that was good last.
library;

import 'dart:io';

import 'signed_exception.dart';

/// A place for one text. It need not be secret, nor safe from changes: what is
/// read is verified. Who can empty it can have old pins tried again.
abstract interface class PinStorage {
  /// What was written last; `null` where nothing was.
  Future<String?> read();

  /// Puts a text in the place of the last one, whole or not at all.
  Future<void> write(String text);
}

/// A file in a folder that belongs to the app: `getApplicationSupportDirectory`
/// of `package:path_provider` has one.
final class FilePinStorage implements PinStorage {
  /// A storage. The folder is made where it is missing.
  const FilePinStorage(this.file);

  /// The file.
  final File file;

  // Four bytes for three, of pins, metadata and some roots.
  static const int _maxBytes = 16777216;

  @override
  Future<String?> read() async {
    if (!await file.exists()) {
      return null;
    }
    if (await file.length() > _maxBytes) {
      throw const PinUpdateException('cache', 'what was stored is too long');
    }
    return file.readAsString();
  }

  @override
  Future<void> write(String text) async {
    await file.parent.create(recursive: true);
    final beside = File('${file.path}.new');
    await beside.writeAsString(text, flush: true);
    await beside.rename(file.path);
  }
}
