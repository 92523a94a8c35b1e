/// Overrides of `dart:io`, and isolates, which don't inherit them.
library;

import 'dart:async';
import 'dart:io';
import 'dart:isolate';

import 'client_certificate.dart';
import 'connector.dart';
import 'pinned_http_client.dart';
import 'platform_io.dart' if (dart.library.js_interop) 'platform_web.dart';
import 'policy.dart';
import 'report.dart';

/// Provides a pinned client to code that creates its own `HttpClient()`, such
/// as `Image.network`. Set `HttpOverrides.global` at the start of `main`; every
/// host that the app calls then needs a policy.
///
/// A new isolate (`Isolate.run`, `compute`) has no overrides, and its clients
/// are not pinned: use [runInIsolate] or [pinnedComputation]. Sockets
/// (`SecureSocket.connect`) ignore overrides: use `PinnedSecureSocket`.
final class PinnedHttpOverrides extends HttpOverrides {
  /// Creates overrides for [pins]. [app] is the name of the app in reports,
  /// [clientCertificate] is for servers that request one, [findProxy] as in
  /// [PinnedHttpClient.findProxy], and [onFailure] is called on failures.
  ///
  /// Throws an [UnsupportedError] on the web.
  PinnedHttpOverrides(
    this.pins, {
    this.app = const ReportedApp(),
    this.clientCertificate,
    this.findProxy,
    this.onFailure,
  }) {
    requireSockets('PinnedHttpOverrides');
  }

  /// The pins with which each client checks its connections.
  final PinSet pins;

  /// The app, as named in reports.
  final ReportedApp app;

  /// The certificate of the app, if it has one.
  final ClientCertificate? clientCertificate;

  /// Finds the proxy for a URL. `null`: no proxy.
  final FindProxy? findProxy;

  /// Called on failures. `null`: they are logged.
  final void Function(PinFailure failure)? onFailure;

  /// Throws an [UnsupportedError] if the caller passes its own [context]. The
  /// client certificate cannot be read from it, and its roots must not replace
  /// those of the policies.
  @override
  HttpClient createHttpClient(SecurityContext? context) {
    if (context != null) {
      throw UnsupportedError(
        'a pinned client takes no SecurityContext: give its certificate to '
        'PinnedHttpOverrides(clientCertificate: …), its roots to `trust` in '
        'pins.toml',
      );
    }
    return PinnedHttpClient(
      pins,
      app: app,
      clientCertificate: clientCertificate,
      onFailure: onFailure,
    )..findProxy = findProxy;
  }

  /// Runs [computation] in a new isolate, as `Isolate.run` does, with pinned
  /// overrides.
  ///
  /// The isolate gets a copy of [pins]: of `PinUpdates`, the current set. What
  /// the computation refers to must be sendable to another isolate. [app],
  /// [clientCertificate] and [findProxy] are those of the overrides;
  /// [debugName] is the name of the isolate. [onFailure] is called in the
  /// isolate.
  ///
  /// It returns or throws after the reports of failures were sent, or after ten
  /// more seconds. How often a failure is reported is counted per isolate.
  static Future<R> runInIsolate<R>(
    PinSet pins,
    FutureOr<R> Function() computation, {
    ReportedApp app = const ReportedApp(),
    ClientCertificate? clientCertificate,
    FindProxy? findProxy,
    void Function(PinFailure failure)? onFailure,
    String? debugName,
  }) {
    requireSockets('PinnedHttpOverrides.runInIsolate');
    final pinned = pinnedComputation<void, R>(
      pins,
      (_) => computation(),
      app: app,
      clientCertificate: clientCertificate,
      findProxy: findProxy,
      onFailure: onFailure,
    );
    return Isolate.run(() => pinned(null), debugName: debugName);
  }

  /// Returns [computation] with pinned overrides, for code that starts the
  /// isolate itself, such as Flutter's `compute`:
  ///
  /// ```dart
  /// final body = await compute(
  ///   PinnedHttpOverrides.pinnedComputation(pins, fetchInBackground),
  ///   url,
  /// );
  /// ```
  ///
  /// The result sets `HttpOverrides.global` in the isolate that calls it. It
  /// contains a copy of [pins]: of `PinUpdates`, the current set. It waits for
  /// reports, and calls [onFailure], as [runInIsolate] does.
  static Future<R> Function(M message) pinnedComputation<M, R>(
    PinSet pins,
    FutureOr<R> Function(M message) computation, {
    ReportedApp app = const ReportedApp(),
    ClientCertificate? clientCertificate,
    FindProxy? findProxy,
    void Function(PinFailure failure)? onFailure,
  }) {
    final sent = pins.snapshot;
    return (message) async {
      HttpOverrides.global = PinnedHttpOverrides(
        sent,
        app: app,
        clientCertificate: clientCertificate,
        findProxy: findProxy,
        onFailure: onFailure,
      );
      try {
        return await computation(message);
      } finally {
        await Reporter.finish();
      }
    };
  }
}
