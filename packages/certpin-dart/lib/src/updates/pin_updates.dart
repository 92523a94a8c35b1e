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
///
/// Several isolates of an app may each have one with the same [storage]. Each
/// [refresh] begins with the newest state that any of them has stored.
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
  String? _stored; // as it was read or written last; `null` if unreadable
  Future<void>? _running;

  // Each further one means that another isolate has stored a newer state.
  static const int _maxTries = 10;

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
      final begun = _trust ?? _begun();
      final text = await _read();
      final trust = _trust ??= begun;
      if (text != null) {
        _trust = _restored(trust, text);
      }
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
      _trust ??= _begun();
      await _catchUp();
      fetcher = SignedFetcher(
        Uri.parse(source.url),
        current: _inForce,
        bundled: bundled,
        app: app,
        findProxy: findProxy,
        now: now,
      );
      await _follow(fetcher);
    } on Object catch (error, trace) {
      Error.throwWithStackTrace(_understood(error), trace);
    } finally {
      fetcher?.close();
    }
  }

  Future<void> _follow(SignedFetcher fetcher) async {
    Refresh? refresh;
    FileSystemException? unwritten;
    while (refresh?.phase != 'done') {
      final trust = _trust!;
      // A refresh of one state is not continued in another one.
      if (refresh == null || !identical(refresh.trust, trust)) {
        refresh = refreshOf(trust);
      }
      final Uint8List? bytes = await fetcher.fetch(wanted(refresh));
      if (!identical(refresh.trust, _trust)) {
        continue;
      }
      take(refresh, bytes, now(), verifier);
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

  /// Stores the state. If another isolate or process has stored one meanwhile,
  /// the newer parts of both are in force and stored.
  Future<void> _save() async {
    for (var tries = 0; tries < _maxTries; tries += 1) {
      final text = storedState(_trust!);
      if (text == _stored) {
        return;
      }
      if (await storage.replace(_stored, text)) {
        _stored = text;
        return;
      }
      await _catchUp();
    }
    throw const FileSystemException('The stored set is replaced all the time');
  }

  /// Puts the newer parts of the stored state in force. One that cannot be used
  /// is ignored, because the next write replaces it.
  Future<void> _catchUp() async {
    final known = _stored;
    try {
      final text = await _read();
      if (text != null && text != known) {
        _trust = _restored(_trust!, text);
      }
    } on PinUpdateException {
      return;
    } on FileSystemException {
      return; // writing reports it
    }
  }

  Future<String?> _read() async {
    String? text;
    try {
      return text = await storage.read();
    } finally {
      _stored = text;
    }
  }

  /// Returns [trust] with the newer parts of the stored state [text]; [trust]
  /// itself if there are none. Throws a [PinUpdateException] if the text is
  /// invalid.
  Trust _restored(Trust trust, String text) {
    try {
      final found = withStored(trust, text, verifier);
      return storedState(found) == storedState(trust) ? trust : found;
    } on PinUpdateException catch (error) {
      final PinUpdateException(:reason, :problem) = error;
      // The other reasons are about what the server sent.
      throw PinUpdateException(
        'cache',
        reason == 'cache' ? problem : '$problem ($reason)',
      );
    }
  }
}

/// Converts any error of an update to a [PinUpdateException], so that hostile
/// bytes cause no other exception in the app.
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
