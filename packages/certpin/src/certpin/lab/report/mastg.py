"""The OWASP MASVS controls and MASTG tests that belong to each case of the lab.

Source: the titles and identifiers in github.com/OWASP/mastg, ``tests-beta``, and the controls in
github.com/OWASP/masvs 2.1, read on 2026-11-28. Tests of version 1 (MASTG-TEST-0019 to 0022 and 0065
to 0068) are deprecated by OWASP, and left out here.

The lab attacks a running client. MASTG-TEST-0218, 0236, 0244 and 0348 also test a running app, on
the network; the others search an app's code for the mistake that the lab observes at run time. So a
case supports the evaluation of a test, and does not replace it.
"""

from __future__ import annotations

from dataclasses import dataclass

from certpin.lab.case import Expect

CONTROLS = {
    "MASVS-NETWORK-1": "The app secures all network traffic according to the current best "
    "practices.",
    "MASVS-NETWORK-2": "The app performs identity pinning for all remote endpoints under the "
    "developer's control.",
}
TESTS = {
    "MASTG-TEST-0218": "Insecure TLS Protocols in Network Traffic",
    "MASTG-TEST-0234": "Missing Implementation of Server Hostname Verification with SSLSockets",
    "MASTG-TEST-0236": "Cleartext Traffic Observed on the Network",
    "MASTG-TEST-0243": "Expired Certificate Pins in the Network Security Configuration",
    "MASTG-TEST-0244": "Missing Certificate Pinning in Network Traffic",
    "MASTG-TEST-0282": "Unsafe Custom Trust Evaluation",
    "MASTG-TEST-0283": "Incorrect Implementation of Server Hostname Verification",
    "MASTG-TEST-0348": "Insecure TLS Protocols in Network Traffic (iOS)",
    "MASTG-TEST-0396": "References to URLSessionDelegate Bypassing Certificate Validation",
}


@dataclass(frozen=True)
class MasvsReference:
    """The MASVS controls and MASTG tests for a case of the lab.

    Attributes:
        controls: the identifiers of the controls, such as ``MASVS-NETWORK-1``.
        tests: the identifiers of the tests, such as ``MASTG-TEST-0244``.
        why: the reason if there is no control or no test; otherwise empty.
        because: the reason if the controls and tests apply only to clients with some kinds of pins;
            otherwise empty.
    """

    controls: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    why: str = ""
    because: str = ""


def reference(case: str, expect: Expect) -> MasvsReference:
    """Return the MASVS controls and MASTG tests for a case.

    If the case is unknown, the result has no controls and no tests, and ``why`` gives the reason.

    Args:
        case: the name of the case.
        expect: the expected reaction of the client. It matters only for cases in which the server
            changes its chain without an attack. If the client's pins require it to refuse the
            change (``REJECT``), the case counts as an attack on pins, with other controls and
            tests.
    """
    if expect is Expect.REJECT and case in _ATTACK_ON_PINS:
        return _ATTACK_ON_PINS[case]
    return _BY_CASE.get(case, MasvsReference(why="it is no case of certpin's matrix"))


_SECURE, _PINNED = ("MASVS-NETWORK-1",), ("MASVS-NETWORK-2",)

