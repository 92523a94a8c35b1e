/// Finds the policy of a host, and refuses requests without one.
library;

import 'exceptions.dart';
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
    final address = host.split('%').first.toLowerCase(); // without the zone
    return _isIPv6(address) ? address : null;
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

/// Returns the normalised host of a request, and the policy that covers it.
/// Throws an [UnpinnedRequestException] if none does.
///
/// [isProxied] is true if `HttpClient` itself connected to a proxy. It would
/// start TLS in the tunnel without any pin check.
(String, HostPolicy) requirePolicy(
  List<HostPolicy> policies,
  String host, {
  String scheme = 'https',
  bool isProxied = false,
}) {
  Never refuse(String problem) =>
      throw UnpinnedRequestException(host, problem);

  if (scheme != 'https') {
    refuse('it is not https://');
  }
  if (isProxied) {
    refuse('no pin holds through a proxy');
  }
  final name = normaliseHost(host);
  final policy = name == null ? null : policyFor(policies, name);
  if (name == null || policy == null) {
    refuse(_isForeign(host) ? _foreign : 'no policy covers it');
  }
  final mistake = mistakeIn(policy);
  if (mistake.isNotEmpty) {
    refuse(mistake);
  }
  return (name, policy);
}

const String _foreign =
    'it has letters that are not ASCII. fix: write it with A-labels (xn--), as '
    'pins.dart does';

/// Whether a host has letters that are not ASCII; `Uri` writes them with `%`.
bool _isForeign(String host) =>
    host.contains('%') || host.codeUnits.any((unit) => unit > 0x7f);

/// Returns why a policy cannot be enforced as it is written, a clause; empty if
/// it can. A policy of an export or of an update has no such mistake.
String mistakeIn(HostPolicy policy) {
  final HostPolicy(:mode, :match, :onExpiry, :expires) = policy;
  if (!knownModes.contains(mode)) {
    return 'its policy has the unknown mode "$mode"';
  }
  if (!knownMatches.contains(match)) {
    return 'its policy has the unknown match "$match"';
  }
  if (!knownEndings.contains(onExpiry)) {
    return 'its policy has the unknown onExpiry "$onExpiry"';
  }
  if (match != 'leaf' && policy.trust == null) {
    return 'its policy has match "$match" but no trust, so no pin is compared';
  }
  if (expires != null && DateTime.tryParse(expires) == null) {
    return 'its policy expires at "$expires", which is no time of RFC 3339';
  }
  return '';
}

/// The values of [HostPolicy.mode].
const Set<String> knownModes = {'enforce', 'report'};

/// The values of [HostPolicy.match].
const Set<String> knownMatches = {'leaf', 'ca', 'any'};

/// The values of [HostPolicy.onExpiry].
const Set<String> knownEndings = {'fail-closed', 'fail-open', 'report'};

HostPolicy? _named(List<HostPolicy> policies, String pattern) {
  for (final policy in policies) {
    if (policy.pattern == pattern) {
      return policy;
    }
  }
  return null;
}

/// Returns the policy for an IPv6 address; `null` if there is none. Addresses
/// are compared by value, because they have several notations.
HostPolicy? _policyForAddress(List<HostPolicy> policies, String host) {
  final address = Uri.parseIPv6Address(host).join('.');
  for (final policy in policies) {
    if (policy.pattern.contains(':') &&
        _isIPv6(policy.pattern) &&
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

bool _isIPv6(String address) {
  try {
    Uri.parseIPv6Address(address);
    return true;
  } on FormatException {
    return false;
  }
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
