"""What is wrong now: the store is read, and everything is judged."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.x509 import Chain
from certpin_watch.monitor.case import Case, Heard, Logged, Look, Scene
from certpin_watch.monitor.debounce import debounce
from certpin_watch.monitor.judge import judge
from certpin_watch.monitor.targets import charges
from certpin_watch.store.chains import read_chains
from certpin_watch.store.probes import logged_since, probed_locations, sightings_between

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from certpin_watch.finding import Finding
    from certpin_watch.monitor.debounce import ConfirmedSighting
    from certpin_watch.monitor.settings import Settings
    from certpin_watch.monitor.targets import Target
    from certpin_watch.snapshot import Watch
    from certpin_watch.store.probes import SightingRow


def findings(watch: Watch, now: datetime) -> list[Finding]:
    """All that is wrong now, the worst first. Blocks; raises ``StoreError``."""
    return judge(scene(watch, now))


def scene(watch: Watch, now: datetime) -> Scene:
    """All that is watched, with what is believed of it. Blocks; raises ``StoreError``."""
    settings, snapshot = watch.settings.monitor, watch.watched.snapshot()
    found = charges(snapshot.sets, settings, now)
    with watch.store.read() as connection:
        looks = _Looks(connection, settings, now)
        return Scene(
            cases=tuple(
                Case(
                    charge,
                    tuple(look for target in charge.targets for look in looks.of(target)),
                    settings,
                    now,
                )
                for charge in found
            ),
            settings=settings,
            now=now,
            problems=snapshot.problems,
            vantages=tuple(_vantages(connection, now)),
            logged=tuple(_logged(connection, now, settings)),
            last=looks.last,
        )


class _Looks:
    """What is believed of every place."""

    def __init__(self, connection: Connection, settings: Settings, now: datetime) -> None:
        rows = _rows(connection, now, settings)
        recent = int((now - settings.silent_after * settings.interval).timestamp())
        places: dict[tuple[str, int, str, str, str], list[SightingRow]] = defaultdict(list)
        for row in rows:
            places[*row.key, row.edge].append(row)
        self._settled: dict[tuple[str, int, str], list[ConfirmedSighting]] = defaultdict(list)
        self.last: dict[tuple[str, int, str, str], datetime] = {}
        for place, each in places.items():
            self._settled[place[:3]].extend(debounce(each, recent))
            if not any(row.latest for row in each):  # not probed any more: silent is no word for it
                continue
            last = _moment(max(row.last_at for row in each))
            self.last[place[:4]] = max(last, self.last.get(place[:4], last))
        self._chains = _Chains(connection, rows)

    def of(self, target: Target) -> Iterable[Look]:
        """What each vantage that asks a target sees of it."""
        for settled in self._settled.get(target.key, ()):
            if settled.row.location in target.vantages:
                yield self._look(target, settled)

    def _look(self, target: Target, settled: ConfirmedSighting) -> Look:
        row, before = settled.row, settled.before
        verified = self._chains.of(row.verified)
        return Look(
            target=target,
            vantage=row.location,
            outcome=row.outcome,
            edge=row.edge,
            address=row.address,
            served=self._chains.of(row.served),
            verified=verified,
            problem=row.problem,
            code=row.code,
            since=_moment(row.first_at),
            last=_moment(row.last_at),
            before=self._chains.of(before.verified) if before else None,
            changed=_moment(settled.changed_at),
        )


class _Chains:
    """The chains of some rows, read at once."""

    def __init__(self, connection: Connection, rows: Iterable[SightingRow]) -> None:
        wanted = {digest for row in rows for digest in (row.served, row.verified)}
        self._read = read_chains(connection, wanted)
        self._parsed: dict[bytes, Chain | None] = {b"": None}

    def of(self, digest: bytes) -> Chain | None:
        """The chain; ``None`` where there was none, or it is kept no more."""
        if digest not in self._parsed:
            try:
                self._parsed[digest] = Chain.from_der(self._read.get(digest, ()))
            except CertificateParseError:
                self._parsed[digest] = None
        return self._parsed[digest]


def _rows(connection: Connection, now: datetime, settings: Settings) -> list[SightingRow]:
    """What goes on, and what ended within the time in which changes are told.

    What ended in the future did so by a clock that ran ahead: nobody knows when.
    """
    span = max(settings.changes, settings.silent_after * settings.interval)
    return sightings_between(connection, int((now - span).timestamp()), int(now.timestamp()))


def _vantages(connection: Connection, now: datetime) -> Iterable[Heard]:
    for row in probed_locations(connection):
        heard = None if row.heard_at is None else _moment(row.heard_at)
        if heard is not None and heard > now:  # likewise
            heard = None
        yield Heard(row.name, _moment(row.since), _moment(row.asked_at), heard)


def _logged(connection: Connection, now: datetime, settings: Settings) -> Iterable[Logged]:
    for row in logged_since(connection, int((now - settings.logged).timestamp())):
        yield Logged(
            tbs=row.tbs,
            kind=row.kind,
            key=row.key,
            names=tuple(row.names.split()),
            issuer=row.issuer,
            log=row.log,
            summary=row.summary,
            not_after=_moment(row.not_after),
            first=_moment(row.first_at),
            authorities=tuple(
                row.authorities[at : at + 32] for at in range(0, len(row.authorities), 32)
            ),
        )


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
