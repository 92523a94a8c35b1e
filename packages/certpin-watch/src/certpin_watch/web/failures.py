"""Pages of failures that clients reported: ``/failures``, one reported chain, and ``/live``.

The page of a chain compares the reported chain with the expected one. ``/live`` is for use during
an incident.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import zip_longest
from typing import TYPE_CHECKING

import msgspec

from certpin.lab.report.flaws import ChainContext
from certpin.reports.model import UNVERIFIED
from certpin.support.text import clean
from certpin.x509.chain import public_roots
from certpin_watch.chain_check import issuer_of
from certpin_watch.html import number, reason
from certpin_watch.snapshot import anchors_of, live_pins
from certpin_watch.store.queries import chains, failures, report_counts
from certpin_watch.store.queries.alerts import open_alerts
from certpin_watch.store.queries.freshness import arrivals
from certpin_watch.store.queries.reports import samples
from certpin_watch.store.queries.sightings import locations_of_chain
from certpin_watch.web.chain_issuer import issuer_sentences, issuer_title
from certpin_watch.web.charts import COLOURS, Bars, BarSeries, chain_picture, colour, stacked_bars
from certpin_watch.web.request import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from markupsafe import Markup
    from sqlalchemy import Connection
    from starlette.responses import Response

    from certpin_watch.chain_check import ChainIssuer
    from certpin_watch.store.queries.chains import Issued
    from certpin_watch.store.queries.failures import ChainCount
    from certpin_watch.store.queries.freshness import Arrivals
    from certpin_watch.store.queries.reports import Sample
    from certpin_watch.web.request import PageRequest

_MAX_BARS = 60  # more are too narrow on a phone
# Characters of one report on a page; the default limit of stored ones is lower.
_MAX_REPORT = 20_000
_MAX_REPORTS = 5  # reports on the page of a chain; the API returns all of them
_BY_HOUR = timedelta(days=7)  # longer ranges are counted by day
_MAX_CHAIN_RANGE = timedelta(days=14)  # chains are counted for at most this time
_CHAIN_RANGE = timedelta(days=90)  # on the page of one chain

REFRESH = 5  # seconds between two loads of the page "live"
_MINUTE = timedelta(minutes=1)
_MAX_ALERTS = _MAX_CHAINS = 8

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
    "decision": "Decision",
}
_FILTERS = ("host", "app", "app_version", "platform", "network", "pin_set", "reason")
_CHAIN_DIMENSIONS = ("network", "app_version", "platform", "version", "reason", "host")
_LIVE_DIMENSIONS = ("host", "network", "app_version", "platform", "decision")
_POSITIONS = ("Server certificate", "Issuer", "Its issuer", "Further up")


def failures_page(page: PageRequest) -> Response:
    """Return the page ``/failures``: a chart of the reports of failures, and the reported chains.

    The chart shows the number of reports over time, for each value of one field, such as reason.
    The chains are those of at most the last 14 days.
    """
    by = next(name for name in DIMENSIONS if name == page.choice("by", tuple(DIMENSIONS)))
    key = page.choice("range", tuple(RANGES))
    range_text, length = RANGES[key]
    within = _range(page.now, length)
    recent = _range(page.now, min(length, _MAX_CHAIN_RANGE))
    filters = {name: page.text(name) for name in _FILTERS if page.text(name)}
    only = _report_filter(filters)
    bucket: report_counts.Bucket = "hour" if within.until - within.since <= _BY_HOUR else "day"
    with page.connection() as connection:
        series = failures.series(connection, within, by=by, bucket=bucket, only=only, lines=6)
        counts, chain_counts = failures.breakdown_and_chains(
            connection, recent, tuple(DIMENSIONS), only, limit=12
        )
        described = chains_with_issuers(connection, page, chain_counts)
    title = f"Failures by {DIMENSIONS[by].lower()}"
    return page.render(
        "failures.html",
        by=by,
        key=key,
        range_text=range_text,
        chains_text="14 days" if length > _MAX_CHAIN_RANGE else range_text,
        ranges={name: text for name, (text, _) in RANGES.items()},
        dimensions=DIMENSIONS,
        chart=draw_series("over-time", title, series, page.now),
        counts={name: pairs for name, pairs in counts.items() if name != by},
        chains=described,
        unknowns=list(unknown_counts(series)),
        filters=filters,
    )


def unknown_counts(series: failures.Series) -> Iterator[str]:
    """Yield a sentence if no process accepted reports in a part of the time that a chart shows.

    ``series`` has the numbers of reports over time. The sentence says that a low count in this part
    doesn't mean that nothing happened.
    """
    if series.unknown:
        buckets = number(len(series.unknown), series.bucket)
        yield (
            f"In {buckets} of this time, the last one from {series.unknown[-1]:%Y-%m-%d %H:%M} "
            "UTC, the service did not accept reports for a while. Clients may have sent them "
            "later, or never. A missing bar does not mean that nothing happened."
        )


def _report_filter(filters: dict[str, str]) -> report_counts.ReportFilter | None:
    """Return the filter for reports that query parameters describe.

    Args:
        filters: the parameters by name. The value ``-`` selects reports in which the field is
            empty.

    Returns:
        The filter; None if ``filters`` is empty, so that all reports are selected.
    """
    values = {name: "" if value == "-" else value for name, value in filters.items()}
    return msgspec.convert(values, report_counts.ReportFilter) if values else None


def _range(now: datetime, length: timedelta) -> report_counts.Range:
    """Return the time range of the given length that ends at ``now``.

    If the length is more than ``_BY_HOUR``, the reports are counted by whole days. So the range
    then begins at midnight (UTC) of its first day, and is longer.
    """
    since = now - length
    if length > _BY_HOUR:
        since = since.replace(hour=0, minute=0, second=0, microsecond=0)
    return report_counts.Range(since, now)


@dataclass(frozen=True)
class SeriesChart:
    """A bar chart of reports over time, and its data.

    Attributes:
        picture: the chart as SVG.
        bars: the data of the chart.
        bucket: the duration of one bar.
        total: the number of reports.
    """

    picture: Markup
    bars: Bars
    bucket: timedelta
    total: int

    @property
    def legend(self) -> list[tuple[str, str, int]]:
        """The legend of the chart: CSS class of the colour, name and total of each series.

        The series on top of the stacked bars comes first.
        """
        series = list(enumerate(self.bars.series))
        return [(colour(index), line.name, line.total) for index, line in reversed(series)]


def draw_series(name: str, title: str, series: failures.Series, until: datetime) -> SeriesChart:
    """Draw a bar chart of reports over time.

    If there are too many hours or days for a bar each, a bar shows several of them.

    Args:
        name: an id that is unique on the page.
        title: the title of the chart.
        series: the counts by hour or day.
        until: the end of the last hour or day.
    """
    size = timedelta(hours=1) if series.bucket == "hour" else timedelta(days=1)
    needed = -(-len(series.begins) // _MAX_BARS) if series.begins else 1
    combined = next((count for count in (1, 2, 3, 4, 6, 7, 12, 24, 28) if count >= needed), needed)
    slots = series.begins[::combined] or (until - size,)
    lines = _limit_lines([(_line_name(series, line), line.counts) for line in series.lines])
    shown = tuple(BarSeries(line, _combine(counts, combined)) for line, counts in lines)
    bars = Bars(slots, max(until, slots[-1] + combined * size), shown, "report")
    return SeriesChart(stacked_bars(name, title, bars), bars, combined * size, series.total)


def _limit_lines(lines: list[tuple[str, tuple[int, ...]]]) -> list[tuple[str, tuple[int, ...]]]:
    """Limit the series of a chart to the number of colours.

    Each item of ``lines`` is a series: a pair of its name and its counts. If there are too many,
    the last ones are added up in one series with the name "all others".
    """
    if len(lines) <= COLOURS:
        return lines
    rest = [counts for _, counts in lines[COLOURS - 1 :]]
    return [*lines[: COLOURS - 1], ("all others", tuple(map(sum, zip(*rest, strict=True))))]


def _combine(counts: tuple[int, ...], size: int) -> tuple[int, ...]:
    return tuple(sum(counts[at : at + size]) for at in range(0, len(counts), size))


def _line_name(series: failures.Series, line: failures.Line) -> str:
    if line.rest:
        return "all others"
    if series.by == "served":
        return f"chain {line.value[:12]}" if line.value else "no chain reported"
    if series.by == "version":
        return f"version {line.value}" if line.value != "0" else "version not reported"
    return (reason(line.value) if series.by == "reason" else line.value) or "not reported"


@dataclass(frozen=True)
class Pair:
    """The certificates at the same position in two chains: the reported and the expected one.

    ``position`` is a text such as "Issuer". ``reported`` or ``expected`` is None if this chain has
    no certificate at this position.
    """

    position: str
    reported: Issued | None
    expected: Issued | None

    def differs(self, name: str) -> bool:
        """Return True if both certificates exist and differ in a field, such as the issuer.

        ``name`` is the name of the field.
        """
        if self.reported is None or self.expected is None:
            return False
        return bool(getattr(self.reported, name) != getattr(self.expected, name))


def chain_page(page: PageRequest) -> Response:
    """Return the page that compares a reported chain with the chain expected at the same host.

    The URL path has the digest of the reported chain.

    Raises:
        NotFoundError: no such chain is stored.
    """
    digest = _digest(page)
    within = report_counts.Range(page.now - _CHAIN_RANGE, page.now)
    only = report_counts.ReportFilter(served=digest.hex())
    with page.connection() as connection:
        ders = chains.load_der(connection, digest)
        if ders is None:
            raise NotFoundError(f"a chain {digest.hex()}")
        counts = failures.top_chains(connection, within, only=only)
        host = _host(page, [count.host for count in counts])
        since = min((count.first_at for count in counts if count.host == host), default=page.now)
        verdict = page.judge.verdict(host, ders, since) if host else "unknown"
        expected = chains.expected_path(connection, page.snapshot, page.now, host) if host else ()
        newest = samples(connection, within, only=only, limit=_MAX_REPORTS)
        by_dimension = failures.breakdown(connection, within, _CHAIN_DIMENSIONS, only)
        locations = locations_of_chain(connection, host, digest)
    anchors = _anchors(page, host)
    issuer = issuer_of(ders, expected, anchors, verdict)
    expected_picture = None
    if expected:
        context = _context(page, host, (*anchors, *expected[-1:]))
        expected_picture = chain_picture("expected", expected[:-1] or expected, context)
    return page.render(
        "chain.html",
        digest=digest.hex(),
        host=host,
        counts=counts,
        total=sum(count.count for count in counts),
        verdict=verdict,
        unverified=sum(count for name, count in by_dimension["reason"] if name in UNVERIFIED),
        issuer=issuer,
        issuer_title=issuer_title(issuer),
        issuer_sentences=issuer_sentences(issuer, verdict),
        pairs=_pairs(ders, expected),
        picture=chain_picture("met", ders, _context(page, host, (*anchors, *public_roots()))),
        expected_picture=expected_picture,
        by_dimension=by_dimension,
        locations=locations,
        reports=[_report(sample) for sample in newest.items],
        certificates=[chains.describe_certificate(der) for der in ders],
    )


def chains_with_issuers(
    connection: Connection, page: PageRequest, counts: Iterable[ChainCount]
) -> list[tuple[ChainCount, ChainIssuer]]:
    """Return the reported chains, each with its issuer.

    Args:
        connection: a read transaction.
        page: the request for the page.
        counts: the chains, each with its host and its number of reports.

    Returns:
        Pairs of a chain and its issuer. The ``verdict`` of each chain is set to the result of
        comparing it with the current pins of its host.
    """
    described = []
    of_hosts: dict[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]] = {}
    for count in failures.with_verdicts(connection, page.judge, counts):
        ders = chains.load_der(connection, bytes.fromhex(count.served)) if count.served else ()
        if count.host not in of_hosts:
            expected = chains.expected_path(connection, page.snapshot, page.now, count.host)
            of_hosts[count.host] = expected, _anchors(page, count.host)
        expected, anchors = of_hosts[count.host]
        issuer = issuer_of(ders or (), expected, anchors, count.verdict)
        described.append((count, issuer))
    return described


def _anchors(page: PageRequest, host: str) -> tuple[bytes, ...]:
    """Return the trust anchors, as DER, that the pin files name for a host.

    The result is empty if they name none: clients then trust the roots of their platform.
    """
    return anchors_of(page.snapshot.policies_of(host))


def _digest(page: PageRequest) -> bytes:
    try:
        digest = bytes.fromhex(page.request.path_params["digest"])
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise NotFoundError("a chain with this name")
    return digest


def _host(page: PageRequest, names: list[str]) -> str:
    """Return the host for which the page of a reported chain is shown.

    This is the host in the query of the request, if it is monitored or in ``names``. Otherwise it
    is the host with the most reports, or an empty text if ``names`` is empty.

    Args:
        page: the request for the page.
        names: the hosts with reports of the chain, the host with the most reports first.
    """
    host = page.text("host")
    if host in names or page.snapshot.policies_of(host):
        return host
    return names[0] if names else ""


def _context(page: PageRequest, host: str, trusted: tuple[bytes, ...]) -> ChainContext:
    return ChainContext(host, trusted, live_pins(page.snapshot.policies_of(host)), page.now)


def _pairs(ders: tuple[bytes, ...], expected: tuple[bytes, ...]) -> list[Pair]:
    reported = map(chains.describe_certificate, ders)
    both = zip_longest(reported, map(chains.describe_certificate, expected))
    last = len(_POSITIONS) - 1
    return [Pair(_POSITIONS[min(index, last)], *pair) for index, pair in enumerate(both)]


@dataclass(frozen=True)
class ReceivedReport:
    """A report as a client sent it. Clients can send any text, so templates escape it.

    Attributes:
        at: when the service received the report.
        source: the client's network.
        host: the host that the report is about.
        text: the report, cut to 20,000 characters. JSON is indented over several lines.
        left_out: how many characters were cut.
    """

    at: datetime
    source: str
    host: str
    text: str
    left_out: int = 0


def _report(sample: Sample) -> ReceivedReport:
    # Clean before cutting: an invisible character becomes up to ten visible ones.
    text = clean(_lay_out(sample.body))
    host = sample.group.host if sample.group else ""
    left_out = max(0, len(text) - _MAX_REPORT)
    return ReceivedReport(sample.received_at, sample.source, host, text[:_MAX_REPORT], left_out)


def _lay_out(body: str) -> str:
    """Return JSON indented over several lines; any other text unchanged."""
    try:
        return msgspec.json.format(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return body


def live_page(page: PageRequest) -> Response:
    """Return the page ``/live``: arriving reports, failures of the current hour, and open alerts.

    A script in the browser requests the page again and again to update it.
    """
    day = report_counts.Range(page.now - timedelta(hours=24), page.now)
    hour = report_counts.Range(page.now.replace(minute=0, second=0, microsecond=0), page.now)
    with page.connection() as connection:
        minutes = arrivals(connection, page.now)
        counts = failures.top_chains(connection, hour, limit=_MAX_CHAINS)
        newest = sorted(counts, key=lambda count: count.last_at, reverse=True)
        described = chains_with_issuers(connection, page, newest)
        total = failures.total(connection, hour)
        by_dimension = failures.breakdown(connection, hour, _LIVE_DIMENSIONS)
        series = failures.series(connection, day, by="reason")
        settings = page.watch.settings.alerts
        alerts = open_alerts(connection, settings.hold, limit=_MAX_ALERTS)
    return page.render(
        "live.html",
        refresh=REFRESH,
        arrivals=_draw_arrivals(minutes),
        received=sum(minutes.counts),
        cut=minutes.cut,
        total=total,
        by_dimension=by_dimension,
        chart=draw_series("day", "Failures of the last day by reason", series, page.now),
        chains=described,
        alerts=alerts,
        max_alerts=_MAX_ALERTS,
    )


def _draw_arrivals(minutes: Arrivals) -> Markup:
    until = minutes.begins[-1] + _MINUTE
    series = BarSeries("messages", minutes.counts)
    bars = Bars(minutes.begins, until, (series,), "message")
    return stacked_bars("minutes", "Messages in each minute of the last hour", bars, 150)
