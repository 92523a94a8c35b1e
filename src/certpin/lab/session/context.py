"""An OpenSSL context for an act: whatever chain, key, versions and ciphers it wants."""

from __future__ import annotations

import ssl
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.lab.case import CannotServeError

if TYPE_CHECKING:
    from certpin.lab.script import Act, Settings

# The lab must be able to serve what nobody should: short keys, SHA-1 (SSL_CTX_set_security_level).
_LAX = ":@SECLEVEL=0"


def act_context(act: Act, alpn: tuple[str, ...]) -> ssl.SSLContext:
    """The context that serves an act, and offers these protocols of ALPN.

    Raises ``CannotServeError`` where this machine's OpenSSL will not.
    """
    return _context(act.chain, act.key_pem, act.settings, alpn)


@lru_cache(maxsize=256)  # acts of one case share it: so do the tickets of their sessions
def _context(
    chain: tuple[bytes, ...], key_pem: bytes, settings: Settings, alpn: tuple[str, ...]
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 and 1.1: that is the point
        context.minimum_version = ssl.TLSVersion[settings.oldest]
        context.maximum_version = ssl.TLSVersion[settings.newest]
    if settings.asks_certificate:
        context.verify_mode = ssl.CERT_OPTIONAL
    try:
        context.set_ciphers((settings.ciphers or "DEFAULT") + _LAX)
        if chain:
            _load(context, chain, key_pem)
    except ssl.SSLError as exc:
        raise CannotServeError(f"this machine's OpenSSL will not serve it: {exc.reason}") from exc
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _load(context: ssl.SSLContext, chain: tuple[bytes, ...], key_pem: bytes) -> None:
    """The key touches the disk only in passing, where nobody else may read it."""
    with tempfile.TemporaryDirectory(prefix="certpin-lab-") as folder:
        certificates, key = Path(folder, "chain.pem"), Path(folder, "key.pem")
        certificates.write_text("".join(map(ssl.DER_cert_to_PEM_cert, chain)), encoding="ascii")
        key.touch(mode=0o600)
        key.write_bytes(key_pem)
        context.load_cert_chain(certificates, key)
