/// Computes the pins of a certificate.
library;

import 'dart:convert';
import 'dart:typed_data';

import 'package:crypto/crypto.dart';

import 'der.dart';

/// Returns the pins of a certificate in DER: of its key, and of the whole.
///
/// Throws a [FormatException] if it is not a certificate. SHA-256 comes from
/// the Dart team's `package:crypto`, because `dart:io` has none.
List<String> pinsOf(Uint8List der) {
  final key = base64.encode(sha256.convert(subjectPublicKeyInfo(der)).bytes);
  final digits = sha256.convert(der).toString().toUpperCase();
  final octets = <String>[];
  var place = 0;
  while (place < digits.length) {
    octets.add(digits.substring(place, place + 2));
    place += 2;
  }
  final whole = octets.join(':');
  return ['sha256/$key', 'cert-sha256/$whole'];
}
