/// Certificate pinning for `dart:io`.
///
/// ```dart
/// final client = PinnedHttpClient(pins);
/// ```
///
/// `pins` is the constant that `certpin export flutter` writes. A client for
/// dio or `package:http` is one line more: see the README. For protocols other
/// than HTTP there is [PinnedSecureSocket], for code that creates its own
/// clients [PinnedHttpOverrides], also in new isolates.
library;

export 'src/anchor_context.dart';
export 'src/client_certificate.dart' show ClientCertificate;
export 'src/connector.dart' show FindProxy;
export 'src/debug.dart' show debugOverride;
export 'src/exceptions.dart';
export 'src/pinned_http_client.dart' show PinnedHttpClient;
export 'src/pinned_http_overrides.dart';
export 'src/pinned_secure_socket.dart';
export 'src/policy.dart';
export 'src/report.dart' show PinFailure, ReportedApp;
export 'src/verdict.dart' show Decision, Reason;
