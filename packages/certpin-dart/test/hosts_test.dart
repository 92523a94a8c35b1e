import 'package:certpin/src/hosts.dart';
import 'package:certpin/src/policy.dart';
import 'package:test/test.dart';

import 'vectors.dart';

void main() {
  final policies = [
    for (final pattern in patterns)
      HostPolicy(
        pattern: pattern,
        mode: 'enforce',
        match: 'leaf',
        pins: const [],
      ),
  ];

  hosts.forEach((host, pattern) {
    test('"$host" is covered by ${pattern ?? 'nothing'}', () {
      final name = normaliseHost(host);
      final found = name == null ? null : policyFor(policies, name);
      expect(found?.pattern, pattern);
    });
  });

  test('a name that is no ASCII comes from Uri as what is no host', () {
    expect(normaliseHost(Uri.parse('https://bücher.example/').host), isNull);
  });
}
