"""SMTP: STARTTLS (RFC 3207), offered in the reply to EHLO (RFC 5321 4.1.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.probe.starttls.dialogue import Protocol, quote
from certpin.probe.starttls.replies import smtp_reply

if TYPE_CHECKING:
    from certpin.probe.starttls.dialogue import Steps, Wire

_REPLY_LIMIT = 512  # octets with code and CRLF, RFC 5321 4.5.3.1.5
# A client without a host name sends an address literal (RFC 5321 4.1.4), as smtplib does.
_EHLO = b"EHLO [127.0.0.1]\r\n"


def _script(wire: Wire) -> Steps[None]:
    greeting = yield from smtp_reply(wire, _REPLY_LIMIT)
    if greeting.code != 220:
        wire.raise_connection_declined(f"declined the connection: {greeting}")
    wire.send(_EHLO)
    offer = yield from smtp_reply(wire, _REPLY_LIMIT)
    if offer.code != 250:
        wire.raise_tls_declined(f"declined EHLO: {offer}")
    # The first line is the server's name, the others are one keyword each with its parameters.
    keywords = {line.split(b" ")[0].upper() for line in offer.lines[1:]}
    if b"STARTTLS" not in keywords:
        wire.raise_tls_declined(
            f"does not offer STARTTLS, only {quote(b' '.join(sorted(keywords)))}"
        )
    wire.send(b"STARTTLS\r\n")
    answer = yield from smtp_reply(wire, _REPLY_LIMIT)
    if answer.code != 220:
        wire.raise_tls_declined(f"declined STARTTLS: {answer}")


SMTP = Protocol("smtp", _script, port=25, tls_port=465)
