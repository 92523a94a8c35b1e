// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// The decision: may this connection be used, now? Pure, so that it is tested
/// without a socket.
library;

import 'policy.dart';

/// What is done with a connection.
enum Decision {
  /// It is handed out.
  accept,

  /// It is handed out, and reported.
  report,

  /// It is closed before a byte of the app is sent.
  refuse,
}

/// Why.
enum Reason {
  /// A pin matched.
  match('match'),

  /// No pin matched.
  mismatch('mismatch'),

  /// The server's key is marked compromised.
  compromisedKey('compromised-key'),

  /// The pins are past their date.
  expired('expired'),

  /// TLS refused the chain, by the anchors of `trust` or by the platform's
  /// roots: there is no certificate to report.
  untrusted('untrusted');

  const Reason(this.word);

  /// The word for it in reports, the same as in certpin's other clients.
  final String word;
}

/// Decides on a connection whose chain, name and dates TLS has verified.
///
/// [presented] are the pins of the server's certificate. Where a policy matches
/// authorities, the handshake itself ended at an anchor of its `trust`, and
/// each of those is pinned: the export sees to it.
///
/// A compromised key comes first: neither a pin that matches nor a policy that
/// ends open lets it pass.
(Decision, Reason) judge(
  HostPolicy policy,
  List<String> presented,
  DateTime now,
) {
  var otherwise = Decision.report;
  if (policy.mode == 'enforce') {
    otherwise = Decision.refuse;
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
  if (policy.match != 'leaf' || presented.any(policy.pins.contains)) {
    return (Decision.accept, Reason.match);
  }
  return (otherwise, Reason.mismatch);
}
