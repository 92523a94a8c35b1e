/// Storage for the last valid signed set.
library;

import 'dart:convert';
import 'dart:io';
import 'dart:math';

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

  /// The file that contains the stored text.
  final File file;

  // Base64 (four bytes for three) of pins, metadata and several roots.
  static const int _maxBytes = 16777216;

  // A write takes milliseconds. An app that is killed leaves its file behind.
  static const Duration _maxWrite = Duration(seconds: 5);

  // To get the lock: about twice as long as a write.
  static const Duration _pause = Duration(milliseconds: 20);
  static const int _maxTries = 500;

  static final RegExp _word = RegExp(r'^[0-9a-f]{32}$');

  @override
  Future<String?> read() async {
    try {
      if (await file.length() > _maxBytes) {
        throw const PinUpdateException('cache', 'the stored file is too long');
      }
      return utf8.decode(await file.readAsBytes());
    } on PathNotFoundException {
      return null;
    } on FormatException {
      throw const PinUpdateException('cache', 'the stored file is not UTF-8');
    }
  }

  @override
  Future<bool> replace(String? before, String text) async {
    await file.parent.create(recursive: true);
    final owner = _newWord();
    final written = _textOf(owner);
    await _acquire(owner);
    try {
      if (await _readable() != before) {
        return false;
      }
      await written.writeAsString(text, flush: true);
      // Another one may have taken over while this app was suspended.
      if (await _owner() != owner || await _readable() != before) {
        return false;
      }
      await written.rename(file.path);
      return true;
    } on PathNotFoundException {
      return false; // another one has taken over, and deleted the text
    } finally {
      await _deleteIfThere(written);
      if (await _owner() == owner) {
        await _deleteIfThere(_lock);
      }
    }
  }

  /// The lock: locks of `dart:io` do not exclude another isolate of the same
  /// process (fcntl). It contains the word of its owner.
  File get _lock => File('${file.path}.new');

  /// The file for the new text of a lock's owner, until it replaces the stored
  /// one.
  File _textOf(String owner) => File('${_lock.path}-$owner');

  String _newWord() {
    final random = Random.secure();
    return [
      for (var i = 0; i < 16; i += 1)
        random.nextInt(256).toRadixString(16).padLeft(2, '0'),
    ].join();
  }

  /// Waits until no other write has the lock, and takes it for [owner]. A lock
  /// that was left behind is removed.
  Future<void> _acquire(String owner) async {
    for (var tries = 0; tries < _maxTries; tries += 1) {
      try {
        await _lock.create(exclusive: true);
        // Appended: if another one has taken over meanwhile, the word of
        // neither is the content, and both give up.
        await _lock.writeAsString(owner, mode: FileMode.append, flush: true);
        return;
      } on PathExistsException {
        if (await _isLeftOver()) {
          await _takeOver();
        } else {
          await Future<void>.delayed(_pause);
        }
      }
    }
    // It is a symbolic link without a target, for example.
    throw FileSystemException('The lock is never released', _lock.path);
  }

  /// Whether the lock was left behind: it is too old to be that of a write that
  /// is running, or, after the clock was set back, from the future.
  Future<bool> _isLeftOver() async {
    try {
      final written = await _lock.lastModified();
      return DateTime.now().difference(written).abs() > _maxWrite;
    } on PathNotFoundException {
      return false;
    }
  }

  /// Deletes a lock and the text of its owner, which then can't replace the
  /// stored one any more.
  Future<void> _takeOver() async {
    final owner = await _owner();
    if (_word.hasMatch(owner)) {
      await _deleteIfThere(_textOf(owner));
    }
    await _deleteIfThere(_lock);
  }

  /// Returns the word of the lock's owner; an empty text if there is no lock.
  Future<String> _owner() async {
    try {
      return latin1.decode(await _lock.readAsBytes());
    } on PathNotFoundException {
      return '';
    }
  }

  Future<void> _deleteIfThere(File file) async {
    try {
      await file.delete();
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
