/// A `SecurityContext` with the anchors of one host, for packages that accept
/// nothing else.
library;

import 'dart:io';

import 'client_certificate.dart';
import 'connector.dart';
import 'debug.dart';
import 'exceptions.dart';
import 'hosts.dart';
import 'platform_io.dart' if (dart.library.js_interop) 'platform_web.dart';
import 'policy.dart';
import 'verdict.dart';

/// Returns a context that trusts only the anchors of the policy of [host], for
/// packages that accept a [SecurityContext] and no socket (grpc, mqtt_client,
/// postgres).
///
/// The anchors are then the pins: every chain to one of them is accepted, for
/// the name that the package verifies. Use the context only for connections to
/// [host], and create it anew for each connection or channel: it has the pins
/// of this moment. A package that sets `onBadCertificate` or an equivalent
/// disables it. Nothing is reported to `report_to`.
///
/// [clientCertificate] is sent to servers that request one. [now] is the clock,
/// for tests. In a build with the debug override, the context contains the
/// anchors of the debugging proxy too.
///
/// Throws an [UnpinnedRequestException] if a context can't enforce the policy:
///
/// - there is none for [host], or it has a mistake;
/// - `match` is `leaf`, or there is no `trust`: a context can't compare a key;
/// - a pin is compromised: a context would accept the key under its anchors;
/// - the mode is `report`: a context refuses, and can't report.
///
/// After the expiry of a policy that reports or fails open, the context still
/// trusts only the anchors: no other root is added.
///
/// Throws a [PinSetExpiredException] if the pins have expired and the policy
/// fails closed, and an [ArgumentError] if the client certificate is
/// unreadable. Use `PinnedSecureSocket` for such a policy.
SecurityContext pinnedSecurityContext(
  PinSet pins, {
  required String host,
  ClientCertificate? clientCertificate,
  DateTime Function() now = DateTime.now,
}) {
  requireSockets('pinnedSecurityContext');
  final (name, policy) = requirePolicy(pins.policies, host);
  final problem = _problemOf(policy);
  if (problem.isNotEmpty) {
    throw UnpinnedRequestException(
      name,
      'a SecurityContext cannot enforce its policy: $problem, or use a '
      'PinnedSecureSocket',
    );
  }
  final (decision, _) = judge(policy, const [], now());
  if (decision == Decision.refuse) {
    // Nothing but the expiry is left that can refuse.
    throw PinSetExpiredException(
      name,
      expired: policy.expires ?? '',
      pinSet: '${pins.name} v${pins.version}',
    );
  }
  final debugAnchors = debugOverride ? pins.debugAnchors ?? '' : '';
  try {
    return newContext('${policy.trust}\n$debugAnchors', clientCertificate);
  } on TlsException catch (error) {
    throw UnpinnedRequestException(
      name,
      'its policy has a trust without readable certificates: ${error.message}',
    );
  }
}

/// Returns why the anchors of a policy are not its pins, with the fix; empty if
/// they are.
String _problemOf(HostPolicy policy) {
  if (policy.match == 'leaf') {
    return 'its pins are keys of the server, which only a check after the '
        'handshake compares. fix: pin an authority (`match = "ca"`, with its '
        'certificate in `trust`)';
  }
  if (policy.compromised.isNotEmpty) {
    return 'it has a compromised key, which a context would accept. fix: '
        'remove the authorities that certified it from `trust`, and the pin '
        'when the key is no longer used';
  }
  if (policy.mode != 'enforce') {
    return 'its mode is "report", and a context refuses without a report. '
        'fix: set `mode = "enforce"`';
  }
  return '';
}
