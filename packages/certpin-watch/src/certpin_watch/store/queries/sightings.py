"""TODO: one docstring."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from sqlalchemy import exists, select, tuple_

from certpin.errors import CertificateParseError
from certpin.pins import verify
from certpin_watch.expiry import HAS_EXPIRED, near
from certpin_watch.store.queries.base import (
    DEFAULT_THRESHOLDS,
    Page,
    Thresholds,
    clamp_limit,
    hexadecimal,
    make_page,
    to_datetime,
)
from certpin_watch.store.queries.chains import load_chains
from certpin_watch.store.tables.probes import LATEST, SIGHTINGS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Connection, Row

    from certpin.pins import PinSet
    from certpin.rotation import Version
    from certpin.x509 import Chain
    from certpin_watch.snapshot import Snapshot, WatchedSet


_MICROSECONDS = 1_000_000  # of a second


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """From ``first_at`` to ``last_at`` a vantage saw the same. The digests are those of chains.

    ``way`` and ``edge`` tell several answers of one vantage and port apart, and are empty else.
    ``seconds`` is how long the last probe took, with all its attempts; none where nobody knows.
    """

    vantage: str
    port: int
    way: str
    edge: str
    address: str
    outcome: str
    served: str
    verified: str
    tls: str
    problem: str
    code: int
    first_at: datetime
    last_at: datetime
    probes: int
    seconds: float | None = None


def _observation_fields(row: Row[Any]) -> dict[str, Any]:
    """The fields of a row."""
    same = ("vantage", "port", "way", "edge", "address", "outcome", "tls", "problem", "code")
    return {
        **{name: row._mapping[name] for name in same},
        "served": hexadecimal(row.served),
        "verified": hexadecimal(row.verified),
        "first_at": to_datetime(row.first_at),
        "last_at": to_datetime(row.last_at),
        "probes": row._mapping["count"],  # `count` is a method of rows
        "seconds": row.took / _MICROSECONDS if row.took else None,
    }


# As a verdict's reasons; `unpinned` where no policy covers the host.
Answer = Literal["match", "compromised-key", "mismatch", "expired", "no-chain", "unpinned"]


class PinJudge:
    """One moment of the watched pin sets. What each set's journal means is worked out once."""

    def __init__(self, snapshot: Snapshot, now: datetime) -> None:
        self.sets = snapshot.sets
        self.now = now
        self._alive = {each.path: each.alive(now) for each in snapshot.sets}

    def alive(self, watched: WatchedSet) -> tuple[Version, ...]:
        """The versions of a set that some client may hold."""
        return self._alive[watched.path]

    def answer(self, host: str, chain: Chain | None) -> Answer:
        """What the pin files say now; where several cover the host, the worst of it."""
        answers = [_answer(each.pins, host, chain, self.now) for each in self.sets]
        order: tuple[Answer, ...] = (
            *("no-chain", "compromised-key", "mismatch", "expired", "match"),
        )
        return next((each for each in order if each in answers), "unpinned")

    def refusing(self, host: str, chain: Chain | None) -> tuple[int, ...]:
        """The numbers of the versions alive whose clients refuse this path.

        Pins past their date are another matter: they refuse everything.
        """
        versions = [each.pins for watched in self.sets for each in self.alive(watched)]
        found = {pins.version for pins in versions if _refuses(pins, host, chain, self.now)}
        return tuple(sorted(found))

    def ends_soon(self, host: str, chain: Chain | None, warning: timedelta) -> bool:
        """Whether a certificate of a chain has ended or ends soon, as the monitor has it."""
        if chain is None:
            return False
        policies = [(each.pins.policy_for(host), each.timing.adopt) for each in self.sets]
        covers = [(policy, adopt) for policy, adopt in policies if policy is not None]
        try:
            return any(
                each.not_after - self.now < near(each, warning, authority=at > 0, covers=covers)
                for at, each in enumerate(chain.certificates)
            )
        except CertificateParseError:
            return False


def _answer(pins: PinSet, host: str, chain: Chain | None, now: datetime) -> Answer:
    policy = pins.policy_for(host)
    if policy is None:
        return "unpinned"
    reason = verify(chain, policy, now).reason
    return "match" if reason == "debug-anchor" else reason


def _refuses(pins: PinSet, host: str, chain: Chain | None, now: datetime) -> bool:
    policy = pins.policy_for(host)
    if policy is None:
        return False
    verdict = verify(chain, policy, now)
    return verdict.decision == "refuse" and verdict.reason != "expired"


_MAX_SIGHTINGS = 20_000  # sightings that are looked at for one answer

# What a vantage can meet that needs somebody, by what stands in `outcome` and `answer`.
_OUTCOMES = {"unreachable": "unreachable", "unverified": "unverified"}
_ANSWERS = {
    "compromised-key": "compromised-key",
    "mismatch": "mismatch",
    "expired": "pins-ended",
}


class Vantage(Observation, frozen=True, kw_only=True):
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


