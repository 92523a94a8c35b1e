"""What clients reported, and the chains that they met."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from certpin_watch.store.queries import chains, failures, report_counts, reports
from certpin_watch.store.queries.chain_check import ChainJudge
from certpin_watch.web.api import asking
from certpin_watch.web.api.asking import CURSOR, LIMIT, SINCE, UNTIL, RefusedError
from certpin_watch.web.api.resource import PAGED, Listed, Resource, listed, there

if TYPE_CHECKING:
    from certpin_watch.web.api.resource import Ask

_OF_REPORTS = (
    asking.text("host", "Reports of this host alone."),
    asking.text("pin_set", "Reports of this pin set alone."),
    asking.number("version", "Reports of this version alone; 0: it has none.", None, 0),
    asking.text("app", "Reports of this app alone."),
    asking.text("app_version", "Reports of this version of the app alone."),
    asking.text("platform", "Reports of this platform alone."),
    asking.text("network", "Reports of this network alone."),
    asking.text("kind", "Reports of this format alone."),
    asking.text("reason", "Reports with this reason alone."),
    asking.text("decision", "Reports with this decision alone."),
    asking.digest("served", "Reports that met this chain alone."),
)


def _only(ask: Ask) -> report_counts.ReportFilter:
    return report_counts.ReportFilter(**{each.name: ask.query[each.name] for each in _OF_REPORTS})


def _series(ask: Ask) -> failures.Series:
    by, bucket, lines = (ask.query[name] for name in ("by", "bucket", "lines"))
    return failures.series(
        ask.connection, ask.within, by=by, bucket=bucket, only=_only(ask), lines=lines
    )


def _total(ask: Ask) -> failures.Total:
    return failures.total(ask.connection, ask.within, _only(ask))


def _groups(ask: Ask) -> Listed[reports.Group]:
    before = asking.key_of(ask.query["cursor"], int, int)
    return listed(
        reports.groups(
            ask.connection, ask.within, only=_only(ask), before=before, limit=ask.query["limit"]
        )
    )


def _samples(ask: Ask) -> Listed[reports.Sample]:
    before = asking.key_of(ask.query["cursor"], int, int)
    return listed(
        reports.samples(
            ask.connection, ask.within, only=_only(ask), before=before, limit=ask.query["limit"]
        )
    )


def _top_chains(ask: Ask) -> list[failures.ChainCount]:
    limit = ask.query["limit"]
    found = failures.top_chains(ask.connection, ask.within, only=_only(ask), limit=limit)
    judge = ChainJudge(ask.watch.watched.snapshot().sets, ask.now)
    return list(failures.with_verdicts(ask.connection, judge, found))


def _chain(ask: Ask) -> chains.KeptChain:
    return there(chains.describe_chain(ask.connection, _digest(ask)))


def chain_pem(ask: Ask) -> bytes:
    """The certificates of a chain as PEM, leaf first."""
    import ssl

    ders = there(chains.load_der(ask.connection, _digest(ask)))
    return "".join(ssl.DER_cert_to_PEM_cert(each) for each in ders).encode()


def _digest(ask: Ask) -> bytes:
    try:
        return bytes.fromhex(asking.read_digest(ask.path["digest"]))
    except ValueError as exc:
        raise RefusedError(
            404, "There is no such thing", "This is not the digest of a chain."
        ) from exc


_RANGE = (SINCE, UNTIL)
_BY = asking.choice("by", "What the lines are.", get_args(report_counts.By), "host")
_BUCKET = asking.choice("bucket", "How long a bucket is.", get_args(report_counts.Bucket), "hour")
_LINES = asking.number("lines", "How many lines; all others are one.", 8, 1, failures.MOST_LINES)
_RANGED = (*_RANGE, *_OF_REPORTS)
_FEW = f"How many entries at most, up to {reports.MOST_SAMPLES}: each may be long."
_FEW_OF_THEM = asking.number("limit", _FEW, 20, 1, reports.MOST_SAMPLES)

RESOURCES: tuple[Resource, ...] = (
    Resource(
        "/failures/series",
        "What clients reported, over time. Claims, not facts.",
        failures.Series,
        _series,
        (_BY, _BUCKET, _LINES, *_RANGED),
    ),
    Resource("/failures/total", "How many reports.", failures.Total, _total, _RANGED),
    Resource(
        "/failures/groups",
        "Reports that say the same, by hour, the last first.",
        Listed[reports.Group],
        _groups,
        (*PAGED, *_RANGED),
    ),
    Resource(
        "/failures/samples",
        "A few reports as strangers sent them, without what names a device; the last first.",
        Listed[reports.Sample],
        _samples,
        (CURSOR, _FEW_OF_THEM, *_RANGED),
    ),
    Resource(
        "/failures/chains",
        "The chains that clients met most often.",
        list[failures.ChainCount],
        _top_chains,
        (LIMIT, *_RANGED),
    ),
    Resource(
        "/chains/{digest}",
        "A chain in words, whoever sent it.",
        chains.KeptChain,
        _chain,
        lasts=True,
    ),
)
