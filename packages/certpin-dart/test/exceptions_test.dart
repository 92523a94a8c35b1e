import 'dart:async';
import 'dart:io';

import 'package:certpin/certpin.dart';
import 'package:test/test.dart';

/// A failure of the network must never look like a refusal, and a refusal never
/// like a failure of the network.
void main() {
  ConnectionException? of(Object? error) =>
      ConnectionException.of(error, host: 'bank.example');

  OSError code(int code) => OSError('lost', code);

  final failures = <String, Object>{
    'a timeout': TimeoutException('no response', const Duration(seconds: 1)),
    'a timeout without a limit': TimeoutException(null),
    'a timeout of dart:io': const SocketException('Connection timed out'),
    'an unreachable network': SocketException('failed', osError: code(101)),
    'a closed socket': const SocketException.closed(),
    'a lost response': const HttpException('Connection closed while receiving'),
    'a lost handshake':
        const HandshakeException('Connection terminated during handshake'),
    'another lost handshake':
        const TlsException('Connection terminated during handshake'),
    for (final lost in [32, 103, 104, 110, 113, 53, 54, 60, 10053, 10060])
      'a handshake with the code $lost': HandshakeException('x', code(lost)),
  };

  for (final MapEntry(key: name, value: error) in failures.entries) {
    test('$name is a failure of the network', () {
      expect(
        of(error),
        isA<NetworkException>()
            .having((found) => found.mayRetry, 'mayRetry', isTrue)
            .having((found) => found.host, 'host', 'bank.example'),
      );
    });
  }

  final refusals = <String, Object>{
    'a refused chain': HandshakeException(
      'Handshake error in client',
      const OSError('CERTIFICATE_VERIFY_FAILED: unable to get issuer', -1),
    ),
    'an alert': const HandshakeException(
      'Handshake error in client',
      OSError('SSLV3_ALERT_HANDSHAKE_FAILURE', -1),
    ),
    'a code of BoringSSL': HandshakeException(
      'Handshake error in client',
      code(268435581), // CERTIFICATE_VERIFY_FAILED
    ),
    'a refused certificate': const CertificateException('bad'),
    'a handshake without a cause': const HandshakeException(),
    'another cause that mentions a timeout':
        const HandshakeException('timed out? Connection terminated'),
  };

  for (final MapEntry(key: name, value: error) in refusals.entries) {
    test('$name is a failed handshake', () {
      expect(
        of(error),
        isA<TlsHandshakeException>()
            .having((found) => found.mayRetry, 'mayRetry', isFalse)
            .having((found) => found.host, 'host', 'bank.example'),
      );
    });
  }

  test('an exception of the library stays the same', () {
    for (final found in [
      const PinSetExpiredException('a', expired: '', pinSet: ''),
      const UnpinnedRequestException('a', 'no policy covers it'),
      const TlsHandshakeException('', 'Connection terminated during handshake'),
      const NetworkException('timed out', host: 'a'),
    ]) {
      expect(of(found), same(found));
    }
  });

  test('the message for a log has one line', () {
    const failure = TlsHandshakeException('a', 'failed', OSError('x:\n\ty', 7));
    expect(failure.logMessage, contains('x: y'));
    expect(failure.logMessage, isNot(contains('\n')));
  });

  test('other errors are unrelated', () {
    final unrelated = [
      ...[null, 'text', StateError(''), const FormatException()],
      const RedirectException('too many', []),
    ];
    for (final error in unrelated) {
      expect(of(error), isNull);
    }
  });
}
