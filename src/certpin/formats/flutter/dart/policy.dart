// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// What `pins.dart` is made of. The words are those of `pins.toml`.
library;

/// Every policy of an app, under a name and a version.
///
/// What implements it can change its pins while it is used: see `PinUpdates`.
interface class PinSet {
  /// A pin set. `pins.dart` has the one that was exported.
  const PinSet({
    required this.name,
    required this.version,
    required this.policies,
    this.debugAnchors,
  });

  /// The name of the pin set, for logs and reports.
  final String name;

  /// The version of the pin set. It only ever rises.
  final int version;

  /// The policies, in the order of the pin file. The most specific one counts.
  final List<HostPolicy> policies;

  /// The certificates of a debugging proxy, as PEM. `null` in every build on
  /// which the debug override is off.
  final String? debugAnchors;
}

/// What one host, or one pattern of hosts, may present.
final class HostPolicy {
  /// A policy.
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

  /// A host; `*.name`: one label more; `**.name`: the name and all below it.
  final String pattern;

  /// `enforce`, or `report`: let pass, and tell.
  final String mode;

  /// `leaf`: the server's own certificate must be pinned. `ca` and `any`: the
  /// anchors of [trust] are the pins.
  final String match;

  /// `sha256/BASE64` of a public key, `cert-sha256/AA:BB:…` of a certificate.
  final List<String> pins;

  /// Pins of keys that are refused, whatever else matches: another person may
  /// have them. Of a chain, `dart:io` shows the server's certificate only: the
  /// key of an authority is not found here.
  final List<String> compromised;

  /// The first moment at which the pins no longer hold, in RFC 3339.
  final String? expires;

  /// What then happens: `fail-closed`, `fail-open` or `report`.
  final String onExpiry;

  /// The only roots that the host may chain to, as PEM. `null`: the platform's.
  final String? trust;

  /// Where failures are reported to.
  final List<String> reportTo;
}
