"""Whether an authority issued a chain for a host: the one thing of a report that nobody can invent.

A client tells which chain it met, and could tell anything. But a path of good signatures to a root
of this machine, or of the host's own anchors, can only be told by who has it, and then an authority
has issued a certificate for this host with a key that nobody pinned. That is worth waking somebody
for, however few tell it.

Not checked: revocation, Certificate Transparency, and that anybody used it. Old certificates of the
host stand in public logs; one that is valid still, and that no vantage saw, can be sent by anybody.
"""

from __future__ import annotations

import ipaddress
import warnings
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from certpin.watch.facts.issuer import public_roots

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.x509 import Certificate, DNSName, IPAddress
    from cryptography.x509.verification import Store

    from certpin.pins import HostPolicy

_LONGEST = 6  # certificates of a path: those of the web have three or four
# Chains whose verdict is kept, which is three times what one look asks for. Each is kept with it,
# and has 200 kB where whoever sent it likes.
REMEMBERED = 1000


def roots_of(policy: HostPolicy | None) -> tuple[bytes, ...]:
    """The roots that clients verify this host against, as far as this machine knows: DER."""
    if policy is not None and policy.trust is not None:
        return policy.trust.der
    return public_roots()


def is_vouched_for(
    chain: tuple[bytes, ...], host: str, roots: tuple[bytes, ...], now: datetime
) -> bool:
    """Whether the chain leads from a certificate for this host to one of the roots. Raises nothing.

    Signatures, names, dates and constraints are checked (RFC 5280, CA/Browser Forum). Dates are
    looked at by the hour: chains come again and again.
    """
    return _is_vouched_for(chain, host, roots, now.replace(minute=0, second=0, microsecond=0))


@lru_cache(maxsize=REMEMBERED)
def _is_vouched_for(
    chain: tuple[bytes, ...], host: str, roots: tuple[bytes, ...], hour: datetime
) -> bool:
    from cryptography.x509.verification import PolicyBuilder

    store, path = _store(roots), _path(chain)
    if store is None or not path:
        return False
    builder = PolicyBuilder().store(store).time(hour.replace(tzinfo=None))
    try:
        verifier = builder.max_chain_depth(_LONGEST).build_server_verifier(_subject(host))
        verifier.verify(path[0], path[1:])
    except Exception:  # noqa: BLE001  # whoever sends a chain must not blind a look with it
        return False
    return True


def _path(chain: tuple[bytes, ...]) -> list[Certificate]:
    """From the leaf up, each signed by the next: no name stands in it twice.

    The verifier tries whatever might have signed, and ten that all sign each other would make it
    try for ever.
    """
    from certpin.lab.report.chain import Scene, Signature, strands

    found: list[Certificate] = []
    names: set[str | None] = set()
    for place in strands(chain, Scene(""))[0].places[:_LONGEST] if chain else ():
        if place.facts.parsed is None or place.facts.subject in names:
            break
        found.append(place.facts.parsed)
        names.add(place.facts.subject)
        if place.above is not Signature.GOOD:
            break
    return found


def _subject(host: str) -> DNSName | IPAddress:
    from cryptography.x509 import DNSName, IPAddress

    try:
        return IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return DNSName(host)


@lru_cache(maxsize=64)
def _store(roots: tuple[bytes, ...]) -> Store | None:
    from cryptography.utils import CryptographyDeprecationWarning
    from cryptography.x509 import load_der_x509_certificate
    from cryptography.x509.verification import Store

    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        for der in roots:
            with suppress(ValueError):  # an old root, which nothing else here reads, either
                found.append(load_der_x509_certificate(der))
    return Store(found) if found else None
