// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// The classes of `pins.dart`. The terms are those of `pins.toml`.
library;

/// All policies of an app, with a name and a version.
///
/// An implementation can change its pins while in use: see `PinUpdates`.
interface class PinSet {
  /// Creates a pin set. `pins.dart` contains the exported one.
  const PinSet({
    required this.name,
    required this.version,
    required this.policies,
    this.debugAnchors,
  });

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

/// The pins and the rules of one host or host pattern.
final class HostPolicy {
  /// Creates a policy.
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
  });

  /// A host; `*.name`: one more label; `**.name`: the name and all subdomains.
  final String pattern;

  /// `enforce`, or `report`: accept, and report the failure.
  final String mode;

  /// `leaf`: the server's own certificate must be pinned. `ca` and `any`: the
  /// anchors of [trust] are the pins.
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