def current_by_location(
    connection: Connection,
    judge: PinJudge,
    hosts: Sequence[str],
    limits: Thresholds = DEFAULT_THRESHOLDS,
) -> dict[str, tuple[Vantage, ...]]:
    """The latest sighting of each vantage, by host; those of a host in their order by name."""
    columns = SIGHTINGS.c
    statement = select(SIGHTINGS).where(LATEST, columns.host.in_(hosts))
    order = (columns.host, columns.vantage, columns.port, columns.way, columns.edge)
    rows = connection.execute(statement.order_by(*order).limit(_MAX_SIGHTINGS)).all()
    digests = {digest for row in rows for digest in (row.served, row.verified) if digest}
    kept = load_chains(connection, digests)
    found: dict[str, tuple[Vantage, ...]] = defaultdict(tuple)
    for row in rows:
        found[row.host] += (_vantage(row, kept, judge, limits),)
    return found


def earliest_expiry(chain: Chain | None) -> datetime | None:
    """The earliest end of a chain; ``None`` where there is none that makes sense."""
    try:
        return min((each.not_after for each in chain.certificates), default=None) if chain else None
    except CertificateParseError:
        return None


def _vantage(
    row: Row[Any], kept: dict[bytes, Chain | None], judge: PinJudge, limits: Thresholds
) -> Vantage:
    path, sent = kept.get(row.verified), kept.get(row.served)
    shown, judged = path or sent, path or (sent if row.code == HAS_EXPIRED else None)
    answer = judge.answer(row.host, path)
    refused_by = judge.refusing(row.host, path) if path else ()
    word = _OUTCOMES.get(row.outcome) or _ANSWERS.get(answer) or ("refused" if refused_by else "")
    return Vantage(
        **_observation_fields(row),
        answer=answer,
        refused_by=refused_by,
        not_after=earliest_expiry(shown),
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


# What may differ between two sightings of one vantage, as `Change.what` names it.
_COLUMNS = ("outcome", "served", "verified", "address", "tls", "problem")


class Sighting(Observation, frozen=True, kw_only=True):
    """What a vantage saw of a host for a while; ``latest`` where it goes on."""

    id: int
    host: str
    latest: bool


class Change(msgspec.Struct, frozen=True):
    """A vantage saw something else than before. ``what`` names it, the weightiest first.

    ``key`` and ``issuer`` are those of the leaf; ``outcome``, ``served``, ``verified``,
    ``address``, ``tls`` and ``problem`` are what a sighting has.
    """

    at: datetime
    vantage: str
    port: int
    what: tuple[str, ...]
    before: Sighting
    after: Sighting


def has_sightings(connection: Connection) -> bool:
    """Whether any probe was ever made."""
    return bool(connection.execute(select(exists().select_from(SIGHTINGS))).scalar())


def history(
    connection: Connection,
    host: str,
    *,
    before: tuple[int, int] | None = None,
    limit: int = 100,
) -> Page[Sighting]:
    """What was seen of a host, the last first; ``before`` is the ``next`` of the page before."""
    limit, columns = clamp_limit(limit), SIGHTINGS.c
    key = (columns.last_at, columns.id)
    statement = select(SIGHTINGS).where(columns.host == host)
    if before is not None:
        statement = statement.where(tuple_(*key) < before)
    order = (each.desc() for each in key)
    rows = connection.execute(statement.order_by(*order).limit(limit + 1)).all()
    keys = [(row.last_at, row.id) for row in rows]
    return make_page([_sighting(row) for row in rows], limit, keys)


def changes(connection: Connection, host: str, *, limit: int = 50) -> tuple[Change, ...]:
    """What changed at a host, the last first. Of each sighting, to the one before it in a page."""
    found = history(connection, host, limit=clamp_limit(limit)).items
    digests = {bytes.fromhex(each) for row in found for each in (row.served, row.verified) if each}
    kept = load_chains(connection, digests)
    changed: list[Change] = []
    newer: dict[tuple[str, int, str, str], Sighting] = {}
    for row in found:
        place = (row.vantage, row.port, row.way, row.edge)
        if place in newer:
            changed.append(_change(row, newer[place], kept))
        newer[place] = row
    return tuple(sorted(changed, key=lambda each: each.at, reverse=True))


def _change(before: Sighting, after: Sighting, kept: dict[bytes, Chain | None]) -> Change:
    old, new = (_shown(each, kept) for each in (before, after))
    weighty = []
    if old and new and old.leaf.spki_sha256 != new.leaf.spki_sha256:
        weighty.append("key")
    if old and new and issuer_of(old) != issuer_of(new):
        weighty.append("issuer")
    plain = [name for name in _COLUMNS if getattr(before, name) != getattr(after, name)]
    return Change(after.first_at, after.vantage, after.port, (*weighty, *plain), before, after)


def _shown(sighting: Sighting, kept: dict[bytes, Chain | None]) -> Chain | None:
    """The path that verified, or what was served without one."""
    return kept.get(bytes.fromhex(sighting.verified or sighting.served))


def _sighting(row: Row[Any]) -> Sighting:
    return Sighting(id=row.id, host=row.host, latest=bool(row.latest), **_observation_fields(row))
