/// Pins that are updated from signed sets, between two releases of the app.
library;

export 'src/updates/exception.dart';
export 'src/updates/keys.dart' show SignatureScheme, SignatureVerifier;
export 'src/updates/pin_updates.dart';
export 'src/updates/storage.dart';
