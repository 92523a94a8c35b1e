"""The audit log: who did what, and when.

An entry is written in the transaction of the change that it records, so that neither exists without
the other. Entries are only added; retention deletes the old ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from certpin.x509 import printable
from certpin_watch.store.tables.service import AUDIT

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

MAX_TEXT = 200  # characters of each text: a failed login can bring any name
PAGE = 100  # entries of a page


@dataclass(frozen=True)
class Actor:
    """The user, program or part of the service that did something.

    ``name`` is that of an account, or has a prefix: ``openid:anna@bank.example``, ``token:ID``,
    ``cli:anna``. It is empty if it is not known. ``source`` is the network of the client, never its
    whole address.
    """

    name: str = ""
    source: str = ""


class AuditEntry(NamedTuple):
    """A row of the audit log. ``at`` is in seconds since 1970."""

    id: int
    at: int
    who: str
    what: str
    subject: str
    source: str
    outcome: str


def audit(
    connection: Connection,
    actor: Actor,
    what: str,
    subject: str = "",
    *,
    at: datetime,
    outcome: str = "done",
) -> None:
    """Add an entry to the audit log. NOT checked: that no text contains a secret.

    Args:
        connection: a transaction, that of the change.
        actor: who did it.
        what: a word such as ``silence.made``.
        subject: the object that was changed.
        at: the time.
        outcome: ``done``, or the reason of a failure.
    """
    entry = {"who": actor.name, "what": what, "subject": subject, "source": actor.source}
    texts = {name: _short(text) for name, text in {**entry, "outcome": outcome}.items()}
    connection.execute(AUDIT.insert().values(at=int(at.timestamp()), **texts))


def audit_page(connection: Connection, before: int | None = None) -> list[AuditEntry]:
    """Return a page of the audit log, newest entries first.

    Args:
        connection: to the store.
        before: only entries that are older than the entry with this ID.

    Returns:
        At most ``PAGE`` entries, and one more if older ones exist.
    """
    columns = (AUDIT.c[name] for name in AuditEntry._fields)
    query = select(*columns).order_by(AUDIT.c.id.desc()).limit(PAGE + 1)
    rows = connection.execute(query if before is None else query.where(AUDIT.c.id < before))
    return [AuditEntry(*row) for row in rows]


def _short(text: str) -> str:
    return printable(text[:MAX_TEXT])[:MAX_TEXT]
