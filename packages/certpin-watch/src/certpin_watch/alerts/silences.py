"""Silences: who wants not to be told of what, until when, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, insert, select, update

from certpin.errors import InputError
from certpin.rotation.adoption import format_duration
from certpin_watch.alerts.known import check_rule
from certpin_watch.alerts.quiet import Silence, last_end
from certpin_watch.store.tables.alerts import SILENCES

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy import ColumnElement, Connection

    from certpin_watch.alerts.settings import Settings

_LONGEST = 500  # characters of each text: people write them, and pages show them


def silence(
    connection: Connection, wanted: Silence, settings: Settings, *, at_most: timedelta | None = None
) -> Silence:
    """Keep something quiet. Raises ``InputError``: for too long, for all, or no such rule.

    ``at_most`` is a shorter limit than that of the settings, for whoever asks for one. Not checked:
    whether there is such a host; there may be one tomorrow (``known.doubt``).
    """
    _check(wanted, min(settings.silence, at_most or settings.silence))
    values = {
        name: getattr(wanted, name) for name in ("rule", "host", "since", "until", "who", "why")
    }
    result = connection.execute(insert(SILENCES).values(**values).returning(SILENCES.c.id))
    return Silence(**values, id=result.scalar_one())


def end_silence(connection: Connection, number: int, now: int) -> bool:
    """End one before its time. False where there is none that could end."""
    table = SILENCES.c
    ended = update(SILENCES).where(table.id == number, table.ended_at.is_(None), table.until > now)
    return bool(connection.execute(ended.values(ended_at=now)).rowcount)


def silences_in_force(connection: Connection, now: int, settings: Settings) -> tuple[Silence, ...]:
    """Those that keep something quiet now, the one that ends first at the top."""
    order = (SILENCES.c.until, SILENCES.c.id)
    rows = connection.execute(select(SILENCES).where(in_force(now, settings)).order_by(*order))
    return tuple(map(_silence, rows))


def in_force(now: int, settings: Settings) -> ColumnElement[bool]:
    """What ``quiet.holds`` says of a silence, for a query."""
    table = SILENCES.c
    ends = and_(table.until > now, table.until <= last_end(now, settings))
    return and_(table.ended_at.is_(None), ends)


def _silence(row: object) -> Silence:
    names = ("rule", "host", "since", "until", "who", "why", "ended_at", "id")
    return Silence(**{name: getattr(row, name) for name in names})


def _check(wanted: Silence, longest: timedelta) -> None:
    length = wanted.until - wanted.since
    if not wanted.rule and not wanted.host:
        raise InputError("this would keep everything quiet", fix="name a rule, a host, or both")
    if wanted.rule:
        check_rule(wanted.rule)
    if length <= 0:
        raise InputError("it would be over before it begins")
    if length > longest.total_seconds():
        raise InputError(
            "nothing may be quiet for so long", fix=f"at most {format_duration(longest)}"
        )
    if not wanted.who.strip() or not wanted.why.strip():
        raise InputError("somebody has to answer for it", fix="say who you are, and why")
    for name in ("rule", "host", "who", "why"):
        text = getattr(wanted, name)
        if len(text) > _LONGEST or not text.isprintable():
            raise InputError(
                f"{name} is too long, or cannot be printed", fix=f"at most {_LONGEST} characters"
            )
