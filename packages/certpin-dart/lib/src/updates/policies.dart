/// Strictly parses one host of `pins.json` to a policy.
library;

import 'dart:convert';

import '../digests.dart';
import '../hosts.dart';
import '../policy.dart';
import 'exception.dart';
import 'json.dart';

const List<String> _hostFields = [
  'pattern',
  'mode',
  'match',
  'pins',
  'expires',
  'onExpiry',
  'trust',
  'reportTo',
];
const List<String> _pinFields = ['pin', 'role', 'state'];
const List<String> _living = [
  'generated',
  'staged',
  'published',
  'adopted',
  'active',
  'retiring',
  'lost',
];
const String _begin = '-----BEGIN CERTIFICATE-----';
const String _end = '-----END CERTIFICATE-----';
const String _hexDigits = '0123456789ABCDEF';

/// Parses a policy. Throws a [PinUpdateException].
HostPolicy readPolicy(Map<String, Object?> host) {
  requireKnown(host, _hostFields);
  final pattern = textAt(host, 'pattern');
  if (!_isPattern(pattern)) {
    throw PinUpdateException('content', '$pattern is not a host');
  }
  final match = _oneOf(knownMatches, host, 'match', 'any');
  final mode = _oneOf(knownModes, host, 'mode', 'enforce');
  final (pins, compromised) = _pins(listAt(host, 'pins'));
  // With a single pin, a lost key would lock out all clients.
  if (pins.isEmpty || (mode == 'enforce' && pins.length < 2)) {
    throw PinUpdateException('content', '$pattern has too few pins');
  }
  final trust = _optional(host, 'trust');
  if (trust == null && match != 'leaf') {
    throw PinUpdateException('content', '$pattern: no chain is seen here');
  }
  if (trust != null) {
    _checkAnchors(trust, match, pins);
  }
  final expires = _optional(host, 'expires');
  if (expires != null) {
    _checkMoment(expires);
  }
  return HostPolicy(
    pattern: pattern,
    mode: mode,
    match: match,
    pins: pins,
    compromised: compromised,
    expires: expires,
    onExpiry: _oneOf(knownEndings, host, 'onExpiry', 'fail-closed'),
    trust: trust,
    reportTo: _addresses(host),
  );
}

/// Throws on an unknown field, because it could be a restriction.
void requireKnown(Map<String, Object?> object, List<String> fields) {
  for (final name in object.keys) {
    if (!fields.contains(name)) {
      throw PinUpdateException('content', '$name is not known here');
    }
  }
}

String? _optional(Map<String, Object?> host, String name) {
  if (host.containsKey(name)) {
    return textAt(host, name);
  }
  return null;
}

String _oneOf(
  Set<String> choices,
  Map<String, Object?> host,
  String name,
  String otherwise,
) {
  final value = _optional(host, name);
  if (value == null) {
    return otherwise;
  }
  if (!choices.contains(value)) {
    throw PinUpdateException('content', '$value is no $name');
  }
  return value;
}

bool _isPattern(String pattern) {
  var name = pattern;
  if (pattern.startsWith('**.')) {
    name = pattern.substring(3);
  }
  if (pattern.startsWith('*.')) {
    name = pattern.substring(2);
  }
  return name != '' && normaliseHost(name) == name;
}

/// Returns the accepted pins of a host, and those of compromised keys. Throws a
/// [PinUpdateException] on a pin in any other state.
(List<String>, List<String>) _pins(List<Object?> entries) {
  final pins = <String>[];
  final compromised = <String>[];
  for (final entry in entries) {
    if (entry is! Map<String, Object?>) {
      throw const PinUpdateException('content', 'a pin is not an object');
    }
    requireKnown(entry, _pinFields);
    final pin = textAt(entry, 'pin');
    if (!_isPin(pin) || pins.contains(pin) || compromised.contains(pin)) {
      throw PinUpdateException('content', '$pin is no pin, or there twice');
    }
    final state = textAt(entry, 'state');
    if (state == 'compromised') {
      compromised.add(pin);
    } else if (_living.contains(state)) {
      pins.add(pin);
    } else {
      throw PinUpdateException('content', '$pin is not accepted any more');
    }
  }
  return (pins, compromised);
}

bool _isPin(String pin) {
  if (pin.startsWith('cert-sha256/')) {
    return _isHexDigest(pin.substring(12).split(':'));
  }
  if (!pin.startsWith('sha256/') || pin.length != 51) {
    return false;
  }
  try {
    final digest = base64.decode(pin.substring(7));
    return digest.length == 32 && base64.encode(digest) == pin.substring(7);
  } on FormatException {
    return false;
  }
}

bool _isHexDigest(List<String> octets) {
  if (octets.length != 32) {
    return false;
  }
  for (final octet in octets) {
    if (octet.length != 2) {
      return false;
    }
    for (final digit in octet.split('')) {
      if (!_hexDigits.contains(digit)) {
        return false;
      }
    }
  }
  return true;
}

/// Throws unless [trust] has only certificates (PEM), at least one. If [match]
/// is not `leaf`, each must be pinned: clients accept every chain to it.
void _checkAnchors(String trust, String match, List<String> pins) {
  var rest = trust.trim();
  if (rest == '') {
    throw const PinUpdateException('content', 'trust has no certificate');
  }
  while (rest != '') {
    final end = rest.indexOf(_end);
    if (!rest.startsWith(_begin) || end < 0) {
      throw const PinUpdateException('content', 'trust has no certificate');
    }
    final body = rest.substring(_begin.length, end);
    final pinned = _pinsOf(body);
    if (match != 'leaf' && !pinned.any(pins.contains)) {
      throw const PinUpdateException('content', 'an anchor is not pinned');
    }
    rest = rest.substring(end + _end.length).trim();
  }
}

List<String> _pinsOf(String body) {
  try {
    return pinsOf(base64.decode(body.replaceAll('\n', '')));
  } on FormatException {
    throw const PinUpdateException('content', 'an anchor is no certificate');
  }
}

void _checkMoment(String text) {
  try {
    DateTime.parse(text);
    if (text.endsWith('Z')) {
      return;
    }
  } on FormatException {
    throw PinUpdateException('content', '$text is not a moment');
  }
  throw PinUpdateException('content', '$text is not a moment');
}

List<String> _addresses(Map<String, Object?> host) {
  if (!host.containsKey('reportTo')) {
    return <String>[];
  }
  final addresses = textsOf(listAt(host, 'reportTo'));
  for (final address in addresses) {
    if (!_takesReports(address)) {
      throw PinUpdateException('content', '$address takes no reports');
    }
  }
  return addresses;
}

/// Whether reports may be sent to a URL: by `https`, or to this device.
bool _takesReports(String address) {
  final url = Uri.tryParse(address);
  if (url == null || url.userInfo != '' || url.host == '') {
    return false;
  }
  return url.scheme == 'https' ||
      (url.scheme == 'http' && _localHosts.contains(url.host));
}

const List<String> _localHosts = ['localhost', '127.0.0.1', '::1'];
