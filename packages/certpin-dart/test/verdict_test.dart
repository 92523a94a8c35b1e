import 'package:certpin/src/policy.dart';
import 'package:certpin/src/report.dart';
import 'package:certpin/src/verdict.dart';
import 'package:test/test.dart';

import 'vectors.dart';

void main() {
  test('the same is decided as by certpin', () {
    for (final each in decisions) {
      final policy = HostPolicy(
        pattern: 'bank.example',
        mode: each['mode'] as String,
        match: each['match'] as String,
        pins: (each['pins'] as List).cast<String>(),
        expires: each['expires'] as String?,
        onExpiry: each['onExpiry'] as String,
      );
      final (decision, reason) = judge(
        policy,
        (each['presented'] as List).cast<String>(),
        DateTime.parse(each['now'] as String),
      );
      expect([decision.name, reason.name], [each['decision'], each['reason']]);
    }
  });

  test('the same failure is reported once an hour', () {
    final sent = <String, int>{};
    expect(admits(sent, 'a', 0), isTrue);
    expect(admits(sent, 'a', reportPauseMilliseconds - 1), isFalse);
    expect(admits(sent, 'a', reportPauseMilliseconds), isTrue);
  });

  test('failures of many kinds fill no memory', () {
    final sent = <String, int>{};
    for (var kind = 0; kind < 1000; kind += 1) {
      admits(sent, 'failure $kind', kind);
    }
    expect(sent, hasLength(maxReports));
  });
}
