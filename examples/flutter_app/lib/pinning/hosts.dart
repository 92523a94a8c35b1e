// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// Which policy covers a host, and which requests none does.
library;

import 'policy.dart';

const String _letters = 'abcdefghijklmnopqrstuvwxyz0123456789_';
const String _digits = '0123456789';
const String _hexDigits = '0123456789abcdef';

/// The one spelling of a host that policies are looked up by: lower case, one
/// trailing dot stripped. `null` for what is no host, and so has no policy.
///
/// [host] is what `Uri.host` says: names that are not ASCII come as `%C3%BC…`
/// from there, and are refused. Write them as A-labels (`xn--…`).
String? normaliseHost(String host) {
  if (host.contains(':')) {
    return host.split('%').first.toLowerCase(); // IPv6, perhaps with a zone
  }
  var name = host.toLowerCase();
  if (name.endsWith('.')) {
    name = name.substring(0, name.length - 1);
  }
  final labels = name.split('.');
  if (name.length > 253 || !labels.every(_isLabel)) {
    return null;
  }
  // Programs disagree on which address `127.1` is (WHATWG URL).
  if (_isNumber(labels.last) && !_isAddress(labels)) {
    return null;
  }
  return name;
}

/// The most specific policy that covers a host, which is normalised.
///
/// An exact name goes before `*.`, that before `**.`, and a longer suffix
/// before a shorter one.
HostPolicy? policyFor(List<HostPolicy> policies, String host) {
  if (host.contains(':')) {
    return _policyForAddress(policies, host);
  }
  final exact = _named(policies, host);
  if (exact != null || _isNumber(host.split('.').last)) {
    return exact;
  }
  final whole = _named(policies, '**.$host');
  if (whole != null) {
    return whole;
  }
  var parent = _parentOf(host);
  final below = _named(policies, '*.$parent');
  if (below != null) {
    return below;
  }
  while (parent != '') {
    final found = _named(policies, '**.$parent');
    if (found != null) {
      return found;
    }
    parent = _parentOf(parent);
  }
  return null;
}

/// Why a request must not be made, a clause; empty where a policy covers it.
///
/// A proxy is refused: `HttpClient` would ask it for a tunnel and begin TLS in
/// there by itself, behind the back of every check.
String refusalOf(
  List<HostPolicy> policies,
  String scheme,
  String host,
  bool proxied,
) {
  if (scheme != 'https') {
    return 'it is not https://';
  }
  if (proxied) {
    return 'no pin holds through a proxy';
  }
  final name = normaliseHost(host);
  if (name == null || policyFor(policies, name) == null) {
    return 'no policy covers it';
  }
  return '';
}

HostPolicy? _named(List<HostPolicy> policies, String pattern) {
  for (final policy in policies) {
    if (policy.pattern == pattern) {
      return policy;
    }
  }
  return null;
}

/// IPv6 addresses are compared as addresses: they have many spellings.
HostPolicy? _policyForAddress(List<HostPolicy> policies, String host) {
  final address = Uri.parseIPv6Address(host).join('.');
  for (final policy in policies) {
    if (policy.pattern.contains(':') &&
        Uri.parseIPv6Address(policy.pattern).join('.') == address) {
      return policy;
    }
  }
  return null;
}

String _parentOf(String name) {
  final dot = name.indexOf('.');
  if (dot < 0) {
    return '';
  }
  return name.substring(dot + 1);
}

bool _isLabel(String label) {
  if (label.isEmpty || label.length > 63) {
    return false;
  }
  // Resolvers accept a hyphen at the end, as in `a-.example`.
  return !label.startsWith('-') && _consistsOf(label, '$_letters-');
}

bool _isNumber(String label) {
  if (label.startsWith('0x')) {
    return _consistsOf(label.substring(2), _hexDigits);
  }
  return _consistsOf(label, _digits);
}

bool _isAddress(List<String> labels) {
  return labels.length == 4 && labels.every(_isOctet);
}

bool _isOctet(String label) {
  if (label.length > 3 || !_consistsOf(label, _digits)) {
    return false;
  }
  return (label == '0' || !label.startsWith('0')) && int.parse(label) < 256;
}

bool _consistsOf(String text, String allowed) {
  for (final letter in text.split('')) {
    if (!allowed.contains(letter)) {
      return false;
    }
  }
  return true;
}
