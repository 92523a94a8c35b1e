"""Cases of insecure protocols: old or unauthenticated TLS, TLS without encryption, clear text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.case import ALL_REJECT, Case, Family
from certpin.lab.scenario import Opening, Scenario, ServerStep, TLSSettings

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI

_OLD = TLSSettings(oldest="TLSv1", newest="TLSv1_1")
# Without a certificate: unsigned ephemeral keys (RFC 4492 section 5.4, RFC 5246 F.1.1.1).
_ANONYMOUS = TLSSettings(newest="TLSv1_2", ciphers="AECDH-AES128-SHA:ADH-AES128-GCM-SHA256")
# Without encryption, which RFC 8446 removed: a suite for each type of key.
_NULL = TLSSettings(newest="TLSv1_2", ciphers="NULL-SHA256:ECDHE-ECDSA-NULL-SHA:ECDHE-RSA-NULL-SHA")


def _old(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.leaf, settings=_OLD))


def _anonymous(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep((), b"", settings=_ANONYMOUS))


def _weak(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.leaf, settings=_NULL))


def _plain(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep((), b"", opening=Opening.PLAIN))


PROTOCOLS = (
    Case(
        name="old-tls",
        family=Family.PROTOCOL,
        presents="I→L, and nothing newer than TLS 1.1",
        expected=ALL_REJECT,
        guards="that TLS 1.0 and 1.1 are disabled: their handshakes are signed with MD5 and SHA-1",
        reference="RFC 8996; CVE-2011-3389 (BEAST)",
        fix="require TLS 1.2 or newer: minimum_version, setMinVersion, "
        "ConnectionSpec.MODERN_TLS, --tlsv1.2; do not lower the security level (SECLEVEL=0) for an "
        "old server",
        scenario=_old,
    ),
    Case(
        name="anonymous",
        family=Family.PROTOCOL,
        presents="no certificate: a TLS 1.2 suite with anonymous keys",
        expected=ALL_REJECT,
        guards="that a server must prove its identity: without a chain, no pin can fail",
        reference="RFC 5246 section F.1.1.1; RFC 9325 section 4.1",
        fix="keep the library's default cipher list, or remove aNULL from it (!aNULL); treat "
        "an empty chain as a failure, not as nothing to check",
        scenario=_anonymous,
    ),
    Case(
        name="weak-suite",
        family=Family.PROTOCOL,
        presents="I→L, with only suites without encryption (NULL)",
        expected=ALL_REJECT,
        guards="that suites without encryption are disabled",
        reference="RFC 9325 section 4.1",
        fix="keep the library's default cipher list, or remove eNULL from it (!eNULL); look "
        "for ciphers=ALL or COMPLEMENTOFALL, and for SECLEVEL=0",
        scenario=_weak,
    ),
    Case(
        name="plain-http-on-443",
        family=Family.PROTOCOL,
        presents="HTTP in clear text where TLS should begin",
        expected=ALL_REJECT,
        guards="that the client never repeats a request without TLS after a failed handshake",
        reference="RFC 9110 section 4.2.2; OWASP MASTG-TEST-0235",
        fix="let the request fail: look for a retry that turns https:// into http://, for a catch "
        "of the TLS error that opens a plain socket, and for usesCleartextTraffic",
        scenario=_plain,
    ),
)
