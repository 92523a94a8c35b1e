import 'dart:convert';

import 'package:certpin/src/digests.dart';
import 'package:test/test.dart';

import 'vectors.dart';

void main() {
  certificates.forEach((name, vector) {
    final der = base64.decode(vector['der'] as String);
    final pins = vector['pins'] as List<dynamic>?;
    if (pins == null) {
      test('refused: $name', () {
        expect(() => pinsOf(der), throwsFormatException);
      });
    } else {
      test('its pins are those of certpin: $name', () {
        expect(pinsOf(der), pins);
      });
    }
  });

  test('a certificate that is cut short anywhere is refused', () {
    final whole = base64.decode(certificates['p256']!['der'] as String);
    for (var count = 0; count < whole.length; count += 1) {
      expect(() => pinsOf(whole.sublist(0, count)), throwsFormatException);
    }
  });
}
