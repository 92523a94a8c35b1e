/// Failures, and their reports to `report_to`.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:io';

import 'exceptions.dart';
import 'policy.dart';
import 'verdict.dart';

/// The app, as named in reports. It must not identify a user or a device.
final class ReportedApp {
  /// Creates an app. Reports omit empty fields.
  const ReportedApp({this.name = '', this.version = ''});

  /// The name: `bank-app`, or the application id.
  final String name;

  /// The version, as shown by the app store.
  final String version;
}

/// A connection that violated its policy: refused, or accepted in report mode.
final class PinFailure {
  /// Creates a failure.
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

  /// The normalised host of the request.
  final String host;

  /// The port of the server.
  final int port;

  /// The policy of the host.
  final HostPolicy policy;

  /// The pin set with which the connection was checked.
  final PinSet pinSet;

  /// The decision about the connection.
  final Decision decision;

  /// The reason for the decision.
  final Reason reason;

  /// The pins of the certificate that the server presented. Empty if TLS
  /// failed.
  final List<String> presented;

  /// The certificate that the server presented, as PEM. Empty if TLS failed.
  final List<String> certificate;

  /// The time of the failure.
  final DateTime at;

  /// The name and the version of the pin set, as one text.
  String get pinSetName => '${pinSet.name} v${pinSet.version}';

  /// The exception that the app gets for a refused connection.
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

  /// Returns the report of RFC 7469, section 3, with additional fields, as JSON
  /// in UTF-8.
  ///
  /// `dart:io` exposes only the server's certificate, so the served chain has
  /// one entry, and the validated chain is empty. Above [maxReportBytes] the
  /// served chain is empty too. [app] is the reporting app.
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
          for (final pin in policy.pins.take(_mostPins))
            pin.startsWith('sha256/')
                ? 'pin-sha256="${pin.substring(7)}"'
                : pin,
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

/// The maximum size of a report, in bytes.
const int maxReportBytes = 65536;

/// The minimum interval between two reports of the same failure: one hour, in
/// milliseconds.
const int reportPauseMilliseconds = 3600000;

/// The maximum number of different failures that a run of the app reports.
const int maxReports = 32;

/// Truncates a text to the length that a collector accepts.
String _short(String text) {
  return text.length <= _mostText ? text : text.substring(0, _mostText);
}

const int _mostText = 255;

// More of them, and a collector refuses the report.
const int _mostPins = 64;

/// Sends a limited number of reports, in the background, on a separate
/// connection.
final class Reporter {
  /// Creates a reporter. [clientFor] returns the client for a URL; that client
  /// must not report its own failures. [app] is the reporting app.
  Reporter(this.clientFor, this.app);

  /// Creates the client for a URL.
  final HttpClient Function(Uri to) clientFor;

  /// The name and version of the app in reports.
  final ReportedApp app;

  static const Duration _patience = Duration(seconds: 10);

  /// Reports a failure in the background to the URLs of its policy, unless the
  /// same one was reported in the last hour, or [maxReports] others were. Never
  /// throws.
  void report(PinFailure failure) {
    if (failure.policy.reportTo.isEmpty) {
      return;
    }
    final what = '${failure.host} ${failure.reason.word} ${failure.presented}';
    if (!admits(_sent, what, failure.at.millisecondsSinceEpoch)) {
      return;
    }
    final body = failure.reportOf(app);
    for (final address in failure.policy.reportTo) {
      final sending = _send(address, body);
      _pending.add(sending);
      unawaited(sending.whenComplete(() => _pending.remove(sending)));
    }
  }

  /// Waits for the reports of this isolate that are being sent, for ten seconds
  /// at most. An isolate that ends earlier would lose them.
  static Future<void> finish() => Future.wait(_pending.toList())
      .timeout(_patience, onTimeout: () => const []);

  // Each isolate has its own.
  static final Set<Future<void>> _pending = {};

  // Shared by the whole app, because an app can create a client per screen.
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
      // A lost report must neither break the app nor cause another report.
    } finally {
      client?.close(force: true); // The response is not read.
    }
  }
}

/// Returns whether a failure may be reported at a time in milliseconds, and
/// records it if so. Pure, so that tests need no clock.
///
/// [sent] contains the reported failures and their times. It never exceeds
/// [maxReports], so an attacker with many certificates cannot fill the memory.
bool admits(Map<String, int> sent, String failure, int now) {
  final before = sent[failure];
  if (before == null && sent.length >= maxReports) {
    return false;
  }
  if (before != null && now < before + reportPauseMilliseconds) {
    return false;
  }
  sent[failure] = now;
  return true;
}
