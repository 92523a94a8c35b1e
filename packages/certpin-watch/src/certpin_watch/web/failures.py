"""The page ``/failures``, and the page of one reported chain beside the expected one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import zip_longest
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import or_, select

from certpin.lab.report.flaws import ChainContext
from certpin.reports.model import UNVERIFIED
from certpin.support.text import clean
from certpin_watch.html.words import reason
from certpin_watch.store.queries import chains, failures, report_counts
from certpin_watch.store.queries import hosts as facts
from certpin_watch.store.queries.chain_check import public_roots
from certpin_watch.store.queries.chains import describe_issuer
from certpin_watch.store.queries.failures import breakdown, breakdown_and_chains
from certpin_watch.store.queries.hosts import expected_path
from certpin_watch.store.queries.reports import samples
from certpin_watch.store.tables.probes import SIGHTINGS
from certpin_watch.web import unknowns
from certpin_watch.web.charts import COLOURS, Bars, Series, colour, stacked
from certpin_watch.web.pictures import chain as picture
from certpin_watch.web.request import Missing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from markupsafe import Markup
    from sqlalchemy import Connection
    from starlette.responses import Response

    from certpin.pins import HostPin
    from certpin_watch.store.queries.chains import ChainIssuer, Issued
    from certpin_watch.store.queries.failures import ChainCount
    from certpin_watch.store.queries.reports import Sample
    from certpin_watch.web.request import Asked


_MOST_BARS = 60  # that can be told apart on a telephone


@dataclass(frozen=True)
class DrawnSeries:
    """A picture, its legend, and the numbers behind it."""

    picture: Markup
    bars: Bars
    bucket: timedelta
    total: int

    @property
    def legend(self) -> list[tuple[str, str, int]]:
        """Colour, name and total of each series, from the top of the stack down."""
        pairs = enumerate(self.bars.series)
        return [(colour(at), each.name, each.total) for at, each in reversed(list(pairs))]


def draw_series(name: str, title: str, found: failures.Series, until: datetime) -> DrawnSeries:
    """The bars of a series, of several buckets each where there are too many."""
    together = -(-len(found.begins) // _MOST_BARS) if found.begins else 1
    size = timedelta(hours=1) if found.bucket == "hour" else timedelta(days=1)
    together = next((each for each in (1, 2, 3, 4, 6, 7, 12, 24, 28) if each >= together), together)
    slots = found.begins[::together] or (until - size,)
    lines = [(_named(found, line), line.counts) for line in found.lines]
    shown = [Series(each, _summed(counts, together)) for each, counts in _few(lines)]
    bars = Bars(slots, max(until, slots[-1] + together * size), tuple(shown), "reports")
    return DrawnSeries(stacked(name, title, bars), bars, together * size, found.total)


def _few(lines: list[tuple[str, tuple[int, ...]]]) -> list[tuple[str, tuple[int, ...]]]:
    """As many as there are colours; the rest is one."""
    if len(lines) <= COLOURS:
        return lines
    rest = [counts for _, counts in lines[COLOURS - 1 :]]
    return [*lines[: COLOURS - 1], ("all others", tuple(map(sum, zip(*rest, strict=True))))]


def _summed(counts: tuple[int, ...], together: int) -> tuple[int, ...]:
    return tuple(sum(counts[at : at + together]) for at in range(0, len(counts), together))


def _named(found: failures.Series, line: failures.Line) -> str:
    if line.rest:
        return "all others"
    if found.by == "served":
        return f"chain {line.value[:12]}" if line.value else "no chain reported"
    if found.by == "version":
        return f"version {line.value}" if line.value != "0" else "version not told"
    return (reason(line.value) if found.by == "reason" else line.value) or "not told"


RANGES = {
    "24h": ("24 hours", timedelta(days=1)),
    "7d": ("7 days", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
    "90d": ("90 days", timedelta(days=90)),
    "365d": ("year", timedelta(days=365)),
}
DIMENSIONS: dict[report_counts.By, str] = {
    "app_version": "App version",
    "platform": "Platform",
    "network": "Network",
    "version": "Pin-set version",
    "reason": "Reason",
    "host": "Host",
    "app": "App",
    "pin_set": "Pin set",
    "decision": "What was done",
}
_FILTERS = ("host", "app", "app_version", "platform", "network", "pin_set", "reason")
_BY_HOUR = timedelta(days=7)
_CHAINS_OF = timedelta(days=14)  # the longest time for which chains are counted


def failures_page(asked: Asked) -> Response:
    """The page."""
    by = next(each for each in DIMENSIONS if each == asked.choice("by", tuple(DIMENSIONS)))
    key = asked.choice("range", tuple(RANGES))
    words, length = RANGES[key]
    within = _range(asked.now, length)
    lately = _range(asked.now, min(length, _CHAINS_OF))
    only = only_of(asked)
    with asked.connection() as connection:
        found = _series(connection, within, by, only)
        split, met = breakdown_and_chains(connection, lately, tuple(DIMENSIONS), only, limit=12)
        known = describe_chains(connection, asked, met)
    return asked.page(
        "failures.html",
        by=by,
        key=key,
        words=words,
        chains_words="14 days" if length > _CHAINS_OF else words,
        ranges={name: each[0] for name, each in RANGES.items()},
        dimensions=DIMENSIONS,
        drawn=draw_series("over-time", f"Failures by {DIMENSIONS[by].lower()}", found, asked.now),
        split={name: counts for name, counts in split.items() if name != by},
        chains=known,
        unknowns=list(unknowns.of_a_time(found)),
        filters={name: asked.text(name) for name in _FILTERS if asked.text(name)},
    )


def only_of(asked: Asked) -> report_counts.ReportFilter | None:
    """What the query asks for."""
    found = {name: asked.text(name) for name in _FILTERS if asked.text(name)}
    found = {name: "" if value == "-" else value for name, value in found.items()}
    return msgspec.convert(found, report_counts.ReportFilter) if found else None


def _range(now: datetime, length: timedelta) -> report_counts.Range:
    """A long one begins with a day: whole days are there as sums."""
    since = now - length
    if length > _BY_HOUR:
        since = since.replace(hour=0, minute=0, second=0, microsecond=0)
    return report_counts.Range(since, now)


def _series(
    connection: Connection,
    within: report_counts.Range,
    by: report_counts.By,
    only: report_counts.ReportFilter | None,
) -> failures.Series:
    bucket: report_counts.Bucket = "hour" if within.until - within.since <= _BY_HOUR else "day"
    return failures.series(connection, within, by=by, bucket=bucket, only=only, lines=6)


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
        "chain.html",
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


def describe_chains(
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


_MOST = 20_000  # characters that are shown: more than the longest that is kept by default


@dataclass(frozen=True)
class Sent:
    """One report: when it came, from which network (cut), what it is about, and its text."""

    at: datetime
    source: str
    host: str
    text: str
    left_out: int = 0


def sent(sample: Sample) -> Sent:
    """A sample as the page has it."""
    # Cleaned before it is cut: an invisible character takes up to ten that are seen.
    text = clean(_laid_out(sample.body))
    host = sample.group.host if sample.group else ""
    return Sent(sample.received_at, sample.source, host, text[:_MOST], max(0, len(text) - _MOST))


def _laid_out(body: str) -> str:
    """JSON on lines of its own; whatever else it is, as it stands there."""
    try:
        return msgspec.json.format(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return body
