"""IMAP: the STARTTLS command (RFC 9051 6.2.1, RFC 3501 6.2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.probe.starttls.dialogue import Protocol, quote

if TYPE_CHECKING:
    from certpin.probe.starttls.dialogue import Steps, Wire

_TAG = b"A1"


def _script(wire: Wire) -> Steps[None]:
    greeting = yield from wire.line()
    star, status = _words(greeting)
    if (star, status) == (b"*", b"PREAUTH"):
        # STARTTLS is impossible once authenticated, and an attacker can say PREAUTH to keep a
        # client from using TLS (CVE-2014-2567, CVE-2020-12398).
        wire.raise_tls_declined("greets with PREAUTH, which rules out TLS")
    if (star, status) == (b"*", b"BYE"):
        wire.raise_connection_declined(f"declined the connection: {quote(greeting)}")
    if (star, status) != (b"*", b"OK"):
        wire.raise_garbled(f"sent something else than an IMAP greeting: {quote(greeting)}")
    wire.send(_TAG + b" STARTTLS\r\n")
    yield from _expect_ok(wire)


def _expect_ok(wire: Wire) -> Steps[None]:
    """Read the server's answer to STARTTLS. Raise ``StartTLSError`` unless the answer is OK.

    ``wire`` is the connection to the server. Untagged lines before the answer are skipped (RFC 9051
    7).
    """
    while True:
        line = yield from wire.line()
        tag, status = _words(line)
        if (tag, status) == (_TAG, b"OK"):
            return
        if tag == _TAG or (tag, status) == (b"*", b"BYE"):
            wire.raise_tls_declined(f"declined STARTTLS: {quote(line)}")
        if tag != b"*":
            wire.raise_garbled(f"sent a line that is not an answer: {quote(line)}")


def _words(line: bytes) -> tuple[bytes, bytes]:
    """Return the first two words of a line (tag and status), the second one in upper case."""
    first, _, rest = line.partition(b" ")
    return first, rest.split(b" ")[0].upper()


IMAP = Protocol("imap", _script, port=143, tls_port=993)
