"""Faults of clients that check their pins, but not for some certificates or some connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.report.faults import remedies
from certpin.lab.report.faults.model import (
    BEFORE,
    ROGUE,
    SECOND_TRY,
    Fault,
    hole,
    named,
    only_some_connections,
    pins_hold,
)

if TYPE_CHECKING:
    from certpin.lab.report.faults.model import VerdictPattern

_LATER = ("swap-on-reconnect", *(f"rogue-connection-{number}" for number in range(2, 7)))
_NUMBERED = _LATER[1:]
_OTHER_HOSTS = ("second-host-unpinned", "http2-coalescing", "resumption-other-host")
_SPELLED = ("rogue-trailing-dot", "rogue-upper-case", "rogue-unicode-host")
_ADDRESSES = ("rogue-ipv4", "rogue-ipv6")
_UNANSWERED = "unanswered-then-rogue"
_FALLBACK = ("rogue-on-both-hosts", "dropped-then-second-host")
_AFTER_FAILURE = ("dropped-then-rogue", "bad-then-good", "retry-x5")
_KEYS = (
    *("rogue-ed25519", "rogue-p384", "rogue-p521", "rogue-rsa-pss", "rogue-rsa-8192"),
    "rogue-ml-dsa",
)
_NO_COMMON_NAME = ("rogue-no-common-name", "rogue-empty-subject")


def _only_first_ones(seen: VerdictPattern) -> bool:
    """Return True if the client checks its pins only on its first connections, not on later ones.

    ``seen`` has the verdicts of a run. The result is derived from cases that attack one numbered
    connection each, from the second to the sixth. The client must have failed one of them, and
    passed none with a higher number. If it failed none of them, it must have failed the case
    ``swap-on-reconnect``.
    """
    failed = [number for number, name in enumerate(_NUMBERED) if seen.failed(name)]
    passed = [number for number, name in enumerate(_NUMBERED) if seen.passed(name)]
    if not failed:
        return seen.failed("swap-on-reconnect")
    return not any(number > failed[0] for number in passed)


SKIPPED = (
    hole(
        "The client accepts the pins of one host for another",
        "keep a list of pins for each host",
        remedies.EACH_HOST,
        ("second-host-key",),
    ),
    hole(
        "The client compares only a part of its pins",
        "compare all 32 bytes of the digest",
        remedies.PIN,
        ("similar-pin",),
    ),
    hole(
        "The client recognises the server's certificate by its issuer and serial number",
        "compare the digest of the key only",
        remedies.PIN,
        ("same-issuer-and-serial",),
    ),
    hole(
        "The client recognises the pinned root by its name or key identifier",
        "compare the digest of the root's key: an attacker chooses the other fields of its root",
        remedies.VERIFIED_PATH,
        ("rogue-root-same-name",),
    ),
    hole(
        "The client does not check its pins if the certificate has a wildcard, or is signed with "
        "SHA-384",
        "make no exceptions: an attacker chooses the fields of its certificate",
        remedies.FAIL_CLOSED,
        ("rogue-wildcard",),
    ),
    hole(
        "The client does not check its pins if the certificate has no purposes, or expires after "
        "2049",
        "refuse a certificate that can't be read; a pin needs only its key",
        remedies.FAIL_CLOSED,
        ("rogue-without-purposes",),
    ),
    hole(
        "The client does not check the pins of keys of a kind that it doesn't know",
        "compute the digest of the whole SubjectPublicKeyInfo as it is in the certificate",
        remedies.KEY,
        _KEYS,
    ),
    hole(
        "The client does not check its pins if the certificate has no common name",
        "do not read the subject for a check of pins",
        remedies.FAIL_CLOSED,
        _NO_COMMON_NAME,
    ),
    hole(
        "The client does not check its pins if the certificate has many names",
        "refuse a certificate that can't be read",
        remedies.FAIL_CLOSED,
        ("rogue-many-names",),
    ),
    hole(
        "The client does not check its pins if the certificate has rare extensions",
        "refuse a certificate that can't be read; a pin needs only its key",
        remedies.FAIL_CLOSED,
        ("rogue-odd-extensions",),
    ),
    hole(
        "The client does not check its pins if the certificate has no extensions",
        "refuse a certificate without extensions; a pin needs only the key",
        remedies.FAIL_CLOSED,
        ("rogue-version-1",),
    ),
    hole(
        "The client does not check its pins if the server's certificate is an authority's",
        "compare the pins with the first certificate of the path, whatever it is marked as",
        remedies.FAIL_CLOSED,
        ("rogue-authority-as-server",),
    ),
    hole(
        "The client does not check its pins in chains with many name constraints",
        "refuse a chain if its verification was given up",
        remedies.FAIL_CLOSED,
        ("exhausting-name-constraints",),
    ),
    hole(
        "The client counts the certificates of a chain, and doesn't compare their keys",
        "compare the keys of the verified path",
        remedies.VERIFIED_PATH,
        ("rogue-chain-as-long",),
    ),
    hole(
        "The client does not check its pins in long chains",
        "refuse the connection if no certificate of the verified path is pinned",
        remedies.FAIL_CLOSED,
        ("rogue-chain-longer",),
        "rogue-chain-as-long",
    ),
)
CONNECTIONS = (
    hole(
        "The client does not check its pins in TLS 1.2",
        BEFORE,
        remedies.PIN,
        ("rogue-tls-1.2",),
        # Unpinned keys that no library serves in TLS 1.3.
        also=("weak-leaf-rsa-1024", "weak-leaf-dsa", "weak-leaf-p192"),
    ),
    hole(
        "The client does not check its pins in TLS 1.3",
        BEFORE,
        remedies.PIN,
        ("rogue-tls-1.3",),
    ),
    hole(
        "The client does not check its pins on HTTP/2",
        BEFORE,
        remedies.PIN,
        ("rogue-http-2",),
        "rogue-http-1.1",
    ),
    hole(
        "The client does not check its pins on HTTP/1.1",
        BEFORE,
        remedies.PIN,
        ("rogue-http-1.1",),
        "rogue-http-2",
        also=("rogue-without-alpn",),
    ),
    hole(
        "The client does not check its pins unless a protocol is negotiated (ALPN)",
        BEFORE,
        remedies.PIN,
        ("rogue-without-alpn",),
    ),
    hole(
        "The client does not verify certificates over HTTP/3",
        "verify the chain and the name over QUIC too, and compare the pins, or switch HTTP/3 off",
        remedies.HTTP3,
        ("http3-untrusted",),
        "untrusted-ca",
        also=("http3-rogue",),
    ),
    hole(
        "The client does not check its pins over HTTP/3",
        "compare the pins in the handshake of QUIC too, or switch HTTP/3 off",
        remedies.HTTP3,
        ("http3-rogue",),
        "http3-untrusted",
    ),
    hole(
        "The client does not check its pins on another port of the host",
        "find the pins by the host only, without the port",
        remedies.EACH_HOST,
        ("redirect-to-other-port",),
    ),
    hole(
        "The client finds no pins for another spelling of the host",
        "compare hosts in lower case, as A-labels and without a trailing dot, and refuse hosts "
        "without pins",
        remedies.EACH_HOST,
        _SPELLED,
    ),
    hole(
        "The client does not check its pins for IP addresses",
        "refuse hosts without pins, and addresses too",
        remedies.EACH_HOST,
        _ADDRESSES,
    ),
    hole(
        "The client does not check its pins after a time-out",
        "connect with the same settings again, or let the request fail",
        remedies.NO_SECOND_TRY,
        ("slow-rogue",),
    ),
    hole(
        "The client does not check its pins after a rejection of ECH",
        "connect again with the same settings, and only without the ECH configuration",
        remedies.NO_SECOND_TRY,
        ("ech-rejected-then-rogue",),
    ),
    hole(
        SECOND_TRY,
        "connect with the same settings again, or let the request fail",
        remedies.NO_SECOND_TRY,
        _AFTER_FAILURE,
        also=(_UNANSWERED, "rogue-on-both-hosts"),
    ),
    hole(
        "The client does not check its pins on connections of another kind, such as WebSockets",
        "give the same TLS settings to every library of the client that connects",
        remedies.EVERY_CONNECTION,
        ("other-kind-of-connection",),
        "swap-on-reconnect",
    ),
    Fault(
        "The client checks its pins only on its first connections",
        "check every new connection, also after a redirect, a retry or a reconnect",
        remedies.EVERY_CONNECTION,
        (*_LATER, ROGUE),
        lambda seen: seen.failed(*_LATER) and pins_hold(seen) and _only_first_ones(seen),
        named(*_LATER, _UNANSWERED),
    ),
    hole(
        "The client does not check its pins on a part of its connections to a host",
        "check every new connection, also after a redirect, a retry or a reconnect",
        remedies.EVERY_CONNECTION,
        _LATER,
        "rogue-connection-3",
        also=(_UNANSWERED,),
    ),
    hole(
        "The client repeats a request that got no answer without its pins",
        "connect with the same settings again, or let the request fail",
        remedies.NO_SECOND_TRY,
        (_UNANSWERED,),
        "dropped-then-rogue",
    ),
    hole(
        "The client checks its pins only for its first host",
        "look up the pins by the host of each connection, and refuse hosts without pins",
        remedies.EACH_HOST,
        _OTHER_HOSTS,
        also=_FALLBACK,
    ),
    hole(
        "The client goes to its second host without pins if the first one fails",
        "use the same client for both hosts, and give the second one pins too",
        remedies.EACH_HOST,
        _FALLBACK,
    ),
    hole(
        "The client sends a request over a connection that was made without verification",
        "keep connections of different TLS settings in different pools",
        remedies.EVERY_CONNECTION,
        ("pool-reuse",),
    ),
    Fault(
        "The client checks only some of its connections",
        "check every new connection, also after a redirect, a retry or a reconnect",
        remedies.EVERY_CONNECTION,
        (ROGUE, "untrusted-ca"),
        pins_hold,
        only_some_connections,
    ),
)
