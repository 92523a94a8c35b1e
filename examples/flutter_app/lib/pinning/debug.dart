// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// The one switch of the debug override.
library;

/// Whether this build lets a debugging proxy through: only a debug build, and
/// only with `--dart-define=CERTPIN_DEBUG=true`.
///
/// The first two lines are what `kDebugMode` of
/// `package:flutter/foundation.dart` is made of; they stand here so that the
/// library runs in plain Dart tests too. It is a constant: in a release or
/// profile build, what depends on it, the anchors of the proxy among them, is
/// not compiled in.
const bool debugOverride = !bool.fromEnvironment('dart.vm.product') &&
    !bool.fromEnvironment('dart.vm.profile') &&
    bool.fromEnvironment('CERTPIN_DEBUG');
