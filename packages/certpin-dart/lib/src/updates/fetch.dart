/// Fetches files from the update server, over pinned connections.
library;

import 'dart:io';
import 'dart:typed_data';

import '../connector.dart';
import '../exceptions.dart';
import '../hosts.dart';
import '../pinned_http_client.dart';
import '../policy.dart';
import '../report.dart';
import 'exception.dart';
import 'metadata.dart';

/// Fetches the files of one refresh, over `https` only. It follows no redirect.
final class SignedFetcher {
  /// Creates a fetcher for [base], which ends with a slash.
  ///
  /// It tries the [current] pins first, then those of the app ([bundled]): a
  /// set with wrong pins for the update server must not prevent the next
  /// update. The current pins are not tried if their policy only reports. A key
  /// that the current set marks compromised is never accepted.
  SignedFetcher(
    this.base, {
    required PinSet current,
    required PinSet bundled,
    required ReportedApp app,
    required FindProxy? findProxy,
    required DateTime Function() now,
  }) : _clients = [
          for (final each in [
            if (policyFor(current.policies, base.host)?.mode != 'report')
              current,
            _refusing(bundled, policyFor(current.policies, base.host)),
          ])
            PinnedHttpClient(each, app: app, now: now)
              ..autoUncompress = false
              ..findProxy = findProxy,
        ];

  /// The URL of the published folder.
  final Uri base;

  final List<PinnedHttpClient> _clients;
  final Stopwatch _passed = Stopwatch()..start();

  // For a whole refresh, even if the server keeps sending.
  static const Duration _deadline = Duration(seconds: 60);

  /// Returns the content of a file, or `null` if an optional file is missing.
  ///
  /// Throws a [PinUpdateException] or a [ConnectionException] if the file can't
  /// be fetched, and a `TimeoutException` if the refresh takes too long.
  Future<Uint8List?> fetch(Wanted wanted) {
    return _fetch(wanted).timeout(_deadline - _passed.elapsed);
  }

  /// Closes the connections.
  void close() {
    for (final client in _clients) {
      client.close(force: true);
    }
  }

  Future<Uint8List?> _fetch(Wanted wanted) async {
    final response = await _answer(base.resolve(wanted.path));
    final status = response.statusCode;
    // Object stores that hide which files exist respond with 403.
    if (wanted.mayMiss && (status == 404 || status == 403)) {
      await response.drain<void>();
      return null;
    }
    if (status != 200) {
      throw PinUpdateException('http', '${wanted.path}: status $status');
    }
    final held = BytesBuilder(copy: false);
    await for (final piece in response) {
      if (held.length + piece.length > wanted.limit) {
        throw PinUpdateException('too-long', wanted.path);
      }
      held.add(piece);
    }
    return held.takeBytes();
  }

  Future<HttpClientResponse> _answer(Uri address) async {
    for (final client in _clients) {
      try {
        return await _ask(client, address);
      } on ConnectionException catch (error) {
        if (error is NetworkException || client == _clients.last) {
          rethrow;
        }
      }
    }
    throw const PinUpdateException('pins', 'there are no pins to ask with');
  }

  Future<HttpClientResponse> _ask(HttpClient client, Uri address) async {
    final request = await client.getUrl(address);
    request
      ..followRedirects = false
      ..headers.set(HttpHeaders.acceptEncodingHeader, 'identity');
    return request.close();
  }
}

/// Returns [pins], whose policies also refuse the compromised keys of [policy].
PinSet _refusing(PinSet pins, HostPolicy? policy) {
  final compromised = policy?.compromised ?? const <String>[];
  return PinSet(
    name: pins.name,
    version: pins.version,
    policies: [
      for (final each in pins.policies)
        HostPolicy(
          pattern: each.pattern,
          mode: each.mode,
          match: each.match,
          pins: each.pins,
          compromised: [...each.compromised, ...compromised],
          expires: each.expires,
          onExpiry: each.onExpiry,
          trust: each.trust,
          reportTo: each.reportTo,
        ),
    ],
    debugAnchors: pins.debugAnchors,
  );
}
