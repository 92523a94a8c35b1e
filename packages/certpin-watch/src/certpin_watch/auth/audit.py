"""The record of who did what. It is written in the transaction of what was done, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from certpin.x509 import printable
from certpin_watch.auth.visitor import Visitor
from certpin_watch.store.tables.service import AUDIT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection
    from sqlalchemy.engine import Row

LONGEST = 200  # characters of each text: names come from strangers who fail to sign in
PAGE = 100  # rows that are shown at a time


def audit(
    connection: Connection,
    who: Visitor,
    what: str,
    subject: str = "",
    *,
    at: datetime,
    outcome: str = "done",
) -> None:
    """Add a row. ``who`` is the visitor of the request, or ``somebody(…)``.

    ``what`` is a word such as ``silence.made``, ``subject`` what it was done to, ``outcome``
    ``done`` or why not. No secret may be in any of them: it is not looked for here.
    """
    connection.execute(
        AUDIT.insert().values(
            at=int(at.timestamp()),
            who=_short(who.name),
            what=_short(what),
            subject=_short(subject),
            source=_short(who.source),
            outcome=_short(outcome),
        )
    )


def somebody(name: str, source: str = "") -> Visitor:
    """Who is no visitor of a request: ``cli:anna``, a part of the watch, or nobody's name."""
    return Visitor(name=name, source=source)


def page(connection: Connection, before: int | None = None) -> Sequence[Row[tuple[object, ...]]]:
    """The newest rows, or those before a row; one more than a page where there are more."""
    query = select(AUDIT).order_by(AUDIT.c.id.desc()).limit(PAGE + 1)
    return connection.execute(query if before is None else query.where(AUDIT.c.id < before)).all()


def _short(text: str) -> str:
    """What a log and a page can show, and the database can hold."""
    return printable(text[:LONGEST])[:LONGEST]
