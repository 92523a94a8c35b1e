/// Updates pins from signed sets, between two releases of the app.
library;

import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import '../connector.dart';
import '../exceptions.dart';
import '../platform_io.dart'
    if (dart.library.js_interop) '../platform_web.dart';
import '../policy.dart';
import '../report.dart';
import 'exception.dart';
import 'fetch.dart';
import 'keys.dart';
import 'metadata.dart';
import 'refresh.dart';
import 'state.dart';
import 'storage.dart';

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
/// `PinnedHttpClient` instead of `pins`: each new connection is checked against
/// the current set.
///
/// ```dart
/// final updates = PinUpdates(
///   bundled: pins,
///   source: signedSource,
///   storage: FilePinStorage(File('${folder.path}/pins.signed.json')),
///   verifier: const PointycastleVerifier(),
/// );
/// try {
///   await updates.load();
/// } on PinUpdateException catch (error) {
///   log('$error'); // the pins of the app are in force
/// }
/// ```
///
/// After any failure, the current pins stay in force.
final class PinUpdates implements PinSet {
  /// Creates pins that start with [bundled]. [now] is the clock, for tests.
  ///
  /// Throws an [UnsupportedError] on the web.
  PinUpdates({
    required this.bundled,
    required this.source,
    required this.storage,
    required this.verifier,
    this.app = const ReportedApp(),
    this.findProxy,
    this.now = DateTime.now,
  }) {
    requireSockets('PinUpdates');
  }

  /// The pins of the app. Only a newer set replaces them.
  final PinSet bundled;

  /// The source of newer sets.
  final SignedSource source;

  /// The storage of the newest set between two runs.
  final PinStorage storage;

  /// Verifies the signatures.
  final SignatureVerifier verifier;

  /// The app, as named in reports about the update server.
  final ReportedApp app;

  /// Finds the proxy for the update server, as in `PinnedHttpClient.findProxy`.
  /// `null`: no proxy.
  final FindProxy? findProxy;

  /// The clock for expiry dates.
  final DateTime Function() now;

  Trust? _trust; // `null` until the root in the app was verified
  String? _stored;
  Future<void>? _running;

  @override
  String get name => bundled.name;

  @override
  int get version => _inForce.version;

  @override
  List<HostPolicy> get policies => _inForce.policies;

  @override
  String? get debugAnchors => bundled.debugAnchors;

  /// Whether the current pins are known to be the newest: fetched, signed by
  /// current keys, and not expired. Otherwise they stay in force; monitor this
  /// value to find out why updates fail.
  bool get isFresh => switch (_trust) {
        null => false,
        final trust => isNewest(trust, now()),
      };

  PinSet get _inForce => switch (_trust) {
        null => bundled,
        final trust => pinsInForce(trust),
      };

  /// Activates the last valid set. Call it once, before the first request and
  /// before [refresh].
  ///
  /// Throws a [PinUpdateException] if the stored set is unreadable or invalid.
  /// The pins of the app are then in force, and [refresh] starts from them. It
  /// throws one as well if the root of [source] is invalid; then no update
  /// works, and the pins of the app stay in force.
  Future<void> load() async {
    try {
      final trust = _begun();
      final text = await storage.read();
      if (text == null) {
        _trust ??= trust;
        return;
      }
      restore(trust, text, verifier);
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
    final Uint8List root;
    try {
      root = base64.decode(source.root);
    } on FormatException {
      throw const PinUpdateException('unreadable', 'its root is not base64');
    }
    return newTrust(bundled, root, verifier);
  }

  Future<void> _refresh() async {
    SignedFetcher? fetcher;
    try {
      final trust = _trust ??= _begun();
      fetcher = SignedFetcher(
        Uri.parse(source.url),
        current: pinsInForce(trust),
        bundled: bundled,
        app: app,
        findProxy: findProxy,
        now: now,
      );
      await _follow(fetcher, trust);
    } on Object catch (error, trace) {
      Error.throwWithStackTrace(_understood(error), trace);
    } finally {
      fetcher?.close();
    }
  }

  Future<void> _follow(SignedFetcher fetcher, Trust trust) async {
    final refresh = refreshOf(trust);
    FileSystemException? unwritten;
    while (refresh.phase != 'done') {
      final Uint8List? bytes = await fetcher.fetch(wanted(refresh));
      take(refresh, bytes, now(), verifier);
      try {
        await _save(trust);
      } on FileSystemException catch (error) {
        unwritten = error; // active in memory until the app exits
      }
    }
    if (unwritten != null) {
      throw unwritten;
    }
  }

  Future<void> _save(Trust trust) async {
    final text = storedState(trust);
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
