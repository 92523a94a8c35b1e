"""Tables of the broken example clients, with the cases that catch each and the expected cause.

The cause is the fault as certpin must name it in its report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from certpin.lab.pki import Style
from certpin.lab.verdict import Outcome

ROGUE = "rogue-ca-in-store"

ANY = "The client accepts any certificate"
ONLY_PINS = "The client compares pins, and verifies nothing else"
NO_PINS = "The client does not check its pins"
TOO_LATE = "The client checks its pins too late: its request has already been sent"
NO_NAME = "The client does not check the name in the certificate"
SERVED = "The client compares pins with the certificates that the server sent"
FIRST_ONLY = "The client checks its pins only on its first connections"
NOT_IN_TLS12 = "The client does not check its pins in TLS 1.2"
NOT_ON_HTTP2 = "The client does not check its pins on HTTP/2"
OTHER_PORT = "The client does not check its pins on another port of the host"
SPELLING = "The client finds no pins for another spelling of the host"
ADDRESS = "The client does not check its pins for IP addresses"
UNKNOWN_KEYS = "The client does not check the pins of keys of a kind that it doesn't know"
NO_CHECK = "The client connects without any check after a failed verification"
SECOND_TRY = "The client repeats a failed connection without its pins"
CLEAR_TEXT = "The client sends its request in clear text if TLS fails"
OLD = "The client accepts outdated versions of TLS"
CHANGES = "The client refuses legitimate changes of the server"
SMALL_KEY = "The client accepts a key of the server that is too small"
SMALL_GROUP = "The client accepts a group of Diffie-Hellman that is too small"
PROXY_ANSWER = "The client takes the answer of a proxy for the server's"
PROXY_CERTIFICATE = "The client does not verify the certificate of its proxy"
INSIDE_PROXY = "The client does not check its pins behind an https:// proxy"
COMPROMISED = "The client accepts keys that its pins mark compromised"


@dataclass(frozen=True)
class Hole:
    """A fault of a broken client: the cases that catch it, and a neighbouring case that passes.

    ``cause`` is the fault as certpin names it; empty if there is no finding (a warning, or a matter
    of policy). ``stall`` is the delay in seconds of slow attackers, longer than a client's own
    time-out.
    """

    cases: tuple[str, ...]
    cause: str
    neighbour: str = ROGUE
    style: Style = Style.LEAF
    tls: Literal["", "1.2", "1.3"] = ""
    stall: float = 0.1
    outcome: Outcome = Outcome.WRONG
    via: str = "port"  # how a client in Python reaches the lab
    file_only: bool = False  # whether it reads its pins from the pin file, and from nowhere else


@dataclass(frozen=True)
class Program:
    """A broken client in Go, Node.js, Dart or shell.

    ``words`` are its arguments, ``hole`` is its fault, and ``via`` is how it reaches the lab.
    """

    words: tuple[str, ...]
    hole: Hole
    via: str = "connect"


@dataclass(frozen=True)
class Way:
    """A broken client that skips its pin check only if it reaches the lab in one particular way.

    ``open`` is the way without the check, ``closed`` another way with it, and ``cause`` the fault
    as certpin names it.
    """

    cause: str
    open: str
    closed: str = "port"


MAY_SIGN = "The client does not check which certificates may sign others"
PURPOSE = "The client does not check that a certificate is meant for servers"
ALL_CONSTRAINTS = "The client does not check all name constraints of the authorities"
ADDRESS_AS_NAME = "The client looks for an IP address among the DNS names"

HOLES = {
    "pin_checked_twice": Hole(
        tuple(f"rogue-connection-{number}" for number in (3, 4, 5, 6)),
        FIRST_ONLY,
        "rogue-connection-2",
    ),
    "pin_checked_every_second_time": Hole(
        tuple(f"rogue-connection-{number}" for number in (2, 4, 6)),
        "The client does not check its pins on a part of its connections to a host",
        "rogue-connection-3",
    ),
    "websocket_unpinned": Hole(
        ("other-kind-of-connection",),
        "The client does not check its pins on connections of another kind, such as WebSockets",
        "swap-on-reconnect",
    ),
    "pins_in_tls13_only": Hole(("rogue-tls-1.2",), NOT_IN_TLS12),
    "pins_in_tls12_only": Hole(
        ("rogue-tls-1.3",), "The client does not check its pins in TLS 1.3", tls="1.2"
    ),
    "pins_in_http2_only": Hole(
        ("rogue-http-1.1", "rogue-without-alpn"), "The client does not check its pins on HTTP/1.1"
    ),
    "pins_in_http1_only": Hole(("rogue-http-2",), NOT_ON_HTTP2, "rogue-http-1.1"),
    "pins_need_alpn": Hole(
        ("rogue-without-alpn",),
        "The client does not check its pins unless a protocol is negotiated (ALPN)",
    ),
    "one_pool_of_pins": Hole(
        ("second-host-key",), "The client accepts the pins of one host for another"
    ),
    "pins_compared_in_part": Hole(("similar-pin",), "The client compares only a part of its pins"),
    "http_after_close": Hole(("closed-then-clear-text",), CLEAR_TEXT, "reset-then-clear-text"),
    "http_after_reset": Hole(("reset-then-clear-text",), CLEAR_TEXT, "closed-then-clear-text"),
    "http_after_timeout": Hole(
        ("stalled-then-clear-text",), CLEAR_TEXT, "closed-then-clear-text", stall=8
    ),
    "remembered_before_check": Hole((ROGUE, "same-ca-new-key"), SECOND_TRY, "untrusted-ca"),
    "unchecked_after_drop": Hole(("dropped-then-rogue",), SECOND_TRY, "bad-then-good"),
    "unchecked_after_timeout": Hole(
        ("slow-rogue",),
        "The client does not check its pins after a time-out",
        "dropped-then-rogue",
        stall=8,
    ),
    "other_port_unpinned": Hole(("redirect-to-other-port",), OTHER_PORT),
    "pins_by_text": Hole(
        ("rogue-trailing-dot", "rogue-upper-case", "rogue-unicode-host"), SPELLING
    ),
    "addresses_unpinned": Hole(("rogue-ipv4", "rogue-ipv6"), ADDRESS),
    "authorities_left_out": Hole(
        ("rogue-authority-as-server",),
        "The client does not check its pins if the server's certificate is an authority's",
    ),
    "length_of_the_chain": Hole(
        ("rogue-chain-as-long",),
        "The client counts the certificates of a chain, and doesn't compare their keys",
        style=Style.CA,
    ),
    "long_chains_unchecked": Hole(
        ("rogue-chain-longer",),
        "The client does not check its pins in long chains",
        "rogue-chain-as-long",
        Style.CA,
    ),
    "pin_at_position": Hole(
        ("rot-shorter-chain",),
        "The client expects its pin at a fixed position of the chain",
        "rot-backup-live",
        Style.CA,
    ),
    "unknown_keys_accepted": Hole(
        ("rogue-ed25519", "rogue-p384", "rogue-p521", "rogue-rsa-pss", "rogue-rsa-8192"),
        UNKNOWN_KEYS,
    ),
    "common_name_needed": Hole(
        ("rogue-empty-subject", "rogue-no-common-name"),
        "The client does not check its pins if the certificate has no common name",
    ),
    "large_certificates_accepted": Hole(
        ("rogue-many-names",),
        "The client does not check its pins if the certificate has many names",
    ),
    "unknown_extensions_accepted": Hole(
        ("rogue-odd-extensions",),
        "The client does not check its pins if the certificate has rare extensions",
    ),
    "extensions_needed": Hole(
        ("rogue-version-1",),
        "The client does not check its pins if the certificate has no extensions",
    ),
    "serial_number_compared": Hole(
        ("same-issuer-and-serial",),
        "The client recognises the server's certificate by its issuer and serial number",
    ),
    "root_name_compared": Hole(
        ("rogue-root-same-name",),
        "The client recognises the pinned root by its name or key identifier",
        style=Style.CA,
    ),
    "unchecked_after_no_answer": Hole(
        ("unanswered-then-rogue",),
        "The client repeats a request that got no answer without its pins",
        "dropped-then-rogue",
    ),
    "second_host_after_failure": Hole(
        ("rogue-on-both-hosts", "dropped-then-second-host"),
        "The client goes to its second host without pins if the first one fails",
    ),
    "wildcards_unchecked": Hole(
        ("rogue-wildcard",),
        "The client does not check its pins if the certificate has a wildcard, or is signed with "
        "SHA-384",
    ),
    "purposes_needed": Hole(
        ("rogue-without-purposes",),
        "The client does not check its pins if the certificate has no purposes, or expires after "
        "2049",
    ),
    "constraints_given_up": Hole(
        ("exhausting-name-constraints",),
        "The client does not check its pins in chains with many name constraints",
    ),
    "http_after_large_certificate": Hole(("exhausting-names",), CLEAR_TEXT),
    "common_name_first": Hole(
        ("cn-beside-other-san",),
        "The client reads the common name although the certificate has other names",
        "wrong-host-sibling",
        Style.NONE,
    ),
    "names_by_pattern": Hole(
        ("wrong-host-public-suffix",), "", "wrong-host-sibling", Style.NONE, outcome=Outcome.WARNING
    ),
    "constraints_of_one_authority": Hole(
        ("name-constraints-widened",),
        ALL_CONSTRAINTS,
        "name-constraints",
        Style.NONE,
    ),
    "purposes_compared_one_by_one": Hole(
        ("extended-key-usage-empty",), "", "extended-key-usage", Style.NONE, outcome=Outcome.WARNING
    ),
    "served_dates_checked": Hole(
        ("rot-cross-sign-expired", "rot-cross-signer-expired"), CHANGES, "rot-cross-signed"
    ),
    "pin_at_top": Hole(("rot-root-cross-signed-too",), CHANGES, "rot-cross-signed", Style.CA),
    "self_signed_top_needed": Hole(
        ("rot-intermediate-became-anchor",), CHANGES, "rot-root-cross-signed-too"
    ),
    "roots_by_name": Hole(("rot-roots-of-one-name",), CHANGES, "rot-root-cross-signed-too"),
    "common_name_shown": Hole(("rot-renewed-other-extensions",), CHANGES, "rot-renewed-same-key"),
    "proxy_answer_shown": Hole(
        ("proxy-answers-403", "proxy-answers-502"), PROXY_ANSWER, via="connect"
    ),
    "proxy_redirect_followed": Hole(
        ("proxy-redirects",), PROXY_ANSWER, "proxy-answers-403", via="connect"
    ),
    "proxy_given_password": Hole(
        ("proxy-asks-password",),
        "The client gives a proxy the password of a server",
        "proxy-answers-403",
        via="connect",
    ),
    "early_change_accepted": Hole(
        ("early-change-cipher-spec",),
        "The client accepts ChangeCipherSpec before the key exchange",
    ),
    "key_not_proven": Hole(
        ("stolen-certificate-tls12",),
        "The client does not check that the server has the key of its certificate",
        "stolen-certificate-tls13",
    ),
    "unchecked_if_asked": Hole(
        ("client-certificate-requested",), "The client checks only some of its connections"
    ),
    "name_up_to_nul": Hole(
        ("nul-in-name", "nul-in-common-name"),
        "The client reads a name only up to a NUL byte",
        "wrong-host-sibling",
        Style.NONE,
    ),
    "addresses_as_names": Hole(
        ("ip-without-ip-san",), ADDRESS_AS_NAME, "wrong-host-sibling", Style.NONE
    ),
    "signatures_unchecked": Hole(
        ("bad-signature-leaf", "bad-signature-intermediate"),
        "The client does not verify the signatures of certificates",
        "untrusted-ca",
    ),
    "every_certificate_signs": Hole(
        ("ca-false", "no-basic-constraints", "leaf-as-ca"),
        MAY_SIGN,
        "untrusted-ca",
        Style.NONE,
    ),
    "lax_connection_kept": Hole(
        ("pool-reuse",),
        "The client sends a request over a connection that was made without verification",
        "bad-then-good",
        Style.NONE,
    ),
    "compromised_unread": Hole(
        ("compromised-key", "compromised-intermediate"),
        COMPROMISED,
        style=Style.CA,
        file_only=True,
    ),
    "logs_unread": Hole(
        ("no-scts", "unknown-logs"),
        "The client accepts certificates that too few logs have",
        "logged",
        file_only=True,
    ),
    "http3_unpinned": Hole(
        ("http3-rogue",), "The client does not check its pins over HTTP/3", "http3-untrusted"
    ),
    "http3_unverified": Hole(
        ("http3-untrusted", "http3-rogue"),
        "The client does not verify certificates over HTTP/3",
        "untrusted-ca",
    ),
    "http3_other_roots": Hole(("rot-http3",), CHANGES, "rot-new-intermediate"),
    "https_proxy_any_certificate": Hole(
        ("https-proxy-untrusted", "https-proxy-wrong-name"),
        PROXY_CERTIFICATE,
        "https-proxy-rogue-inside",
        via="connect",
    ),
    "https_proxy_any_name": Hole(
        ("https-proxy-wrong-name",),
        "The client does not check the name in the certificate of its proxy",
        "https-proxy-untrusted",
        via="connect",
    ),
    "https_proxy_inside_unpinned": Hole(("https-proxy-rogue-inside",), INSIDE_PROXY, via="connect"),
    "https_proxy_inside_unverified": Hole(
        ("https-proxy-untrusted-inside", "https-proxy-rogue-inside"),
        "The client does not verify the host behind an https:// proxy",
        "untrusted-ca",
        via="connect",
    ),
    "security_level_0": Hole(
        ("weak-leaf-rsa-512",),
        SMALL_KEY,
        "weak-suite",
        Style.NONE,
    ),
}

_CURL = ("{ca}", "{pinnedpubkey}")
_OPENSSL = ("{endpoint}", "{host}", "{canary}", "{ca}")


def _go(cases: tuple[str, ...], cause: str, neighbour: str, style: Style = Style.LEAF) -> Program:
    return Program(("{url}",), Hole(cases, cause, neighbour, style))


def _node(
    cases: tuple[str, ...], cause: str, neighbour: str = ROGUE, style: Style = Style.LEAF
) -> Program:
    return Program(("{host}", "{port}"), Hole(cases, cause, neighbour, style), "port")


def _dart(
    cases: tuple[str, ...], cause: str, neighbour: str = ROGUE, style: Style = Style.LEAF
) -> Program:
    return Program(("{host}", "{port}", "{canary}"), Hole(cases, cause, neighbour, style), "port")


# The programs in other languages, by their file below examples/clients/broken.
PROGRAMS = {
    "go/chain_without_name.go": _go(
        ("wrong-host-sibling", "wrong-host-pinned-ca"), NO_NAME, "untrusted-ca", Style.NONE
    ),
    "go/ech_rejection_unverified.go": _go(
        ("ech-rejected-by-rogue",),
        "The client gives ECH up without verifying the server that rejects it",
        "ech-rejected-then-rogue",
    ),
    "go/ech_retry_unpinned.go": _go(
        ("ech-rejected-then-rogue",),
        "The client does not check its pins after a rejection of ECH",
        ROGUE,
    ),
    "go/first_host_only.go": _go(
        ("second-host-unpinned",), "The client checks its pins only for its first host", ROGUE
    ),
    "go/http2_unpinned.go": _go(("rogue-http-2",), NOT_ON_HTTP2, "rogue-http-1.1"),
    "go/insecure_skip_verify.go": _go(
        ("untrusted-ca", "wrong-host-sibling", "expired"), ANY, "old-tls", Style.NONE
    ),
    "go/issuer_by_name.go": _go(
        ("same-ca-new-key",), "The client accepts every certificate of the pinned authority", ROGUE
    ),
    "go/known_keys.go": _go(
        ("rogue-ed25519", "rogue-p384", "rogue-p521", "rogue-rsa-8192"), UNKNOWN_KEYS, ROGUE
    ),
    "go/old_versions.go": _go(("old-tls",), OLD, "untrusted-ca", Style.NONE),
    "go/pin_among_raw_certificates.go": _go(("pinned-leaf-appended",), SERVED, ROGUE),
    "go/pin_without_verification.go": _go(("wrong-host-sibling", "expired"), ONLY_PINS, ROGUE),
    "go/served_root_trusted.go": _go(
        ("untrusted-ca", "self-signed"),
        "The client accepts certificates of authorities that it doesn't trust",
        "wrong-host-sibling",
        Style.NONE,
    ),
    "go/triple_des.go": Program(
        ("{url}",),
        Hole(("suite-3des",), "", "weak-suite", Style.NONE, outcome=Outcome.TOLD),
    ),
    "node/http_after_error.mjs": _node(("reset-then-clear-text",), CLEAR_TEXT),
    "node/name_by_substring.mjs": _node(
        ("wrong-host-wildcard-below",),
        "The client lets a wildcard or a part of a name match other hosts",
        "wrong-host-sibling",
        Style.NONE,
    ),
    "node/pin_in_answer.mjs": _node(("leak-before-check",), TOO_LATE, "untrusted-ca"),
    "node/pin_replaces_name.mjs": _node(
        ("wrong-host-sibling", "wrong-host-pinned-ca"), NO_NAME, "untrusted-ca", Style.CA
    ),
    "node/pinned_in_tls13.mjs": _node(("rogue-tls-1.2",), NOT_IN_TLS12),
    "node/pins_by_text.mjs": Program(
        ("{host}", "{port}", "api.bank.example"), Hole(("rogue-upper-case",), SPELLING), "port"
    ),
    "node/redirect_unpinned.mjs": _node(("redirect-to-other-port",), OTHER_PORT),
    "node/reject_unauthorized.mjs": _node(
        ("untrusted-ca", "wrong-host-sibling", "expired"), ANY, "old-tls", Style.NONE
    ),
    "node/tunnel_unpinned.mjs": Program(
        ("{host}",), Hole(("https-proxy-rogue-inside",), INSIDE_PROXY)
    ),
    "node/without_backup.mjs": _node(
        ("rot-backup-live",), "The client refuses the backup key", "rot-renewed-same-key"
    ),
    "dart/any_certificate.dart": _dart(
        ("untrusted-ca", "wrong-host-sibling", "expired"), ANY, "old-tls", Style.NONE
    ),
    "dart/certificate_as_pin.dart": _dart(
        ("rot-renewed-same-key",), "The client pins the certificate, and not its key"
    ),
    "dart/expired_allowed.dart": _dart(
        ("expired",),
        "The client does not check the dates of certificates",
        "untrusted-ca",
        Style.NONE,
    ),
    "dart/first_connection_only.dart": _dart(
        ("swap-on-reconnect", "rogue-connection-2"), FIRST_ONLY
    ),
    "dart/issuer_by_name.dart": _dart(
        ("fake-ca-same-name", "fake-ca-genuine-shown"),
        "The client recognises an authority by its name, and not by its key",
        "untrusted-ca",
        Style.NONE,
    ),
    "dart/pin_after_answer.dart": _dart(("leak-before-check",), TOO_LATE, "untrusted-ca"),
    "dart/pin_in_callback_only.dart": _dart(
        (ROGUE, "wrong-host-sibling", "expired"),
        "The client compares pins only for certificates that TLS refuses",
        "untrusted-ca",
    ),
    "dart/unpinned_after_failure.dart": _dart(("dropped-then-rogue",), SECOND_TRY),
    "address_unpinned.sh": Program(
        ("{host}", "{url}", *_CURL), Hole(("rogue-ipv4", "rogue-ipv6"), ADDRESS)
    ),
    "curl_any_cipher.sh": Program(
        ("{url}", "{ca}"),
        Hole(
            ("weak-suite",),
            "The client accepts connections without encryption or without a certificate",
            "untrusted-ca",
            Style.NONE,
        ),
    ),
    "curl_pin_without_verification.sh": Program(
        ("{url}", *_CURL), Hole(("wrong-host-sibling", "expired"), ONLY_PINS)
    ),
    "gnutls_small_group.sh": Program(
        ("{address}", "{port}", "{host}", "{canary}", "{ca}"),
        Hole(("dh-512",), SMALL_GROUP, "weak-suite", Style.NONE),
        "port",
    ),
    "curl_proxy_insecure.sh": Program(
        ("{url}", *_CURL),
        Hole(
            ("https-proxy-untrusted", "https-proxy-wrong-name"),
            PROXY_CERTIFICATE,
            "https-proxy-rogue-inside",
        ),
    ),
    "http_after_failure.sh": Program(
        ("{host}", "{canary}", *_CURL),
        Hole(("closed-then-clear-text", "reset-then-clear-text"), CLEAR_TEXT),
    ),
    "insecure_after_failure.sh": Program(
        ("{url}", *_CURL), Hole(("untrusted-ca", "wrong-host-sibling", "expired"), NO_CHECK)
    ),
    "openssl_then_curl.sh": Program(
        ("{endpoint}", "{host}", "{url}", "{ca}", "{pin}", "{backup}"),
        Hole(("swap-on-reconnect", "rogue-connection-2"), FIRST_ONLY),
        "port",
    ),
    "openssl_verify_ignored.sh": Program(
        _OPENSSL,
        Hole(
            ("untrusted-ca", "wrong-host-sibling", "expired"),
            ANY,
            "plain-http-on-443",
            Style.NONE,
        ),
        "port",
    ),
    "openssl_without_name.sh": Program(
        _OPENSSL,
        Hole(("wrong-host-sibling", "wrong-host-pinned-ca"), NO_NAME, "untrusted-ca", Style.NONE),
        "port",
    ),
    "pinned_three_times.sh": Program(
        ("{url}", *_CURL), Hole(("rogue-connection-4",), FIRST_ONLY, "rogue-connection-3")
    ),
    "unpinned_after_failure.sh": Program(
        ("{url}", *_CURL), Hole(("dropped-then-rogue",), SECOND_TRY, "bad-then-good")
    ),
    "wget_any_purpose.sh": Program(
        ("{url}", "{ca}"), Hole(("extended-key-usage",), PURPOSE, "ca-false", Style.NONE)
    ),
    "wget_no_check.sh": Program(
        ("{url}",),
        Hole(
            ("untrusted-ca", "wrong-host-sibling", "expired"),
            ANY,
            "plain-http-on-443",
            Style.NONE,
        ),
    ),
    "wget_old_versions.sh": Program(
        ("{url}", "{ca}"), Hole(("old-tls",), OLD, "untrusted-ca", Style.NONE)
    ),
}
# Requests in one way have no pins: several ways in one run show it.
BY_WAY = {
    "unpinned_behind_proxy.sh": Way(
        "The client does not check its pins through an HTTP proxy", "connect"
    ),
    "unpinned_behind_socks.sh": Way(
        "The client does not check its pins through a SOCKS5 proxy", "socks5"
    ),
    "unpinned_without_proxy.sh": Way(
        "The client does not check its pins on direct connections", "port", "connect"
    ),
}

WILDCARD = "The client lets a wildcard or a part of a name match other hosts"
POSITION = "The client expects its pin at a fixed position of the chain"
CONSTRAINTS = "The client does not check its pins in chains with many name constraints"

BY_HAND = {
    *(CHANGES, POSITION, MAY_SIGN, PURPOSE, SERVED, SMALL_KEY),
    ADDRESS_AS_NAME,
    "The client refuses an honest server (ipv6-san)",
}

# The further faults of a client on the whole matrix, beside the one that it is named after. Clients
# that are given pins, and no compromised keys, can't refuse those.
ALSO = {
    # Its first client checks the pins, and the second one, which has another ClientHello, doesn't.
    "openssl_then_curl.sh": {
        "The client does not check its pins on connections of another kind, such as WebSockets"
    },
    "websocket_unpinned.py": {FIRST_ONLY},  # its WebSocket is its second connection
    "pins_need_alpn.py": {NOT_ON_HTTP2},  # it compares pins for HTTP/1.1 only
    # OpenSSL's security level 0 allows these. GnuTLS allows old versions by default.
    "curl_any_cipher.sh": {OLD, SMALL_KEY},
    "gnutls_small_group.sh": {OLD},
    "wget_no_check.sh": {OLD},
    "wget_old_versions.sh": {PURPOSE},  # GnuTLS needs a purpose to compare, and wget gives none
    # Each of these judges the served chain by other things than the keys of the verified path.
    "length_of_the_chain.py": {CONSTRAINTS, SERVED, CHANGES, POSITION},
    "pin_at_position.py": {CHANGES},
    "go/issuer_by_name.go": {
        CHANGES,
        POSITION,
        "The client does not ensure that a chain cleaner follows signatures, not names",
    },
    "node/pin_replaces_name.mjs": {CHANGES, POSITION},
    # The similar pin is that of an RSA key with a long exponent, so that its header is another.
    "unknown_keys_accepted.py": {"The client compares only a part of its pins"},
    "large_certificates_accepted.py": {CONSTRAINTS},  # such a certificate is large too
    # They check one thing less, and verify the path by hand too.
    "signatures_unchecked.py": {*BY_HAND, ALL_CONSTRAINTS},
    "every_certificate_signs.py": {*BY_HAND, ALL_CONSTRAINTS},
    "logs_unread.py": {COMPROMISED},
    # These verify the path by hand, without its purposes, path lengths, order and addresses.
    "constraints_of_one_authority.py": BY_HAND,
    "purposes_compared_one_by_one.py": {
        *BY_HAND,
        ALL_CONSTRAINTS,
    },
    # These compare all names as text, and addresses too.
    "common_name_first.py": {ADDRESS_AS_NAME},
    "names_by_pattern.py": {WILDCARD, "The client refuses an honest server (ipv6-san)"},
    "go/first_host_only.go": {SPELLING, ADDRESS},  # these are other hosts for it
    "node/pins_by_text.mjs": {ADDRESS},
}
# tls.checkServerIdentity of Node.js accepts a wildcard within an internationalised name.
IN_NODE = {WILDCARD}
# The TLS library of Dart (BoringSSL) verifies certificates with RSA keys of 512 bits.
IN_DART = {SMALL_KEY}
