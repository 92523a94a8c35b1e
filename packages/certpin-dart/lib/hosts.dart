// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// Finds the policy of a host, and refuses requests without one.
library;

import 'policy.dart';

const String _letters = 'abcdefghijklmnopqrstuvwxyz0123456789_';
const String _digits = '0123456789';
const String _hexDigits = '0123456789abcdef';

/// Normalises a host for the lookup of policies: lower case, without one
/// trailing dot. Returns `null` if it is not a valid host.
///
/// [host] is a `Uri.host`, where non-ASCII names are percent-encoded
/// (`%C3%BC…`) and therefore refused. Write them as A-labels (`xn--…`).
String? normaliseHost(String host) {
  if (host.contains(':')) {
    return host.split('%').first.toLowerCase(); // IPv6, with an optional zone
  }
  var name = host.toLowerCase();
  if (name.endsWith('.')) {
    name = name.substring(0, name.length - 1);
  }
  final labels = name.split('.');
  if (name.length > 253 || !labels.every(_isLabel)) {
    return null;
  }
  // Programs interpret addresses such as `127.1` differently (WHATWG URL).
  if (_isNumber(labels.last) && !_isAddress(labels)) {
    return null;
  }
  return name;
}

/// Returns the most specific policy for a normalised host.
///
/// An exact name precedes `*.`, which precedes `**.`, and a longer suffix
/// precedes a shorter one.
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

/// Returns why a request is refused, a clause; empty if a policy covers it.
///
/// Proxies are refused, because `HttpClient` itself would start TLS in the
/// tunnel, without any pin check.
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

/// Compares IPv6 addresses by value, because they have several notations.
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
  // Resolvers accept a trailing hyphen, as in `a-.example`.
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
