/// The classes of `pins.dart`. The terms are those of `pins.toml`.
library;

/// The format of `pins.dart` that this release of the package can read.
///
/// It changes when the meaning of a field changes, so that a file of another
/// format does not compile.
const int pinsFormat = 1;

/// All policies of an app, with a name and a version.
///
/// An implementation can change its pins while in use: see `PinUpdates`. As
/// long as they are unchanged, it returns the same list of [policies], so that
/// connections are used again.
interface class PinSet {
  /// Creates a pin set. `pins.dart` contains the exported one.
  ///
  /// [format] is the format of the exported file. The assertion is part of a
  /// constant, so the compiler evaluates it in release builds too.
  const PinSet({
    required this.name,
    required this.version,
    required this.policies,
    this.debugAnchors,
    int format = pinsFormat,
  }) : assert(
          format == pinsFormat,
          'pins.dart and package:certpin have different formats: install the '
          'certpin command and the package in the same release, and run '
          '`certpin export flutter` again',
        );

  /// The name of the pin set, for logs and reports.
  final String name;

  /// The version of the pin set. It never decreases.
  final int version;

  /// The policies, in the order of the pin file. The most specific one counts.
  final List<HostPolicy> policies;

  /// The certificates of a debugging proxy, as PEM. `null` if the build has no
  /// debug override.
  final String? debugAnchors;
}

/// A copy of a pin set.
extension PinSetSnapshot on PinSet {
  /// The current pins as a plain [PinSet], which never changes and can be sent
  /// to another isolate. `PinUpdates` itself can't be.
  PinSet get snapshot => PinSet(
        name: name,
        version: version,
        policies: policies,
        debugAnchors: debugAnchors,
      );
}

/// The pins and the rules of one host or host pattern.
final class HostPolicy {
  /// Creates a policy.
  ///
  /// The assertions find a mistake in a constant when it is compiled, in
  /// release builds too. Any other policy with such a mistake covers no request
  /// (`UnpinnedRequestException`).
  const HostPolicy({
    required this.pattern,
    required this.mode,
    required this.match,
    required this.pins,
    this.compromised = const [],
    this.expires,
    this.onExpiry = 'fail-closed',
    this.trust,
    this.reportTo = const [],
  })  : assert(
          mode == 'enforce' || mode == 'report',
          'mode is "enforce" or "report"',
        ),
        assert(
          match == 'leaf' || match == 'ca' || match == 'any',
          'match is "leaf", "ca" or "any"',
        ),
        assert(
          onExpiry == 'fail-closed' ||
              onExpiry == 'fail-open' ||
              onExpiry == 'report',
          'onExpiry is "fail-closed", "fail-open" or "report"',
        ),
        assert(
          match == 'leaf' || trust != null,
          'without trust, only match: "leaf" compares pins',
        );

  /// A host; `*.name`: one more label; `**.name`: the name and all subdomains.
  final String pattern;

  /// `enforce`, or `report`: accept, and report the failure.
  final String mode;

  /// `leaf`: the server's own certificate must be pinned. `ca` and `any`: the
  /// anchors of [trust] are the pins, so it must not be `null`.
  final String match;

  /// `sha256/BASE64` of a public key, `cert-sha256/AA:BB:…` of a certificate.
  final List<String> pins;

  /// Pins of compromised keys, which are refused even if another pin matches.
  /// `dart:io` exposes only the server's certificate, so a compromised key of
  /// an authority is not found.
  final List<String> compromised;

  /// The time at which the pins expire, in RFC 3339.
  final String? expires;

  /// The behaviour after that: `fail-closed`, `fail-open` or `report`.
  final String onExpiry;

  /// The only accepted roots, as PEM. `null`: the roots of the platform.
  final String? trust;

  /// The URLs to which failures are reported.
  final List<String> reportTo;
}