_GROUPS: tuple[tuple[MasvsReference, str], ...] = (
    (
        MasvsReference(_PINNED, ("MASTG-TEST-0244",)),
        """
        rogue-ca-in-store same-ca-new-key pinned-leaf-appended pinned-intermediate-appended
        non-ca-switch non-ca-switch-last pathlen-split compromised-key compromised-intermediate
        no-scts unknown-logs
        swap-on-reconnect second-host-unpinned http2-coalescing leak-before-check
        redirect-to-unpinned-host second-host-key similar-pin rogue-ed25519 rogue-p384 rogue-p521
        rogue-rsa-pss rogue-rsa-8192 rogue-ml-dsa rogue-empty-subject rogue-no-common-name
        rogue-many-names
        rogue-odd-extensions rogue-version-1 rogue-authority-as-server rogue-wildcard
        rogue-without-purposes same-issuer-and-serial rogue-root-same-name rogue-chain-as-long
        rogue-chain-longer exhausting-names exhausting-name-constraints rogue-connection-2
        rogue-connection-3 rogue-connection-4 rogue-connection-5 rogue-connection-6
        other-kind-of-connection redirect-to-other-port rogue-tls-1.2 rogue-tls-1.3 rogue-http-1.1
        rogue-http-2 rogue-without-alpn dropped-then-rogue slow-rogue rogue-ipv4 rogue-ipv6
        rogue-trailing-dot rogue-upper-case rogue-unicode-host https-proxy-rogue-inside http3-rogue
        ech-rejected-then-rogue unanswered-then-rogue rogue-on-both-hosts dropped-then-second-host
        """,
    ),
    (MasvsReference(_PINNED, ("MASTG-TEST-0243",)), "pin-set-expired"),
    (
        MasvsReference(_SECURE, ("MASTG-TEST-0282", "MASTG-TEST-0396")),
        """
        https-proxy-untrusted https-proxy-untrusted-inside
        self-signed untrusted-ca fake-ca-same-name fake-ca-genuine-shown leaf-as-ca
        bad-signature-leaf bad-signature-intermediate replaced-key stolen-certificate-tls12
        stolen-certificate-tls13 explicit-curve-ca expired not-yet-valid expired-intermediate
        ca-false no-basic-constraints pathlen name-constraints extended-key-usage
        name-constraints-widened extended-key-usage-empty unknown-critical-extension bad-then-good
        retry-x5 pool-reuse resumption-other-host http3-untrusted
        """,
    ),
    (
        MasvsReference(_SECURE, ("MASTG-TEST-0234", "MASTG-TEST-0283", "MASTG-TEST-0396")),
        """
        wrong-host-pinned-ca wrong-host-parent wrong-host-sibling wrong-host-wildcard
        wrong-host-wildcard-below wrong-host-wildcard-part wrong-host-idn sni-ignored nul-in-name
        nul-in-common-name cn-only cn-beside-other-san wrong-host-public-suffix ip-without-ip-san
        https-proxy-wrong-name
        """,
    ),
    (
        MasvsReference(_SECURE, ("MASTG-TEST-0218", "MASTG-TEST-0348")),
        "old-tls anonymous weak-suite suite-static-rsa suite-cbc suite-3des dh-1024 dh-512",
    ),
    (
        MasvsReference(_SECURE, ("MASTG-TEST-0236",)),
        """
        plain-http-on-443 starttls-strip starttls-injection redirect-to-http closed-then-clear-text
        reset-then-clear-text stalled-then-clear-text proxy-redirects
        """,
    ),
    (
        MasvsReference(_SECURE, why="MASTG has no test for it"),
        """
        weak-key-rsa-1024 weak-digest-sha1 weak-digest-md5 client-certificate-requested
        proxy-answers-403 proxy-answers-502 proxy-asks-password revoked-crl
        early-change-cipher-spec ech-rejected-by-rogue
        revoked-staple must-staple weak-leaf-rsa-512 weak-leaf-rsa-1024 weak-leaf-dsa weak-leaf-p192
        """,
    ),
    (
        MasvsReference(why="an honest server: MASVS has no control for availability"),
        """
        control-good logged ipv6-san missing-intermediate rot-renewed-same-key rot-new-key-pinned-ca
        rot-backup-live rot-new-intermediate rot-dual-ecdsa rot-dual-rsa rot-cross-signed
        rot-shorter-chain rot-renewed-other-extensions rot-cross-sign-expired
        rot-cross-signer-expired rot-root-cross-signed-too rot-intermediate-became-anchor
        rot-roots-of-one-name ml-dsa-authority rot-stapled rot-http3 rot-crl
        rot-order-reordered rot-order-root-sent rot-order-extra-certificate rot-compromised-sent
        """,
    ),
)
_BY_CASE = {name: found for found, names in _GROUPS for name in names.split()}

# Legitimate changes for some pins, and attacks on others.
_ATTACK_ON_PINS = {
    "rot-new-key-pinned-ca": MasvsReference(
        _PINNED,
        ("MASTG-TEST-0244",),
        because="with pins on the server's key it is the attack same-ca-new-key",
    ),
}
