"""The context in which a connection is reported: its host, the client's pins, roots and clock."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from certpin.errors import HostError
from certpin.lab.report.flaws import ChainContext
from certpin.lab.scenario import Opening
from certpin.pins import Pin

if TYPE_CHECKING:
    from certpin.lab.evidence import Attempt, Connection
    from certpin.lab.runner import Result, Run
    from certpin.pins import HostPin

# The openings after which the server sends no certificate.
_NO_TLS = {Opening.PLAIN, Opening.STRIP}


def served(seen: Connection) -> tuple[bytes, ...]:
    """Return the chain that a connection received, as DER; empty if it received none.

    A resumed session has no certificates (RFC 8446 section 2.2).
    """
    if seen.step is None or seen.hello is None or seen.resumed or seen.step.opening in _NO_TLS:
        return ()
    return seen.step.chain


def chain_context(run: Run, result: Result, attempt: Attempt, seen: Connection) -> ChainContext:
    """Return the facts against which the chain of this connection is checked for flaws."""
    host = requested_host(attempt, seen)
    started = run.about.started
    return ChainContext(
        host,
        run.about.trusted,
        pinned(attempt, host),
        started + result.case.clock if started else None,
        _leaf_key(seen.step.key_pem) if seen.step else "",
    )


def requested_host(attempt: Attempt, seen: Connection) -> str:
    """Return the host that the client requested on a connection; always one of those under test.

    If the client sent another name or none, return the first host under test.
    """
    said = (seen.hello.server_name if seen.hello else "") or seen.target
    return said if said in attempt.hosts else next(iter(attempt.hosts), "")


def pinned(attempt: Attempt, host: str) -> tuple[HostPin, ...]:
    """Return the pins that the client has for a host."""
    try:
        policy = attempt.pins.policy_for(host) if attempt.pins else None
    except HostError:
        return ()
    return policy.pins if policy else ()


@lru_cache(maxsize=1024)
def _leaf_key(key_pem: bytes) -> str:
    """Return the pin of the key that signed the handshake, which need not be the leaf's."""
    if not key_pem:
        return ""
    try:
        public = load_pem_private_key(key_pem, None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return ""  # a forged key that can't be parsed
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return str(Pin.of_key(hashlib.sha256(spki).digest()))
