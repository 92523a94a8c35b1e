// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// Updates pins from signed sets, between two releases of the app. Needs
/// `package:pointycastle`.
library;

import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'exceptions.dart';
import 'policy.dart';
import 'report.dart';
import 'signed_exception.dart';
import 'signed_fetch.dart';
import 'signed_metadata.dart';
import 'signed_refresh.dart';
import 'signed_state.dart';
import 'signed_storage.dart';
import 'signed_verifier.dart';

export 'signed_exception.dart';
export 'signed_storage.dart';

/// The source of signed sets. `signed_source.dart` contains the exported one.
final class SignedSource {
  /// Creates a source.
  const SignedSource({required this.url, required this.root});

  /// The URL of the published folder, with a trailing slash.
  final String url;

  /// The root in the app, as base64: the origin of all trust.
  final String root;
}

/// A [PinSet] that is updated from published sets. Pass it to a
/// `PinnedHttpClient`, to `pinnedDio` or to `pinnedClient` instead of `pins`:
/// each new connection is checked against the current set.
///
/// ```dart
/// final updates = PinUpdates(
///   bundled: pins,
///   source: signedSource,
///   storage: FilePinStorage(File('${folder.path}/pins.signed.json')),
/// );
/// await updates.load();
/// ```
///
/// After any failure, the current pins stay in force.
final class PinUpdates implements PinSet {
  /// Creates pins that start with [bundled]. [now] is the clock, for tests.
  PinUpdates({
    required this.bundled,
    required this.source,
    required this.storage,
    this.app = const ReportedApp(),
    this.now = DateTime.now,
  });

  /// The pins of the app. Only a newer set replaces them.
  final PinSet bundled;

  /// The source of newer sets.
  final SignedSource source;

  /// The storage of the newest set between two runs.
  final PinStorage storage;

  /// The app, as named in reports about the update server.
  final ReportedApp app;

  /// The clock for expiry dates.
  final DateTime Function() now;

  late Trust _trust = _begun();
  String? _stored;
  Future<void>? _running;

  @override
  String get name => bundled.name;

  @override
  int get version => pinsInForce(_trust).version;

  @override
  List<HostPolicy> get policies => pinsInForce(_trust).policies;

  @override
  String? get debugAnchors => bundled.debugAnchors;

  /// Whether the current pins are known to be the newest: fetched, signed by
  /// current keys, and not expired. Otherwise they stay in force; monitor this
  /// value to find out why updates fail.
  bool get isFresh => isNewest(_trust, now());

  /// Activates the last valid set. Call it once, before the first request and
  /// before [refresh].
  ///
  /// Throws a [PinUpdateException] if the stored set is unreadable or invalid.
  /// The pins of the app are then in force, and [refresh] starts from them.
  Future<void> load() async {
    try {
      final text = await storage.read();
      if (text == null) {
        return;
      }
      final trust = _begun();
      restore(trust, text, verifiesEcdsa);
      _trust = trust;
      _stored = text;
    } on Object catch (error, trace) {
      Error.throwWithStackTrace(_understood(error), trace);
    }
  }

  /// Fetches a newer set, and activates it. Concurrent calls are merged.
  ///
  /// Throws a [PinUpdateException] if the refresh fails: log it, and retry
  /// later. The app does not have to wait for it.
  Future<void> refresh() {
    return _running ??= _refresh().whenComplete(() => _running = null);
  }

  Trust _begun() {
    return newTrust(bundled, base64.decode(source.root), verifiesEcdsa);
  }

  Future<void> _refresh() async {
    final inForce = pinsInForce(_trust);
    final base = Uri.parse(source.url);
    final fetcher = SignedFetcher(base, [inForce, bundled], app, now);
    try {
      await _follow(fetcher);
    } on Object catch (error, trace) {
      Error.throwWithStackTrace(_understood(error), trace);
    } finally {
      fetcher.close();
    }
  }

  Future<void> _follow(SignedFetcher fetcher) async {
    final refresh = refreshOf(_trust);
    FileSystemException? unwritten;
    while (refresh.phase != 'done') {
      final Uint8List? bytes = await fetcher.fetch(wanted(refresh));
      take(refresh, bytes, now(), verifiesEcdsa);
      try {
        await _save();
      } on FileSystemException catch (error) {
        unwritten = error; // active in memory until the app exits
      }
    }
    if (unwritten != null) {
      throw unwritten;
    }
  }

  Future<void> _save() async {
    final text = storedState(_trust);
    if (text != _stored) {
      await storage.write(text);
      _stored = text;
    }
  }
}

/// Converts any error to the one type. Hostile bytes must not cause others.
PinUpdateException _understood(Object error) {
  if (error is PinUpdateException) {
    return error;
  }
  if (error is FileSystemException) {
    return PinUpdateException('storage', error.message);
  }
  return switch (ConnectionException.of(error)) {
    final NetworkException failure =>
      PinUpdateException('network', failure.logMessage),
    final ConnectionException failure =>
      PinUpdateException('pins', failure.logMessage),
    null => PinUpdateException('unexpected', '$error'),
  };
}
