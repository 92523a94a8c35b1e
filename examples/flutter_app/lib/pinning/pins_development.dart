// certpin pin set "bank\u002dapp\u002ddevelopment", version 2
// Made by: certpin export flutter-pins. Do not edit: change the pin file, and export it again.

/// The pins of the app.
library;

import 'package:certpin/certpin.dart';

/// The pin set: give it to a `PinnedHttpClient`.
const PinSet pins = PinSet(
  format: 1,
  name: 'bank-app-development',
  version: 2,
  policies: [
    HostPolicy(
      pattern: 'api.dev.bank.example',
      mode: 'enforce',
      match: 'leaf',
      pins: [
        'sha256/kRw+8h0Zefvws8Z/HG6KueQw17LR9K1CLtZM1wZ8AMI=',
        'sha256/fPEhis+BMkbkx6Sd22VFQ4Uf21zDVZ30JKF8WX6dkXo=',
      ],
    ),
  ],
);
