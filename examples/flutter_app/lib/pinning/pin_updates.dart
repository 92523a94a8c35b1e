// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// Pins that follow what is signed and published, between two releases of the
/// app. Needs `package:pointycastle`.
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

/// Where signed sets come from. `signed_source.dart` has the one that was
/// exported.
final class SignedSource {
  /// A source.
  const SignedSource({required this.url, required this.root});

  /// The address of the served folder, with a slash at its end.
  final String url;

  /// The root that the app brings, as base64: all trust begins there.
  final String root;
}

/// A [PinSet] whose pins follow what is published. Give it to a
/// `PinnedHttpClient`, to `pinnedDio` or to `pinnedClient` in the place of
/// `pins`: each new connection is checked against the set in force then.
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
/// Whatever goes wrong, what is in force stays in force.
final class PinUpdates implements PinSet {
  /// Pins that begin with [bundled]. [now] is the clock, for tests.
  PinUpdates({
    required this.bundled,
    required this.source,
    required this.storage,
    this.app = const ReportedApp(),
    this.now = DateTime.now,
  });

  /// The pins of the app. A newer set takes their place, an older one never.
  final PinSet bundled;

  /// Where newer ones come from.
  final SignedSource source;

  /// Where the newest is kept between two runs.
  final PinStorage storage;

  /// The app, as reports name it that are about the server of the updates.
  final ReportedApp app;

  /// The clock that dates are compared with.
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

  /// Whether the pins in force are known to be the newest: fetched, by keys
  /// that hold, and in date. Where they are not, they hold on: see to it that
  /// somebody asks why nothing newer comes.
  bool get isFresh => isNewest(_trust, now());

  /// Puts the set that was good last in force. Call it once, before the first
  /// request and before [refresh].
  ///
  /// Throws a [PinUpdateException] on what cannot be read or believed. Then
  /// the pins of the app are in force, and the next [refresh] begins anew.
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

  /// Asks for a newer set, and puts it in force. Two at a time are one.
  ///
  /// Throws a [PinUpdateException] where nothing newer is to be had: log it,
  /// and ask again later. Nothing of the app has to wait for it.
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
        unwritten = error; // it holds in memory, until the app ends
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

/// Whatever went wrong, as the one type: hostile bytes are nothing more.
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
