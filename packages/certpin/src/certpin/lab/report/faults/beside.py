"""Faults (mistakes) of a client outside its pin checks, or by which it refuses honest servers."""

from __future__ import annotations

from certpin.lab.case import Family
from certpin.lab.report.faults import remedies
from certpin.lab.report.faults.model import (
    PROXY_ANSWERS,
    ROGUE,
    Fault,
    hole,
    in_clear,
    locked_out,
    named,
    of,
)

_CLEAR_TEXT = (
    *("plain-http-on-443", "closed-then-clear-text"),
    *("reset-then-clear-text", "stalled-then-clear-text"),
)
# The answers of a proxy that ask for nothing.
_TUNNELS = PROXY_ANSWERS[:-1]
_UNPROTECTED = ("anonymous", "weak-suite")

IN_CLEAR_TEXT = (
    Fault(
        "The client sends its request in clear text if TLS fails",
        "let the request fail: remove the code that repeats it with http://, or sends it to a "
        "proxy without a tunnel (CONNECT), and forbid clear text (usesCleartextTraffic, "
        "ConnectionSpec.CLEARTEXT, App Transport Security)",
        remedies.NO_CLEAR_TEXT,
        (*_CLEAR_TEXT, "exhausting-names", ROGUE),
        lambda seen: seen.failed(*_CLEAR_TEXT) or seen.in_clear_text,
        lambda result: named(*_CLEAR_TEXT)(result) or in_clear(result),
    ),
)
BESIDE_PINS = (
    Fault(
        "The client gives a proxy the password of a server",
        "give each password to the server that it belongs to, and none to a proxy that asks",
        remedies.PROXY_PASSWORD,
        ("proxy-asks-password", "proxy-answers-403", ROGUE),
        lambda seen: seen.failed("proxy-asks-password") and not seen.failed(*_TUNNELS),
        named("proxy-asks-password"),
    ),
    Fault(
        "The client takes the answer of a proxy for the server's",
        "treat each answer to CONNECT other than 2xx as a failed connection: don't show it, don't "
        "follow it, and don't repeat the request without a tunnel",
        remedies.PROXY_ANSWER,
        (*PROXY_ANSWERS[:1], "proxy-redirects", ROGUE),
        lambda seen: seen.failed(*PROXY_ANSWERS),
        named(*PROXY_ANSWERS),
    ),
    hole(
        "The client does not verify the certificate of its proxy",
        "verify the chain and the name of an https:// proxy before the request for a tunnel (for "
        "curl: remove --proxy-insecure)",
        remedies.PROXY_TLS,
        ("https-proxy-untrusted",),
        "https-proxy-rogue-inside",
        also=("https-proxy-wrong-name",),
        by_pins=False,
    ),
    hole(
        "The client does not check the name in the certificate of its proxy",
        "compare it with the host in the URL of the proxy",
        remedies.PROXY_TLS,
        ("https-proxy-wrong-name",),
        "https-proxy-untrusted",
        by_pins=False,
    ),
    hole(
        "The client does not verify the host behind an https:// proxy",
        "verify the host inside the TLS to the proxy as on a direct connection, with its pins",
        remedies.INSIDE_PROXY,
        ("https-proxy-untrusted-inside",),
        "untrusted-ca",
        also=("https-proxy-rogue-inside",),
        by_pins=False,
    ),
    hole(
        "The client does not check its pins behind an https:// proxy",
        "compare the pins of the host inside the TLS to the proxy, and not with the proxy's "
        "certificate",
        remedies.INSIDE_PROXY,
        ("https-proxy-rogue-inside",),
    ),
    hole(
        "The client gives ECH up without verifying the server that rejects it",
        "let the request fail if the certificate for the public name is invalid: otherwise an "
        "attacker on the path learns the name of the host",
        remedies.ECH,
        ("ech-rejected-by-rogue",),
        "ech-rejected-then-rogue",
        by_pins=False,
    ),
    Fault(
        "The client accepts keys that its pins mark compromised",
        "look for compromised keys on the whole verified path, before any pin is compared, and "
        "refuse the connection if there is one",
        remedies.COMPROMISED,
        ("compromised-key", "compromised-intermediate", ROGUE),
        lambda seen: seen.failed("compromised-key", "compromised-intermediate"),
        of(Family.COMPROMISED),
    ),
    Fault(
        "The client accepts certificates that too few logs have",
        "let the pin file name the list of logs (ct_logs), and set require_ct for the host",
        remedies.TRANSPARENCY,
        ("no-scts", "unknown-logs", "logged"),
        lambda seen: seen.failed("no-scts", "unknown-logs"),
        of(Family.TRANSPARENCY),
    ),
    Fault(
        "The client accepts connections without encryption or without a certificate",
        "leave the list of cipher suites to the TLS library",
        remedies.VERSION,
        (*_UNPROTECTED, "untrusted-ca"),
        lambda seen: seen.failed(*_UNPROTECTED),
        named(*_UNPROTECTED),
    ),
    Fault(
        "The client accepts outdated versions of TLS",
        "require TLS 1.2 or newer (RFC 8996)",
        remedies.VERSION,
        ("old-tls", "anonymous", "untrusted-ca"),
        lambda seen: seen.failed("old-tls"),
        named("old-tls"),
    ),
    Fault(
        "The client accepts a key of the server that is too small",
        "leave the security level and the list of cipher suites to the TLS library",
        remedies.VERSION,
        ("weak-leaf-rsa-512", "weak-suite", "untrusted-ca"),
        lambda seen: seen.failed("weak-leaf-rsa-512"),
        named("weak-leaf-rsa-512"),
    ),
    Fault(
        "The client accepts a group of Diffie-Hellman that is too small",
        "allow suites with ECDHE only, or leave the minimum of the group to the TLS library",
        remedies.GROUP,
        ("dh-512", "weak-suite", "untrusted-ca"),
        lambda seen: seen.failed("dh-512"),
        named("dh-512"),
    ),
    Fault(
        "The client accepts ChangeCipherSpec before the key exchange",
        "update the TLS library, or replace your own: ChangeCipherSpec is an error before the "
        "messages of the key exchange",
        remedies.LIBRARY,
        ("early-change-cipher-spec", ROGUE, "untrusted-ca"),
        lambda seen: seen.failed("early-change-cipher-spec"),
        named("early-change-cipher-spec"),
    ),
)
LOCKED_OUT = (
    Fault(
        "The client pins the certificate, and not its key",
        "pin the SHA-256 of the key (SubjectPublicKeyInfo): it stays the same in a renewed "
        "certificate",
        remedies.KEY,
        ("rot-renewed-same-key", "rot-backup-live", ROGUE),
        lambda seen: seen.failed("rot-renewed-same-key"),
        lambda result: locked_out(result) and result.case.family is Family.ROTATION,
    ),
    Fault(
        "The client refuses the backup key",
        "give it the backup pin too, and test that it accepts it: otherwise the loss of the first "
        "key locks it out",
        remedies.BACKUP,
        ("rot-backup-live", "rot-renewed-same-key"),
        lambda seen: seen.failed("rot-backup-live"),
        named("rot-backup-live", "rot-dual-rsa"),
    ),
    Fault(
        "The client expects its pin at a fixed position of the chain",
        "compare the pins with each certificate of the verified path",
        remedies.VERIFIED_PATH,
        ("rot-shorter-chain", "rot-renewed-same-key", "rot-backup-live"),
        lambda seen: seen.failed("rot-shorter-chain"),
        named("rot-shorter-chain", "rot-cross-signed", "rot-new-intermediate", "rot-dual-rsa"),
    ),
    Fault(
        "The client refuses legitimate changes of the server",
        "compare the pins with each certificate of the verified path, whatever its position, its "
        "issuer or the order in which the server sent them",
        remedies.VERIFIED_PATH,
        ("rot-new-intermediate", "rot-order-reordered", "rot-dual-ecdsa"),
        lambda seen: True,
        lambda result: locked_out(result) and result.case.family is Family.ROTATION,
    ),
)
