"""Certificates as PEM, the way reports carry them: strict, bounded and fast.

Nothing of X.509 is read here. A collector takes thousands of reports a second; who looks at a chain
reads it then, and finds out what it is worth.
"""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# The longest chain that OpenSSL verifies by default has 100 certificates; those of the web have 2
# to 5, and the longest of the private authorities that certpin's lab makes have 12.
MAX_CHAIN = 20

# The certificates with the most names, those of content networks, have 8 kB; ML-DSA-87 with its
# key and its signature adds 7.2 kB to any (FIPS 204, table 2).
MAX_DER = 16 * 1024

_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"
_FROM, _TO = len(_BEGIN), -len(_END)
_LINE = 64  # RFC 7468 section 2

# Base64 has four letters for three bytes, and nobody breaks lines after fewer than 16 letters.
MAX_PEM = MAX_DER * 4 // 3 * 9 // 8 + 64

# Clients of one app meet the same few certificates. What is remembered is bounded, in length too:
# 2 MB, or 5 where somebody fills it with what is none. That makes it slower, and nothing else.
_REMEMBERED, _LONGEST = 256, 4096

# X.690 8.1.3: a SEQUENCE whose length takes two bytes, and one. None has less than 128 bytes: a
# signature alone has 64 and more.
_LONG, _SHORT = b"\x30\x82", b"\x30\x81"


def der_of(text: str) -> bytes | None:
    """The certificate of a text that is exactly one PEM block; ``None`` if it is anything else.

    Checked: base64 without foreign letters, and one SEQUENCE that ends where the bytes end. Not
    checked: what is in it.
    """
    return _remembered(text) if len(text) <= _LONGEST else _read(text)


def _read(text: str) -> bytes | None:
    text = text.strip()
    if len(text) > MAX_PEM or not (text.startswith(_BEGIN) and text.endswith(_END)):
        return None
    body = text[_FROM:_TO].replace("\r\n", "").replace("\n", "")
    try:
        der = a2b_base64(body, strict_mode=True)
    except (Error, ValueError):
        return None
    return der if len(der) <= MAX_DER and _is_one_sequence(der) else None


_remembered = lru_cache(_REMEMBERED)(_read)


def _is_one_sequence(der: bytes) -> bool:
    if der[:2] == _LONG:
        return len(der) == int.from_bytes(der[2:4], "big") + 4
    return der[:2] == _SHORT and len(der) == int.from_bytes(der[2:3], "big") + 3


def pem_of(der: bytes) -> str:
    """A certificate as PEM, with lines of 64 letters (RFC 7468)."""
    text = b2a_base64(der, newline=False).decode("ascii")
    lines = (text[at : at + _LINE] for at in range(0, len(text), _LINE))
    return "\n".join((_BEGIN, *lines, _END, ""))


def pems_of(chain: Iterable[bytes]) -> list[str]:
    """A chain, one PEM block a certificate, as RFC 7469 section 3 has it."""
    return [pem_of(der) for der in chain]
