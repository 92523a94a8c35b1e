/// The switch for the debug override.
library;

/// Whether this build accepts a debugging proxy: only a debug build, and only
/// with `--dart-define=CERTPIN_DEBUG=true`.
///
/// The first two lines repeat the definition of `kDebugMode` in
/// `package:flutter/foundation.dart`, so that the library also runs in plain
/// Dart tests. The value is a constant: release and profile builds do not
/// contain code that depends on it, nor the anchors of the proxy.
const bool debugOverride = !bool.fromEnvironment('dart.vm.product') &&
    !bool.fromEnvironment('dart.vm.profile') &&
    bool.fromEnvironment('CERTPIN_DEBUG');
