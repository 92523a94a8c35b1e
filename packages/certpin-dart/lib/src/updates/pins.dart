/// Parses the pins of a signed set: from `pins.json` to policies.
///
/// Parsing is strict although the file is signed. Unknown fields are refused,
/// because they could be restrictions.
library;

import 'dart:convert';
import 'dart:typed_data';

import '../policy.dart';
import 'exception.dart';
import 'json.dart';
import 'policies.dart';

const String _schema = 'certpin-pins/1';
const List<String> _setFields = ['schema', 'name', 'version', 'hosts'];

/// Parses the pin set of a `pins.json`. Throws a [PinUpdateException].
PinSet readPins(Uint8List bytes) {
  final top = decodedObject(bytes);
  requireKnown(top, _setFields);
  if (textAt(top, 'schema') != _schema) {
    throw const PinUpdateException('content', 'its schema is not known here');
  }
  final policies = <HostPolicy>[];
  final patterns = <String>[];
  for (final host in listAt(top, 'hosts')) {
    if (host is! Map<String, Object?>) {
      throw const PinUpdateException('content', 'a host is not an object');
    }
    final policy = readPolicy(host);
    if (patterns.contains(policy.pattern)) {
      throw const PinUpdateException('content', 'a host has two policies');
    }
    patterns.add(policy.pattern);
    policies.add(policy);
  }
  if (policies.isEmpty) {
    throw const PinUpdateException('content', 'it has no hosts');
  }
  return PinSet(
    name: textAt(top, 'name'),
    version: countAt(top, 'version'),
    policies: policies,
  );
}

/// Whether two lists of policies are equal, in order. Two sets of the same
/// version must be.
bool samePolicies(List<HostPolicy> one, List<HostPolicy> other) {
  if (one.length != other.length) {
    return false;
  }
  var place = 0;
  while (place < one.length) {
    if (_said(one[place]) != _said(other[place])) {
      return false;
    }
    place += 1;
  }
  return true;
}

/// Returns all fields of a policy as one text, to compare policies.
String _said(HostPolicy policy) {
  return jsonEncode([
    policy.pattern,
    policy.mode,
    policy.match,
    policy.pins,
    policy.compromised,
    policy.expires,
    policy.onExpiry,
    policy.trust,
    policy.reportTo,
  ]);
}
