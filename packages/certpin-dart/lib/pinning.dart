// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// Certificate pinning for `dart:io`: one import for the app.
///
/// ```dart
/// final client = PinnedHttpClient(pins);
/// ```
///
/// A client for dio is in `pinned_dio.dart`, one for `package:http` in
/// `pinned_http.dart`. They are not exported here, so that an app needs only
/// the package that it uses.
library;

export 'debug.dart' show debugOverride;
export 'exceptions.dart';
export 'pinned_http_client.dart';
export 'pins.dart';
export 'policy.dart';
export 'report.dart' show PinFailure, ReportedApp;
export 'verdict.dart' show Decision, Reason;
