import 'package:certpin/certpin.dart';
import 'package:certpin/src/hosts.dart';
import 'package:certpin/src/verdict.dart';
import 'package:test/test.dart';

const String _pin = 'sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=';

/// A policy that is written by hand, with a mistake.
///
/// As a constant it doesn't compile; here it depends on whether the VM
/// evaluates assertions.
HostPolicy _written({
  String mode = 'enforce',
  String match = 'leaf',
  String onExpiry = 'fail-closed',
  String? expires,
  String? trust,
}) =>
    HostPolicy(
      pattern: 'localhost',
      mode: mode,
      match: match,
      pins: const [_pin],
      onExpiry: onExpiry,
      expires: expires,
      trust: trust,
    );

void main() {
  var hasAssertions = false;
  assert(() {
    hasAssertions = true;
    return true;
  }(), 'always true');

  final mistakes = <String, HostPolicy Function()>{
    'mode "Enforce"': () => _written(mode: 'Enforce'),
    'match "Leaf"': () => _written(match: 'Leaf', trust: ''),
    'match "any" but no trust': () => _written(match: 'any'),
    'match "ca" but no trust': () => _written(match: 'ca'),
    'onExpiry "open"': () => _written(onExpiry: 'open'),
    'expires at "soon"': () => _written(expires: 'soon'),
  };

  for (final MapEntry(key: problem, value: write) in mistakes.entries) {
    test('a policy with a mistake covers no request: $problem', () async {
      if (hasAssertions && !problem.startsWith('expires')) {
        expect(write, throwsA(isA<AssertionError>()));
        return;
      }
      final pins = PinSet(name: 'test', version: 1, policies: [write()]);
      final refused = throwsA(
        isA<UnpinnedRequestException>()
            .having((error) => error.problem, 'problem', contains(problem)),
      );
      final client = PinnedHttpClient(pins, reports: false);
      addTearDown(() => client.close(force: true));
      // Nothing listens there: it is refused before the connection.
      final url = Uri.parse('https://localhost:1/');
      await expectLater(client.getUrl(url), refused);
      await expectLater(
        PinnedSecureSocket.connect('localhost', 1, pins: pins),
        refused,
      );
      expect(() => pinnedSecurityContext(pins, host: 'localhost'), refused);
    });
  }

  test('an unknown word never accepts', () {
    if (!hasAssertions) {
      final now = DateTime.utc(2027);
      expect(
        judge(_written(mode: 'Enforce'), const [], now),
        (Decision.refuse, Reason.mismatch),
      );
      expect(
        judge(_written(match: 'Leaf'), const [], now),
        (Decision.refuse, Reason.mismatch),
      );
    }
  });

  test('a pattern with a port covers no host, and breaks no look-up', () {
    const policy = HostPolicy(
      pattern: 'localhost:443',
      mode: 'enforce',
      match: 'leaf',
      pins: [_pin],
    );
    expect(policyFor(const [policy], '::1'), isNull);
    expect(policyFor(const [policy], 'localhost'), isNull);
  });

  test('a context of unreadable anchors is refused', () {
    for (final trust in ['', 'no certificate']) {
      final pins = PinSet(
        name: 'test',
        version: 1,
        policies: [_written(match: 'ca', trust: trust)],
      );
      expect(
        () => pinnedSecurityContext(pins, host: 'localhost'),
        throwsA(
          isA<UnpinnedRequestException>().having(
            (error) => error.problem,
            'problem',
            contains('trust without readable certificates'),
          ),
        ),
      );
    }
  });
}
