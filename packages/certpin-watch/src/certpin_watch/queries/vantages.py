"""What each vantage sees of a host now, against its pins."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from certpin.errors import CertificateParseError
from certpin_watch.expiry import HAS_EXPIRED
from certpin_watch.queries.chains import chains
from certpin_watch.queries.judging import Answer  # noqa: TC001  # as above
from certpin_watch.queries.limits import USUAL, Limits
from certpin_watch.queries.seen import Seen, seen_of
from certpin_watch.store.tables.sightings import LATEST, SIGHTINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

    from certpin.x509 import Chain
    from certpin_watch.queries.judging import Judge

_MOST = 20_000  # sightings that are looked at for one answer

# What a vantage can meet that needs somebody, by what stands in `outcome` and `answer`.
_OUTCOMES = {"unreachable": "unreachable", "unverified": "unverified"}
_ANSWERS = {
    "compromised-key": "compromised-key",
    "mismatch": "mismatch",
    "expired": "pins-ended",
}


class Vantage(Seen, frozen=True, kw_only=True):
    """What a vantage last saw of a host, and since when it is so.

    ``answer`` is what the watched pins say to the verified path, ``refused_by`` the versions still
    alive whose clients refuse it. ``not_after`` is the earliest end on that path, or on what was
    served where none verified; ``ends_soon`` is whether one of these is near, for its certificate's
    own life. ``problem_word`` is empty where nothing is wrong.
    """

    answer: Answer
    refused_by: tuple[int, ...]
    not_after: datetime | None = None
    leaf_pin: str = ""
    issuer: str = ""
    problem_word: str = ""
    ends_soon: bool = False


def vantages(
    connection: Connection, judge: Judge, hosts: Sequence[str], limits: Limits = USUAL
) -> dict[str, tuple[Vantage, ...]]:
    """The latest sighting of each vantage, by host; those of a host in their order by name."""
    columns = SIGHTINGS.c
    statement = select(SIGHTINGS).where(LATEST, columns.host.in_(hosts))
    order = (columns.host, columns.vantage, columns.port, columns.way, columns.edge)
    rows = connection.execute(statement.order_by(*order).limit(_MOST)).all()
    digests = {digest for row in rows for digest in (row.served, row.verified) if digest}
    kept = chains(connection, digests)
    found: dict[str, tuple[Vantage, ...]] = defaultdict(tuple)
    for row in rows:
        found[row.host] += (_vantage(row, kept, judge, limits),)
    return found


def ends(chain: Chain | None) -> datetime | None:
    """The earliest end of a chain; ``None`` where there is none that makes sense."""
    try:
        return min((each.not_after for each in chain.certificates), default=None) if chain else None
    except CertificateParseError:
        return None


def _vantage(
    row: Row[Any], kept: dict[bytes, Chain | None], judge: Judge, limits: Limits
) -> Vantage:
    path, sent = kept.get(row.verified), kept.get(row.served)
    shown, judged = path or sent, path or (sent if row.code == HAS_EXPIRED else None)
    answer = judge.answer(row.host, path)
    refused_by = judge.refusing(row.host, path) if path else ()
    word = _OUTCOMES.get(row.outcome) or _ANSWERS.get(answer) or ("refused" if refused_by else "")
    return Vantage(
        **seen_of(row),
        answer=answer,
        refused_by=refused_by,
        not_after=ends(shown),
        leaf_pin=_leaf_pin(shown),
        issuer=issuer_of(shown),
        problem_word=word,
        ends_soon=judge.ends_soon(row.host, judged, limits.certificates),
    )


def _leaf_pin(chain: Chain | None) -> str:
    from certpin.pins import pins_of

    return str(pins_of(chain.leaf)[0]) if chain else ""


def issuer_of(chain: Chain | None) -> str:
    """Who issued the leaf, as the leaf says; empty where that makes no sense."""
    try:
        return chain.leaf.issuer if chain else ""
    except CertificateParseError:
        return ""
