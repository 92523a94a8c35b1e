/// Storage for the last valid signed set.
library;

import 'dart:convert';
import 'dart:io';

import 'exception.dart';

/// Storage for one text. It need be neither secret nor tamper-proof, because
/// the text is verified. An attacker who deletes it can only replay old pins.
abstract interface class PinStorage {
  /// Returns the stored text, or `null` if there is none.
  Future<String?> read();

  /// Stores [text] atomically if the stored text is still [before] (`null`:
  /// none, or an unreadable one), and returns whether it was.
  ///
  /// Another isolate or process of the app may have stored a newer set since
  /// [before] was read: it must not be lost.
  Future<bool> replace(String? before, String text);
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

  // A write takes milliseconds. An app that is killed leaves its file behind.
  static const Duration _maxWrite = Duration(seconds: 5);

  @override
  Future<String?> read() async {
    try {
      if (await file.length() > _maxBytes) {
        throw const PinUpdateException('cache', 'what was stored is too long');
      }
      return utf8.decode(await file.readAsBytes());
    } on PathNotFoundException {
      return null;
    } on FormatException {
      throw const PinUpdateException('cache', 'what was stored is not UTF-8');
    }
  }

  @override
  Future<bool> replace(String? before, String text) async {
    await file.parent.create(recursive: true);
    final beside = await _createBeside();
    try {
      if (await _readable() != before) {
        await beside.delete();
        return false;
      }
      await beside.writeAsString(text, flush: true);
      await beside.rename(file.path);
      return true;
    } on FileSystemException {
      await _deleteIfThere(beside);
      rethrow;
    }
  }

  /// Creates the file for the new text. Only one isolate or process at a time
  /// has it, so it is the lock too: locks of `dart:io` do not exclude another
  /// isolate of the same process (fcntl).
  Future<File> _createBeside() async {
    final beside = File('${file.path}.new');
    while (true) {
      try {
        return await beside.create(exclusive: true);
      } on PathExistsException {
        if (await _isLeftOver(beside)) {
          await _deleteIfThere(beside);
        } else {
          await Future<void>.delayed(const Duration(milliseconds: 20));
        }
      }
    }
  }

  /// Whether a file is not one that is being written: too old, or, after the
  /// clock was set back, from the future.
  Future<bool> _isLeftOver(File beside) async {
    try {
      final written = await beside.lastModified();
      return DateTime.now().difference(written).abs() > _maxWrite;
    } on PathNotFoundException {
      return false;
    }
  }

  Future<void> _deleteIfThere(File beside) async {
    try {
      await beside.delete();
    } on PathNotFoundException {
      return;
    }
  }

  Future<String?> _readable() async {
    try {
      return await read();
    } on PinUpdateException {
      return null;
    }
  }
}
