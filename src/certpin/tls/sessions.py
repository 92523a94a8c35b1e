"""Which TLS sessions may be resumed: those that this context verified, for that very host.

A resumed session carries no chain (RFC 8446 section 2.2), so that OpenSSL verifies no chain, no
name and no date. Sessions that were confused between hosts have let attackers in (CVE-2021-22890).
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from certpin.errors import CertificateParseError
from certpin.x509 import Chain

if TYPE_CHECKING:
    import ssl
    from datetime import datetime

    from certpin.tls.state import Target

_KEPT = 256


class _Verified(NamedTuple):
    session: ssl.SSLSession
    target: Target
    chain: tuple[bytes, ...]


class SessionMemory:
    """What was verified when a session was made; the oldest of 256 are forgotten.

    Sessions are told apart by identity: their ids are chosen by servers, who may lie.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._verified: OrderedDict[int, _Verified] = OrderedDict()

    def remember(self, session: ssl.SSLSession, target: Target, chain: tuple[bytes, ...]) -> None:
        """Note that this session came from a connection to this target, verified by this chain."""
        with self._lock:
            self._verified[id(session)] = _Verified(session, target, chain)
            while len(self._verified) > _KEPT:
                self._verified.popitem(last=False)

    def recall(
        self, session: ssl.SSLSession, target: Target, now: datetime
    ) -> tuple[bytes, ...] | None:
        """The chain that was verified for this session and target; ``None``: do not resume.

        A host has another target under another version of the pin set. A chain with a certificate
        past its date, or with one whose date cannot be read, is not verified any more.
        """
        known = self._verified.get(id(session))
        if known is None or known.session is not session or known.target is not target:
            return None
        return known.chain if _in_time(known.chain, now) else None


def _in_time(chain: tuple[bytes, ...], now: datetime) -> bool:
    try:
        certificates = Chain.from_der(chain).certificates
        return all(now <= certificate.not_after for certificate in certificates)
    except CertificateParseError:
        return False
