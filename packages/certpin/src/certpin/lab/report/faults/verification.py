"""Faults (mistakes) that affect most connections: no verification or pins, or a missing part."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from certpin.lab.case import Family
from certpin.lab.report.faults import remedies
from certpin.lab.report.faults.model import (
    BEFORE,
    ROGUE,
    ROGUE_HANDSHAKE,
    SECOND_TRY,
    TRUSTED_AUTHORITY,
    UNKNOWN_AUTHORITY,
    Fault,
    got_through,
    hole,
    named,
    of,
    only_by_pins,
    only_some_connections,
    open_ways,
    past_pins,
)
from certpin.lab.verdict import Verdict

if TYPE_CHECKING:
    from certpin.lab.runner import Result

# With pins on the server's key, a new key of the same authority.
_WEAK_NEW_KEYS = ("weak-leaf-rsa-1024", "weak-leaf-dsa", "weak-leaf-p192")
_OTHER_NAME = ("wrong-host-sibling", "wrong-host-parent", "wrong-host-pinned-ca")
_WILDCARDS = ("wrong-host-wildcard", "wrong-host-wildcard-below", "wrong-host-idn")
_OUT_OF_DATE = ("expired", "not-yet-valid")
_MAY_NOT_SIGN = ("ca-false", "no-basic-constraints", "pathlen", "leaf-as-ca")
_SIGNATURES = ("bad-signature-leaf", "bad-signature-intermediate", "replaced-key")
_STOLEN = ("stolen-certificate-tls12", "stolen-certificate-tls13")
_NAMED_ALIKE = ("fake-ca-same-name", "fake-ca-genuine-shown", "explicit-curve-ca")
_OVER_SERVED_CHAIN = (
    *("pinned-leaf-appended", "pinned-intermediate-appended"),
    *("non-ca-switch", "non-ca-switch-last", "pathlen-split"),
)
# These families are about TLS and its surroundings, not about certificates.
_NOT_CERTIFICATES = {Family.PROTOCOL, Family.STARTTLS, Family.HTTP, Family.ROTATION}


_unverified = partial(hole, by_pins=False)


def _by_certificate(result: Result) -> bool:
    """Return True if the result is that of an attack with a certificate that a client must refuse.

    A renewal with an unpinned key counts as such an attack for a client with pins on the server's
    key.
    """
    family = result.case.family
    certificates = family not in _NOT_CERTIFICATES or result.case.matrix_name in ROGUE_HANDSHAKE
    return got_through(result) and (certificates or only_by_pins(result))


def _way(words: str, way: str) -> Fault:
    """Return the fault of a client that skips its pin checks if it connects in one particular way.

    Args:
        words: the way as text, for the title of the fault.
        way: the way, such as directly or through a proxy, as in ``Connection.via``.
    """
    return Fault(
        f"The client does not check its pins {words}",
        "use the same client, with its pins, with and without a proxy",
        remedies.EVERY_CONNECTION,
        (ROGUE, "same-ca-new-key", "untrusted-ca"),
        lambda seen: way in seen.open_ways,
        lambda result: way in open_ways(result),
    )


def _only_in(words: str, open_case: str, closed_case: str) -> Fault:
    """Return the fault of a client that skips its pin checks in its usual protocol only.

    Args:
        words: the usual protocol as text, for the title of the fault.
        open_case: the case that such a client fails, in the usual protocol.
        closed_case: the case that it passes, in another protocol.
    """
    return Fault(
        f"The client does not check its pins {words}",
        BEFORE,
        remedies.PIN,
        (open_case, closed_case, ROGUE),
        lambda seen: seen.accepted(open_case) and seen.passed(closed_case) and seen.failed(ROGUE),
        past_pins,
    )


WHOLE_CLIENT = (
    Fault(
        "The client connects without any check after a failed verification",
        "let the request fail: remove the second request without verification (curl -k after exit "
        "status 60, verify=False in an except clause), and callbacks that accept errors",
        remedies.NO_SECOND_TRY,
        ("untrusted-ca", "wrong-host-sibling", ROGUE),
        lambda seen: (
            seen.failed(*UNKNOWN_AUTHORITY)
            and seen.failed(*_OTHER_NAME)
            and seen.failed(*_OUT_OF_DATE)
            and seen.refused(*TRUSTED_AUTHORITY)
            and not seen.failed(*TRUSTED_AUTHORITY)
        ),
        _by_certificate,
    ),
    Fault(
        "The client accepts any certificate",
        "turn verification on: remove curl -k, verify=False, InsecureSkipVerify, "
        "rejectUnauthorized: false, a trust manager or a badCertificateCallback that accepts "
        "everything",
        remedies.VERIFY,
        ("untrusted-ca", "wrong-host-sibling", "expired"),
        lambda seen: (
            seen.failed(*UNKNOWN_AUTHORITY)
            and seen.failed(*_OTHER_NAME)
            and (seen.failed(*_OUT_OF_DATE) or not seen.passed(*_OUT_OF_DATE))
        ),
        _by_certificate,
    ),
    Fault(
        "The client compares pins only for certificates that TLS refuses",
        "compare the pins of every certificate: badCertificateCallback and onBadCertificate are "
        "called only for invalid ones, and must not accept those",
        remedies.PIN,
        (ROGUE, "wrong-host-sibling", "untrusted-ca"),
        lambda seen: (
            seen.accepted(ROGUE)
            and seen.failed(*_OTHER_NAME)
            and seen.failed(*_OUT_OF_DATE)
            and seen.passed(*UNKNOWN_AUTHORITY)
        ),
        _by_certificate,
    ),
    Fault(
        "The client recognises an authority by its name, and not by its key",
        "let only the TLS library verify the chain: an attacker can copy every name",
        remedies.VERIFY,
        ("fake-ca-same-name", "fake-ca-genuine-shown", "untrusted-ca"),
        lambda seen: seen.failed(*_NAMED_ALIKE) and not seen.failed(*UNKNOWN_AUTHORITY),
        lambda result: _by_certificate(result) and not only_by_pins(result),
    ),
    Fault(
        "The client compares pins, and verifies nothing else",
        "verify the chain, the name and the dates first, with the TLS library, and compare pins "
        "afterwards (for curl: --pinnedpubkey without -k)",
        remedies.VERIFY,
        ("wrong-host-sibling", "expired", ROGUE),
        lambda seen: (
            seen.failed(*_OTHER_NAME)
            and seen.failed(*_OUT_OF_DATE)
            and seen.passed(*TRUSTED_AUTHORITY)
            and not seen.failed(*UNKNOWN_AUTHORITY)
        ),
        lambda result: _by_certificate(result) and not only_by_pins(result),
    ),
    Fault(
        "The client accepts certificates of authorities that it doesn't trust",
        "let the TLS library verify the chain up to its trusted roots: remove callbacks that "
        "accept an unknown issuer",
        remedies.VERIFY,
        ("untrusted-ca", "self-signed", "wrong-host-sibling"),
        lambda seen: seen.failed(*UNKNOWN_AUTHORITY),
        lambda result: (
            of(Family.AUTHORITY, Family.CHAIN, Family.CONSTRAINT)(result)
            or only_some_connections(result)
        ),
    ),
    _way("through an HTTP proxy", "connect"),
    _way("through a SOCKS5 proxy", "socks5"),
    _way("on direct connections", "port"),
    _only_in("in TLS 1.3", "rogue-tls-1.3", "rogue-tls-1.2"),
    _only_in("in TLS 1.2", "rogue-tls-1.2", "rogue-tls-1.3"),
    _only_in("on HTTP/2", "rogue-http-2", "rogue-http-1.1"),
    Fault(
        SECOND_TRY,
        "connect with the same settings again, or let the request fail",
        remedies.NO_SECOND_TRY,
        (ROGUE, "same-ca-new-key", "untrusted-ca"),
        lambda seen: seen.accepted(ROGUE) and seen.repeated,
        past_pins,
    ),
    Fault(
        "The client does not check its pins",
        "give the pins to the client that makes the connections, and refuse the connection in the "
        "handshake; if it has no pins, prove it with --style none",
        remedies.PIN,
        (ROGUE, "same-ca-new-key", "untrusted-ca"),
        lambda seen: seen.accepted(ROGUE),
        past_pins,
    ),
    Fault(
        "The client accepts every certificate of the pinned authority",
        "compare the pins with the key of the server's certificate; if the authority is pinned on "
        "purpose, prove the client with --style ca",
        remedies.PIN,
        ("same-ca-new-key", ROGUE, "untrusted-ca"),
        lambda seen: seen.accepted("same-ca-new-key") and not seen.failed(ROGUE),
        named("same-ca-new-key", "rot-new-key-pinned-ca", "compromised-key", *_WEAK_NEW_KEYS),
    ),
    Fault(
        "The client checks its pins too late: its request has already been sent",
        "check the pins in the handshake (a trust manager, an SSL context), not in a hook on the "
        "response",
        remedies.PIN,
        ("leak-before-check", ROGUE, "untrusted-ca"),
        lambda seen: seen.failed("leak-before-check"),
        lambda result: past_pins(result) and result.verdict is Verdict.LEAK,
    ),
)
CERTIFICATES = (
    Fault(
        "The client does not check the name in the certificate",
        "turn the check of the host name on, for the host that the client connects to "
        "(check_hostname, verifyHost, HostnameVerifier)",
        remedies.NAME,
        ("wrong-host-sibling", "wrong-host-pinned-ca", "untrusted-ca"),
        lambda seen: seen.failed(*_OTHER_NAME),
        of(Family.NAME),
    ),
    _unverified(
        "The client lets a wildcard or a part of a name match other hosts",
        "compare whole labels: a wildcard is the whole left label, and matches exactly one "
        "(RFC 9525 section 6.3)",
        remedies.NAME,
        _WILDCARDS,
        "wrong-host-sibling",
        also=("nul-in-name", "nul-in-common-name", "cn-beside-other-san", "ip-without-ip-san"),
    ),
    _unverified(
        "The client reads the common name although the certificate has other names",
        "compare only the names in the SAN (RFC 9525 section 6.3)",
        remedies.NAME,
        ("cn-beside-other-san",),
        "wrong-host-sibling",
    ),
    _unverified(
        "The client reads a name only up to a NUL byte",
        "compare the whole name, with its length",
        remedies.NAME,
        ("nul-in-name", "nul-in-common-name"),
        "wrong-host-sibling",
    ),
    _unverified(
        "The client looks for an IP address among the DNS names",
        "compare addresses only with the iPAddress entries of the SAN (RFC 9525 section 6.4)",
        remedies.NAME,
        ("ip-without-ip-san",),
        "wrong-host-sibling",
    ),
    Fault(
        "The client does not check the dates of certificates",
        "let the TLS library check the dates in addition to pins: remove callbacks that ignore "
        "'certificate has expired'",
        remedies.VERIFY,
        (*_OUT_OF_DATE, "untrusted-ca"),
        lambda seen: seen.failed(*_OUT_OF_DATE),
        of(Family.DATE),
    ),
    _unverified(
        "The client does not verify the signatures of certificates",
        "let only the TLS library verify the chain",
        remedies.VERIFY,
        _SIGNATURES,
        "untrusted-ca",
    ),
    _unverified(
        "The client does not check that the server has the key of its certificate",
        "use the TLS library's handshake: it verifies the signature (RFC 8446 section 4.4.3)",
        remedies.VERIFY,
        _STOLEN,
        "untrusted-ca",
    ),
    Fault(
        "The client does not check which certificates may sign others",
        "let only the TLS library verify the chain: a custom loop over its signatures doesn't "
        "check who may sign (RFC 5280 section 6.1)",
        remedies.VERIFY,
        (*_MAY_NOT_SIGN[:2], "untrusted-ca"),
        lambda seen: seen.failed(*_MAY_NOT_SIGN, "unknown-critical-extension"),
        named(*_MAY_NOT_SIGN, "unknown-critical-extension"),
    ),
    _unverified(
        "The client does not check all name constraints of the authorities",
        "let the TLS library verify the chain: each authority of the path limits the names of all "
        "certificates below it (RFC 5280 section 6.1)",
        remedies.VERIFY,
        ("name-constraints", "name-constraints-widened"),
        "untrusted-ca",
    ),
    _unverified(
        "The client does not check that a certificate is meant for servers",
        "name the purpose serverAuth to the TLS library (extendedKeyUsage, RFC 5280 section "
        "4.2.1.12)",
        remedies.VERIFY,
        ("extended-key-usage",),
        "ca-false",
    ),
    Fault(
        "The client compares pins with the certificates that the server sent",
        "compare them with the verified path only (getVerifiedChain, the result of the trust "
        "evaluation): an attacker can append the pinned certificate to any chain",
        remedies.VERIFIED_PATH,
        (*_OVER_SERVED_CHAIN, ROGUE),
        lambda seen: seen.failed(*_OVER_SERVED_CHAIN) and not seen.failed(*TRUSTED_AUTHORITY),
        named(*_OVER_SERVED_CHAIN),
    ),
)
