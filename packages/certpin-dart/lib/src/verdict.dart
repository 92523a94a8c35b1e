/// Decides whether a connection may be used. Pure, so that tests need no
/// socket.
library;

import 'policy.dart';

/// The decision about a connection.
enum Decision {
  /// The connection is accepted.
  accept,

  /// The connection is accepted, and the violation is reported.
  report,

  /// The connection is closed before the app sends any data.
  refuse,
}

/// The reason for a decision.
enum Reason {
  /// A pin matched.
  match('match'),

  /// No pin matched.
  mismatch('mismatch'),

  /// The server's key is marked compromised.
  compromisedKey('compromised-key'),

  /// The pins have expired.
  expired('expired'),

  /// TLS refused the chain, under the anchors of `trust` or the platform's
  /// roots, so there is no certificate to report.
  untrusted('untrusted');

  /// Creates a reason. [word] is its name in reports.
  const Reason(this.word);

  /// The name of the reason in reports, the same as in certpin's other clients.
  final String word;
}

/// Decides about a connection whose chain, name and dates TLS has verified.
///
/// [presented] are the pins of the server's certificate. If the policy matches
/// authorities, the handshake has already required a chain to an anchor of its
/// `trust`, and the export guarantees that each anchor is pinned.
///
/// A compromised key is refused first, even if a pin matches or an expired
/// policy fails open.
(Decision, Reason) judge(
  HostPolicy policy,
  List<String> presented,
  DateTime now,
) {
  var otherwise = Decision.refuse;
  if (policy.mode == 'report') {
    otherwise = Decision.report;
  }
  if (presented.any(policy.compromised.contains)) {
    return (otherwise, Reason.compromisedKey);
  }
  final expires = policy.expires;
  if (expires != null && !now.isBefore(DateTime.parse(expires))) {
    if (policy.onExpiry == 'fail-open') {
      return (Decision.accept, Reason.expired);
    }
    if (policy.onExpiry != 'report') {
      return (otherwise, Reason.expired);
    }
    otherwise = Decision.report;
  }
  final isAnchored = policy.match == 'ca' || policy.match == 'any';
  if (isAnchored || presented.any(policy.pins.contains)) {
    return (Decision.accept, Reason.match);
  }
  return (otherwise, Reason.mismatch);
}
