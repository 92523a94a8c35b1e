"""What a scan is told and what it tells: limits and sightings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from certpin.errors import ProbeError
    from certpin.probe.endpoint import Endpoint
    from certpin.x509 import Chain


@dataclass(frozen=True, slots=True)
class Limits:
    """What a scan may use.

    ``window`` hosts are under way at once, from 1. Times are seconds: an attempt may take
    ``timeout``, the name and all, and ``pause`` lies between two. So each host has ended after
    ``(retries + 1) * timeout + retries * pause``, less what the caller takes.
    """

    window: int = 256
    timeout: float = 5.0
    retries: int = 1
    pause: float = 1.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one server answered, or in ``error`` why there is no answer.

    ``served`` is what it sent, of which nothing is proven. ``verified`` is the path that OpenSSL
    built from it, leaf to root, or None; where OpenSSL refused, ``refusal`` has its words and
    ``code`` its number. A server
    that fails after it sent its chain (it wants a client certificate, say) has both ``served`` and
    ``error``, and nothing is said of trust. ``address`` is the one of the last attempt, empty where
    the name has none. ``seconds`` run from the begin of the first attempt.
    """

    endpoint: Endpoint
    address: str
    attempts: int
    seconds: float
    tls: str = ""
    served: Chain | None = None
    verified: Chain | None = None
    refusal: str = ""
    error: ProbeError | None = None
    code: int = 0
