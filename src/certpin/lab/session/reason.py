"""Why OpenSSL gave up, in its own words: Python's table of them is older than many an OpenSSL."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


def reason_of(exc: ssl.SSLError) -> str:
    """The reason as OpenSSL names it: ``TLSV1_ALERT_UNKNOWN_CA``.

    An error that is Python's own, or that its table lacks, has its words in the message alone:
    ``[SSL] record layer failure (_ssl.c:2580)``.
    """
    known: str | None = getattr(exc, "reason", None)
    if known:
        return known
    words = str(exc.args[-1] if exc.args else "").rpartition("] ")[2]
    return words.partition(" (_ssl.c")[0].strip(" .").upper().replace(" ", "_")
