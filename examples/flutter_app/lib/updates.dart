/// Pins that follow what is published between two releases.
library;

import 'dart:async';
import 'dart:io';

import 'package:certpin/certpin.dart';
import 'package:certpin/updates.dart';
import 'package:flutter/widgets.dart';
import 'package:path_provider/path_provider.dart';

import 'pinning/signed_source.dart';
import 'pins.dart';
import 'pointycastle.dart';

/// The pins of this build, which follow what is signed for production.
Future<PinSet> followedPins() async {
  if (isDevelopment) {
    return appPins;
  }
  final folder = await getApplicationSupportDirectory();
  final updates = PinUpdates(
    bundled: appPins,
    source: signedSource,
    storage: FilePinStorage(File('${folder.path}/pins.signed.json')),
    verifier: const PointycastleVerifier(),
    app: reportedApp,
  );
  try {
    await updates.load();
  } on PinUpdateException catch (error) {
    debugPrint('$error'); // the pins of the app are in force
  }
  final ask = _Ask(updates)..now();
  WidgetsBinding.instance.addObserver(ask);
  return updates;
}

/// Asks at the start, and whenever the app is opened again; once an hour.
class _Ask with WidgetsBindingObserver {
  _Ask(this.updates);

  final PinUpdates updates;

  DateTime _next = DateTime.fromMillisecondsSinceEpoch(0);

  @override
  void didChangeAppLifecycleState(AppLifecycleState state) {
    if (state == AppLifecycleState.resumed) {
      now();
    }
  }

  void now() {
    final moment = DateTime.now();
    if (!moment.isBefore(_next)) {
      _next = moment.add(const Duration(hours: 1));
      unawaited(_refresh());
    }
  }

  Future<void> _refresh() async {
    try {
      await updates.refresh();
    } on PinUpdateException catch (error) {
      debugPrint('$error'); // what is in force stays in force
    }
  }
}
