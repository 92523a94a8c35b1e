/// The check after a handshake: from a certificate to a decision.
library;

import 'dart:developer' as developer;
import 'dart:io';
import 'dart:typed_data';

import 'der.dart';
import 'digests.dart';
import 'exceptions.dart';
import 'policy.dart';
import 'report.dart';
import 'verdict.dart';

// NIST SP 800-131A: fewer bits give less than 80 bits of security.
const int _leastBits = 1024;

/// Compares the certificates of servers with the pins, and reports failures.
final class PinCheck {
  /// Creates a check. [now] is the clock; [onFailure] is called on failure.
  PinCheck(this.pins, {required this.onFailure, required this.now});

  /// The pin set.
  final PinSet pins;

  /// Called for each refusal by a pin, and each failure in report mode.
  final void Function(PinFailure failure) onFailure;

  /// The clock for expiry dates.
  final DateTime Function() now;

  DateTime? _end;

  /// Whether the policy of an accepted connection has expired since then. The
  /// client then opens new connections for new requests.
  bool get hasEnded => _end != null && !now().isBefore(_end!);

  /// Resets [hasEnded]. Call it when the connections accepted so far are no
  /// longer used for new requests.
  void forget() => _end = null;

  /// Checks the certificate of a completed handshake, [shown], against a
  /// policy.
  ///
  /// A violation is passed to [onFailure]. Throws a [ConnectionException] if
  /// the connection must be refused; returns if it is accepted, also if the
  /// policy only reports violations.
  void call(String host, int port, HostPolicy policy, X509Certificate? shown) {
    if (shown == null) {
      throw TlsHandshakeException(host, 'the server showed no certificate');
    }
    _requireSize(host, port, policy, shown.der);
    // If the anchors are the pins, the handshake has already compared them.
    final isAnchored = policy.match == 'ca' || policy.match == 'any';
    final compared = !isAnchored || policy.compromised.isNotEmpty;
    final presented =
        compared ? _read(host, () => pinsOf(shown.der)) : <String>[];
    final at = now();
    final (decision, reason) = judge(policy, presented, at);
    if (decision != Decision.refuse) {
      _note(policy, at);
    }
    if (decision == Decision.accept) {
      return;
    }
    final failure = PinFailure(
      host: host,
      port: port,
      policy: policy,
      pinSet: pins,
      decision: decision,
      reason: reason,
      presented: presented,
      certificate: [shown.pem],
      at: at,
    );
    _notify(failure);
    if (decision == Decision.refuse) {
      throw failure.exception;
    }
  }

  void _note(HostPolicy policy, DateTime at) {
    final expires = policy.expires;
    final end = expires == null ? null : DateTime.parse(expires);
    final known = _end;
    final isLater = known != null && end != null && !end.isBefore(known);
    if (end != null && at.isBefore(end) && !isLater) {
      _end = end;
    }
  }

  /// Reports that TLS refused the chain. This need not be an attack: an expired
  /// certificate has the same effect.
  void reportUntrusted(String host, int port, HostPolicy policy) {
    _notify(
      PinFailure(
        host: host,
        port: port,
        policy: policy,
        pinSet: pins,
        decision: Decision.refuse,
        reason: Reason.untrusted,
        presented: const [],
        certificate: const [],
        at: now(),
      ),
    );
  }

  /// Throws if the key of a certificate is so small that it can be factored.
  ///
  /// The TLS library of Dart verifies such certificates (CVE-2015-0204).
  void _requireSize(String host, int port, HostPolicy policy, Uint8List der) {
    final bits = _read(host, () => rsaKeySize(subjectPublicKeyInfo(der)));
    if (bits != null && bits < _leastBits) {
      reportUntrusted(host, port, policy);
      throw TlsHandshakeException(
        host,
        'the server has an RSA key of $bits bits',
      );
    }
  }

  T _read<T>(String host, T Function() read) {
    try {
      return read();
    } on FormatException catch (error) {
      throw TlsHandshakeException(host, error.message);
    }
  }

  void _notify(PinFailure failure) {
    try {
      onFailure(failure);
    } on Object catch (error, trace) {
      // An exception of a listener must not allow a connection.
      developer.log(
        'onFailure',
        name: 'certpin',
        error: error,
        stackTrace: trace,
      );
    }
  }
}
