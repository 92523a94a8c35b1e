"""Convert certificates in reports between PEM and DER: strict, bounded and fast.

X.509 is not parsed here. A collector receives thousands of reports a second; a chain is parsed when
it is displayed.
"""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# OpenSSL verifies chains of up to 100 certificates by default. Chains on the web have 2 to 5
# certificates, and the longest ones of certpin's lab have 12.
MAX_CHAIN = 20

# The certificates with the most names, those of content delivery networks, have 8 kB. Key and
# signature of ML-DSA-87 add 7.2 kB (FIPS 204, table 2).
MAX_DER = 16 * 1024

_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"
_FROM, _TO = len(_BEGIN), -len(_END)
_LINE = 64  # RFC 7468 section 2

# Base64 has four letters for three bytes, and no writer breaks lines after fewer than 16 letters.
MAX_PEM = MAX_DER * 4 // 3 * 9 // 8 + 64

# Clients of one app report the same few certificates. The cache is bounded in entries and in their
# length: 2 MB, or 5 MB if an attacker fills it with text that is no certificate.
_CACHE_ENTRIES, _MAX_CACHED = 256, 4096

# X.690 8.1.3: a SEQUENCE with a length of two bytes, or one. A certificate has at least 128
# bytes, because the signature has at least 64.
_LONG, _SHORT = b"\x30\x82", b"\x30\x81"


def der_of(text: str) -> bytes | None:
    """Return the DER of a text that is exactly one PEM certificate, else ``None``.

    Checked: strict base64, and one SEQUENCE that ends with the data. Not checked: its content.
    """
    return _cached(text) if len(text) <= _MAX_CACHED else _read(text)


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


_cached = lru_cache(_CACHE_ENTRIES)(_read)


def _is_one_sequence(der: bytes) -> bool:
    if der[:2] == _LONG:
        return len(der) == int.from_bytes(der[2:4], "big") + 4
    return der[:2] == _SHORT and len(der) == int.from_bytes(der[2:3], "big") + 3


def pem_of(der: bytes) -> str:
    """Return a DER certificate as PEM, with lines of 64 letters (RFC 7468)."""
    text = b2a_base64(der, newline=False).decode("ascii")
    lines = (text[at : at + _LINE] for at in range(0, len(text), _LINE))
    return "\n".join((_BEGIN, *lines, _END, ""))


def pems_of(chain: Iterable[bytes]) -> list[str]:
    """Return a chain of DER certificates as a list of PEM blocks (RFC 7469 section 3)."""
    return [pem_of(der) for der in chain]
