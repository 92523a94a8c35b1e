import 'dart:io';

import 'package:bank_app/pinning/pins.dart' as production;
import 'package:bank_app/pinning/pins_development.dart' as development;
import 'package:bank_app/pins.dart';
import 'package:flutter_test/flutter_test.dart';

void main() {
  test('without a flavour the pins are those of production', () {
    expect(appPins, same(isDevelopment ? development.pins : production.pins));
  });

  test('production and development share no pin', () {
    Set<String> all(List<String> files) => {
          for (final file in files)
            ...RegExp(r'sha256/[A-Za-z0-9+/]{43}=')
                .allMatches(File('lib/pinning/$file').readAsStringSync())
                .map((match) => match[0]!),
        };
    final shared = all(['pins.dart'])
        .intersection(all(['pins_development.dart']));
    expect(shared, isEmpty);
  });

  test('every host has a backup', () {
    for (final policy in production.pins.policies) {
      expect(policy.pins.length, greaterThan(1), reason: policy.pattern);
    }
  });
}
