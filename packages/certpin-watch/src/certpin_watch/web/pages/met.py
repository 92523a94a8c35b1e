"""A chain that clients met, beside the one that was expected, and who issued it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import zip_longest
from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from certpin.lab.report.flaws import ChainContext
from certpin.reports.model import UNVERIFIED
from certpin_watch.store.queries import chains, failures, report_counts
from certpin_watch.store.queries import hosts as facts
from certpin_watch.store.queries.chain_check import public_roots
from certpin_watch.store.queries.chains import describe_issuer
from certpin_watch.store.queries.failures import breakdown
from certpin_watch.store.queries.hosts import expected_path
from certpin_watch.store.queries.reports import samples
from certpin_watch.store.tables.sightings import SIGHTINGS
from certpin_watch.web.pages.asking import Missing
from certpin_watch.web.pages.sent import sent
from certpin_watch.web.pictures.chain import chain as picture

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection
    from starlette.responses import Response

    from certpin.pins import HostPin
    from certpin_watch.store.queries.chains import ChainIssuer, Issued
    from certpin_watch.store.queries.failures import ChainCount
    from certpin_watch.web.pages.asking import Asked

_LATELY = timedelta(days=90)
_SAMPLES = 5  # that are shown; the API has all of them
_PLACES = ("The server's certificate", "Authority", "Authority above", "Further up")
_SPLIT = ("network", "app_version", "platform", "version", "reason", "host")


@dataclass(frozen=True)
class Pair:
    """The same place of two chains: what clients met, and what was expected."""

    place: str
    met: Issued | None
    expected: Issued | None

    def differs(self, name: str) -> bool:
        """Whether one field is not the same."""
        if self.met is None or self.expected is None:
            return False
        return bool(getattr(self.met, name) != getattr(self.expected, name))


def met(asked: Asked) -> Response:
    """The page."""
    digest = _digest(asked)
    within = report_counts.Range(asked.now - _LATELY, asked.now)
    with asked.connection() as connection:
        ders = chains.load_der(connection, digest)
        if ders is None:
            raise Missing(f"a chain {digest.hex()}")
        counts = failures.top_chains(
            connection, within, only=report_counts.ReportFilter(served=digest.hex())
        )
        host = _host(asked, [each.host for each in counts])
        since = min((each.first_at for each in counts if each.host == host), default=asked.now)
        verdict = asked.judge.verdict(host, ders, since) if host else "unknown"
        expected = expected_of(connection, asked, host) if host else ()
        anchors = anchors_of(asked, host)
        only = report_counts.ReportFilter(served=digest.hex())
        newest = samples(connection, within, only=only, limit=_SAMPLES)
        split = breakdown(connection, within, _SPLIT, only)
        seen = _vantages(connection, digest, host)
    total = sum(each.count for each in counts)
    unverified = sum(count for reason, count in split["reason"] if reason in UNVERIFIED)
    return asked.page(
        "met.html",
        digest=digest.hex(),
        host=host,
        counts=counts,
        total=total,
        verdict=verdict,
        unverified=unverified,
        origin=describe_issuer(ders, expected, anchors, verdict),
        pairs=_pairs(ders, expected),
        met_picture=picture("met", ders, _scene(asked, host, (*anchors, *public_roots()))),
        expected_picture=picture(
            "expected", expected[:-1] or expected, _scene(asked, host, (*anchors, *expected[-1:]))
        )
        if expected
        else None,
        split=split,
        seen=seen,
        samples=[sent(each) for each in newest.items],
        certificates=[chains.describe_certificate(der) for der in ders],
    )


def expected_of(connection: Connection, asked: Asked, host: str) -> tuple[bytes, ...]:
    """The path that is expected of a host; nothing where no vantage verified one."""
    return expected_path(connection, asked.snapshot, asked.now, host)


def described(
    connection: Connection, asked: Asked, counts: Iterable[ChainCount]
) -> list[tuple[ChainCount, ChainIssuer]]:
    """Return each chain that clients met at a host with its verdict and its description."""
    found = []
    for each in failures.with_verdicts(connection, asked.judge, counts):
        ders = chains.load_der(connection, bytes.fromhex(each.served)) if each.served else ()
        expected = expected_of(connection, asked, each.host)
        anchors = anchors_of(asked, each.host)
        found.append((each, describe_issuer(ders or (), expected, anchors, each.verdict)))
    return found


def anchors_of(asked: Asked, host: str) -> tuple[bytes, ...]:
    """The roots that the pin files name for a host."""
    policies = facts.policies_of(asked.snapshot, host)
    return tuple(der for _, policy in policies if policy.trust for der in policy.trust.der)


def _digest(asked: Asked) -> bytes:
    text = asked.request.path_params["digest"]
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise Missing("a chain of this name")
    return digest


def _host(asked: Asked, names: list[str]) -> str:
    """Return the host of the query if it is a known one; else the one with the most reports."""
    wanted = asked.text("host")
    if wanted in names or facts.policies_of(asked.snapshot, wanted):
        return wanted
    return names[0] if names else ""


def _scene(asked: Asked, host: str, trusted: tuple[bytes, ...]) -> ChainContext:
    pins: tuple[HostPin, ...] = tuple(
        entry
        for _, policy in facts.policies_of(asked.snapshot, host)
        for entry in policy.pins
        if entry.live
    )
    return ChainContext(host, trusted, pins, asked.now)


def _pairs(ders: tuple[bytes, ...], expected: tuple[bytes, ...]) -> list[Pair]:
    both = zip_longest(
        map(chains.describe_certificate, ders), map(chains.describe_certificate, expected)
    )
    return [Pair(_PLACES[min(number, len(_PLACES) - 1)], *each) for number, each in enumerate(both)]


def _vantages(connection: Connection, digest: bytes, host: str) -> list[str]:
    """Return the locations that saw this chain at this host.

    Seen at another host it says nothing about this one, where it may be an attack.
    """
    table = SIGHTINGS.c
    statement = select(table.vantage).where(
        table.host == host, or_(table.served == digest, table.verified == digest)
    )
    return sorted(connection.execute(statement.distinct().limit(20)).scalars())
