import 'dart:convert';

import 'package:certpin/src/der.dart';
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

  test('the size of an RSA key is read', () {
    const sizes = {
      'rsa2048': 2048,
      'rsa3072': 3072,
      'rsa4096': 4096,
      'rsa-pss': 2048,
      'p256': null,
      'ed25519': null,
      'ml-dsa-44': null,
    };
    sizes.forEach((name, size) {
      final der = base64.decode(certificates[name]!['der'] as String);
      expect(rsaKeySize(subjectPublicKeyInfo(der)), size);
    });
  });

  test('a certificate that is cut short anywhere is refused', () {
    final whole = base64.decode(certificates['p256']!['der'] as String);
    for (var count = 0; count < whole.length; count += 1) {
      expect(() => pinsOf(whole.sublist(0, count)), throwsFormatException);
    }
  });
}
