/// What not to do: clients that look pinned, for the lab to attack.
///
///     mistakes.dart MISTAKE URL LIST
///
/// LIST is what the client accepts, separated by commas.
library;

import 'dart:io';
import 'dart:isolate';

import 'package:certpin/certpin.dart';
import 'package:certpin/src/digests.dart';
import 'package:crypto/crypto.dart';

Future<void> main(List<String> words) async {
  final [mistake, address, list] = words;
  final url = Uri.parse(address);
  final accepted = list.split(',');
  try {
    await switch (mistake) {
      'callback' => _get(
          _withCallback((found) => accepted.contains(fingerprint(found))),
          url,
        ),
      'callback-on-keys' => _get(
          _withCallback((found) => pinsOf(found.der).any(accepted.contains)),
          url,
        ),
      'validate-certificate' => _validated(
          url,
          (found) => found != null && accepted.contains(fingerprint(found)),
        ),
      'unpinned' => _get(HttpClient(), url),
      'isolate' => _inNewIsolate(url, accepted),
      _ => throw ArgumentError(mistake),
    };
  } on Exception catch (error) {
    stderr.writeln(error);
    exitCode = 1;
  }
}

/// The platform trusts no root, so it finds every chain wrong, and asks the
/// callback about each problem. True means that the problem doesn't count,
/// whatever it is: an unknown issuer, a wrong name, a past date.
HttpClient _withCallback(bool Function(X509Certificate found) isAccepted) =>
    HttpClient(context: SecurityContext(withTrustedRoots: false))
      ..badCertificateCallback = (found, host, port) => isAccepted(found);

/// A rebuild of dio's `validateCertificate` on `dart:io`: not dio's code, but
/// the same calls in the same order. dio opens the URL, sends the request, waits
/// for the headers of the response, and only then asks about the certificate,
/// which is that of the last redirect.
Future<void> _validated(
  Uri url,
  bool Function(X509Certificate? found) isAccepted,
) async {
  final client = HttpClient();
  try {
    final request = await client.getUrl(url);
    request.persistentConnection = false;
    final response = await request.close();
    if (!isAccepted(response.certificate)) {
      throw const HttpException('the certificate is not accepted');
    }
    await response.drain<void>();
  } finally {
    client.close(force: true);
  }
}

/// Overrides are of one isolate; a new one has none.
Future<void> _inNewIsolate(Uri url, List<String> pins) {
  final policy = HostPolicy(
    pattern: url.host,
    mode: 'enforce',
    match: 'leaf',
    pins: pins,
  );
  final set = PinSet(name: 'lab', version: 1, policies: [policy]);
  HttpOverrides.global = PinnedHttpOverrides(set);
  return Isolate.run(() => _get(HttpClient(), url));
}

/// SHA-256 of a certificate, as `openssl x509 -fingerprint` prints it.
String fingerprint(X509Certificate found) => sha256
    .convert(found.der)
    .bytes
    .map((octet) => octet.toRadixString(16).padLeft(2, '0').toUpperCase())
    .join(':');

Future<void> _get(HttpClient client, Uri url) async {
  try {
    final request = await client.getUrl(url);
    // A redirect is then followed on a new connection.
    request.persistentConnection = false;
    final response = await request.close();
    await response.drain<void>();
  } finally {
    client.close(force: true);
  }
}
