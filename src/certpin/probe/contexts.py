"""Contexts that verify, one for each set of trust anchors."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import TYPE_CHECKING

from certpin.probe.dial import probe_context

if TYPE_CHECKING:
    from certpin.pins import TrustAnchors

_KEPT = 64  # contexts; each holds its anchors, which may have come over a network


class Contexts:
    """Makes each context once: to read the platform's roots takes a while. Threads may share it.

    Whoever lives long makes a new one now and then: the platform's roots change.
    """

    def __init__(self) -> None:
        self.of = lru_cache(maxsize=_KEPT)(context_for)


def context_for(trust: TrustAnchors | None) -> ssl.SSLContext:
    """The context that verifies against these anchors alone, or the platform's roots."""
    return probe_context(_pem(trust), strict=trust.strict if trust else None)


def _pem(trust: TrustAnchors | None) -> str | None:
    return "".join(map(ssl.DER_cert_to_PEM_cert, trust.der)) if trust else None
