// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// Failures, and how they are told to `report_to`.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';

import 'exceptions.dart';
import 'policy.dart';
import 'rate.dart';
import 'verdict.dart';

/// The app, as its reports name it. Nothing of a user or of a device belongs
/// here.
final class ReportedApp {
  /// An app. What is empty is left out of the reports.
  const ReportedApp({this.name = '', this.version = ''});

  /// What it is called: `bank-app`, or the application id.
  final String name;

  /// Its version, as the store shows it.
  final String version;
}

/// A connection that failed its policy: refused, or let pass in report mode.
final class PinFailure {
  /// A failure.
  const PinFailure({
    required this.host,
    required this.port,
    required this.policy,
    required this.pinSet,
    required this.decision,
    required this.reason,
    required this.presented,
    required this.certificate,
    required this.at,
  });

  /// The host that was called, normalised.
  final String host;

  /// Its port.
  final int port;

  /// The policy that covers it.
  final HostPolicy policy;

  /// The pin set that was asked.
  final PinSet pinSet;

  /// What was done with the connection.
  final Decision decision;

  /// Why.
  final Reason reason;

  /// The pins of the certificate that the server presented. None where TLS
  /// failed.
  final List<String> presented;

  /// That certificate, as PEM. None where TLS failed.
  final List<String> certificate;

  /// When.
  final DateTime at;

  /// Name and version of the pin set, in one word.
  String get pinSetName => '${pinSet.name} v${pinSet.version}';

  /// What the app meets, where the connection was refused.
  ConnectionException get exception {
    return switch (reason) {
      Reason.expired => PinSetExpiredException(
          host,
          expired: policy.expires ?? '',
          pinSet: pinSetName,
        ),
      Reason.untrusted =>
        TlsHandshakeException(host, 'no chain that $pinSetName may trust'),
      Reason.match ||
      Reason.mismatch ||
      Reason.compromisedKey =>
        PinMismatchException(
          host,
          presented: presented,
          pinned: policy.pins,
          pinSet: pinSetName,
          isCompromised: reason == Reason.compromisedKey,
        ),
    };
  }

  /// The report of RFC 7469, section 3, as JSON in UTF-8, and some fields more.
  ///
  /// `dart:io` shows the server's own certificate only, so the chain has one
  /// entry and the validated chain none. Beyond [maxReportBytes] it has none
  /// too. [app] is who tells it.
  List<int> reportOf(ReportedApp app) {
    final whole = utf8.encode(jsonEncode(_fields(app, certificate)));
    return whole.length <= maxReportBytes
        ? whole
        : utf8.encode(jsonEncode(_fields(app, [])));
  }

  Map<String, Object> _fields(ReportedApp app, List<String> served) => {
        'schema': 'certpin-report/1',
        'date-time': at.toUtc().toIso8601String(),
        'hostname': host,
        'port': port,
        if (policy.expires case final expires?)
          'effective-expiration-date': expires,
        'include-subdomains': policy.pattern.startsWith('**.'),
        'noted-hostname': policy.pattern.split('*.').last,
        'served-certificate-chain': served,
        'validated-certificate-chain': <String>[],
        'known-pins': [
          for (final pin in policy.pins)
            if (pin.startsWith('sha256/')) 'pin-sha256="${pin.substring(7)}"',
        ],
        'policy': policy.pattern,
        'pin-set': pinSet.name,
        'pin-set-version': pinSet.version,
        'decision': decision.name,
        'reason': reason.word,
        if (app.name.isNotEmpty) 'app': _short(app.name),
        if (app.version.isNotEmpty) 'app-version': _short(app.version),
        'platform': Platform.operatingSystem,
        'library': 'certpin dart',
      };
}

/// As much of a text as a collector takes.
String _short(String text) {
  return text.length <= _mostText ? text : text.substring(0, _mostText);
}

const int _mostText = 255;

/// Sends reports: on a connection of its own, in the background, and few.
final class Reporter {
  /// A reporter. [clientFor] makes the client for an address; it must not be
  /// one that reports its own failures. [app] is who tells of them.
  Reporter(this.clientFor, this.app);

  /// Makes the client that sends to an address.
  final HttpClient Function(Uri to) clientFor;

  /// The app, as reports name it.
  final ReportedApp app;

  static const Duration _patience = Duration(seconds: 10);

  /// Report a failure, unless the same one was reported lately. Never throws.
  void tell(PinFailure failure) {
    if (failure.policy.reportTo.isEmpty) {
      return;
    }
    final what = '${failure.host} ${failure.reason.word} ${failure.presented}';
    if (!admits(_sent, what, failure.at.millisecondsSinceEpoch)) {
      return;
    }
    final report = failure.reportOf(app);
    for (final address in failure.policy.reportTo) {
      unawaited(_send(address, report));
    }
  }

  // Of the whole app: a client for each screen does not send for each screen.
  static final Map<String, int> _sent = {};

  Future<void> _send(String address, List<int> report) async {
    HttpClient? client;
    try {
      final to = Uri.parse(address);
      client = clientFor(to);
      final request = await client.postUrl(to).timeout(_patience);
      request
        ..followRedirects = false
        ..headers.contentType = ContentType.json
        ..contentLength = report.length
        ..add(report);
      await request.close().timeout(_patience);
    } on Object {
      // A report that is lost must not break the app, nor be reported in turn.
    } finally {
      client?.close(force: true); // Whatever the answer is: it is not read.
    }
  }
}
