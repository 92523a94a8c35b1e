"""Check whether an authority issued a chain for a host: the claim of a report that proves itself.

A client can report any chain. A path of valid signatures to a root of this machine, or to an anchor
that the pin file names, exists only if an authority issued a certificate for this host. If no pin
accepts its key, that is critical, however few clients report it.

Not checked: revocation, Certificate Transparency, and whether the certificate was ever used. Public
logs hold old certificates of every host, and anyone can report one that is still valid.
"""

from __future__ import annotations

import ipaddress
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.x509 import Certificate, DNSName, IPAddress
    from cryptography.x509.verification import Store

_LONGEST = 6  # certificates of a path: those of the web have three or four
# Cached verdicts: three times as many as one evaluation asks for. Each keeps its chain (200 kB).
REMEMBERED = 1000


def is_vouched_for(
    chain: tuple[bytes, ...],
    host: str,
    roots: tuple[bytes, ...],
    since: datetime,
    until: datetime | None = None,
) -> bool:
    """Return True if the chain leads from a certificate for this host to a root, while reported.

    Signatures, names, dates and constraints are checked (RFC 5280, CA/Browser Forum).

    Args:
        chain: DER certificates, leaf first.
        host: The host that the reports name.
        roots: DER certificates of the trusted roots.
        since: When the first report of the chain arrived, by this machine's clock. The time that a
            report gives is its sender's choice, and would make an old certificate valid again.
        until: The end of that period, by default ``since``: the chain has to be valid at some
            moment of it. A certificate that expires after it was reported was issued all the same,
            and a clock some seconds behind the authority's only delays the answer.

    """
    begin, end = int(since.timestamp()), int((until or since).timestamp())
    dates = {*_dates_of_path(chain), *_trusted(roots).dates}
    moments = [each for each in dates if begin < each <= end]
    moments.append(max((each for each in dates if each <= begin), default=0))
    return any(_verifies_at(chain, host, roots, each) for each in sorted(moments, reverse=True))


@lru_cache(maxsize=REMEMBERED)
def _verifies_at(
    chain: tuple[bytes, ...], host: str, roots: tuple[bytes, ...], moment: int
) -> bool:
    """Verify at a moment at which some certificate begins or ends.

    The answer is the same until the next such moment, so that the cache is exact. Rounding the
    clock down instead would call a new leaf not yet valid.
    """
    from cryptography.x509.verification import PolicyBuilder

    store, path = _trusted(roots).store, _path(chain)
    if store is None or not path:
        return False
    at = datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)
    builder = PolicyBuilder().store(store).time(at)
    try:
        verifier = builder.max_chain_depth(_LONGEST).build_server_verifier(_subject(host))
        verifier.verify(path[0], path[1:])
    except Exception:  # noqa: BLE001  # a hostile chain must not stop the evaluation of the others
        return False
    return True


@lru_cache(maxsize=REMEMBERED)
def _dates_of_path(chain: tuple[bytes, ...]) -> tuple[int, ...]:
    return tuple(_dates(_path(chain)))


def _dates(certificates: Iterable[Certificate]) -> Iterable[int]:
    """The first second in which each certificate is valid, and the first after its end."""
    for each in certificates:
        with suppress(ValueError, OverflowError):  # an unreadable date: no verifier accepts it
            yield int(each.not_valid_before_utc.timestamp())
            yield int(each.not_valid_after_utc.timestamp()) + 1


def _path(chain: tuple[bytes, ...]) -> list[Certificate]:
    """The certificates from the leaf up, each signed by the next, with no name twice.

    The verifier tries every possible issuer: ten that all sign each other would never end.
    """
    from certpin.x509.chain import Signature, chain_paths

    found: list[Certificate] = []
    names: set[str | None] = set()
    for place in chain_paths(chain)[0].certificates[:_LONGEST] if chain else ():
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


class _Trusted(NamedTuple):
    """Roots that could be read, and the moments at which they begin and end."""

    store: Store | None
    dates: tuple[int, ...]


@lru_cache(maxsize=64)
def _trusted(roots: tuple[bytes, ...]) -> _Trusted:
    from cryptography.utils import CryptographyDeprecationWarning
    from cryptography.x509 import load_der_x509_certificate
    from cryptography.x509.verification import Store

    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        for der in roots:
            with suppress(ValueError):  # an old root that cryptography does not read
                found.append(load_der_x509_certificate(der))
        return _Trusted(Store(found) if found else None, tuple(_dates(found)))
