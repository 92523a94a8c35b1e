/// Which pins this build has.
library;

import 'package:certpin/certpin.dart';

import 'pinning/pins.dart' as production;
import 'pinning/pins_development.dart' as development;

const bool _isRelease = bool.fromEnvironment('dart.vm.product');

const String _flavour = String.fromEnvironment('FLAVOUR');

/// Whether this build talks to the servers of the developers:
/// `flutter run --dart-define=FLAVOUR=development`.
///
/// A release never does, whatever it was built with.
const bool isDevelopment = !_isRelease && _flavour == 'development';

/// What reports name the app: `flutter build --dart-define=APP_VERSION=4.2.0`.
const ReportedApp reportedApp = ReportedApp(
  name: 'bank-app',
  version: String.fromEnvironment('APP_VERSION'),
);

/// The pins of this build.
///
/// It is a constant, so the compiler decides, and what it does not choose is not
/// in the app: no release holds a pin of the developers' servers.
const PinSet appPins = isDevelopment ? development.pins : production.pins;
