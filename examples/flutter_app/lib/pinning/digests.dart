// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// From a certificate to its pins.
library;

import 'dart:convert';
import 'dart:typed_data';

import 'package:crypto/crypto.dart';

import 'der.dart';

/// The pins of a certificate in DER: of its key, and of itself.
///
/// Throws a [FormatException] on what is no certificate. SHA-256 comes from
/// `package:crypto`, which the Dart team keeps: `dart:io` has none.
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
