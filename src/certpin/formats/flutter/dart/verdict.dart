// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// The decision: may this connection be used, now? Pure, so that it is tested
/// without a socket.
library;

import 'policy.dart';

/// What is done with a connection.
enum Decision {
  /// It is handed out.
  accept,

  /// It is handed out, and somebody is told.
  report,

  /// It is closed before a byte of the app is sent.
  refuse,
}

/// Why.
enum Reason {
  /// A pin matched.
  match,

  /// No pin matched.
  mismatch,

  /// The pins are past their date.
  expired,

  /// TLS refused the chain, by the anchors of `trust` or by the platform's
  /// roots: there is no certificate to tell of.
  untrusted,
}

/// Decides on a connection whose chain, name and dates TLS has verified.
///
/// [presented] are the pins of the server's certificate. Where a policy matches
/// authorities, the handshake itself ended at an anchor of its `trust`, and
/// each of those is pinned: the export sees to it.
(Decision, Reason) judge(
  HostPolicy policy,
  List<String> presented,
  DateTime now,
) {
  var otherwise = Decision.report;
  if (policy.mode == 'enforce') {
    otherwise = Decision.refuse;
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
