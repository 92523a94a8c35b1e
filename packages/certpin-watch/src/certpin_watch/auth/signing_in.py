"""Signing in with a name and a password."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from anyio import to_thread

from certpin_watch.auth import accounts, sessions
from certpin_watch.auth.audit import audit, somebody
from certpin_watch.auth.sessions import Owner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from certpin_watch.auth.door import Door
    from certpin_watch.auth.origin import Origin
    from certpin_watch.auth.visitor import Visitor

MOST_WAITING = 32  # tries that are delayed or computed at a time; each holds a connection

_BUSY = 5  # seconds after which to come back when there are more


@dataclass(frozen=True)
class Try:
    """A name, a password, and the browser that sent them."""

    name: str
    password: str = field(repr=False)
    origin: Origin
    agent: str


@dataclass(frozen=True)
class Result:
    """``secret`` is the cookie of a new session. Without it: wrong, or ``wait`` seconds first."""

    secret: str = field(default="", repr=False)
    wait: int = 0


async def sign_in(
    door: Door,
    tried: Try,
    visitor: Visitor,
    now: datetime,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Result:
    """Try it. Whoever is not known is treated as whoever is wrong, and it takes as long."""
    if door.trying >= MOST_WAITING:
        return Result(wait=_BUSY)
    door.trying += 1
    try:
        source = tried.origin.guesser
        judged = await to_thread.run_sync(door.logins.begin, source, tried.name, now)
        if judged.refused_for:
            return Result(wait=math.ceil(judged.refused_for))
        if judged.delay:
            await sleep(judged.delay)
        return await to_thread.run_sync(_look, door, tried, visitor, now, limiter=door.computing)
    finally:
        door.trying -= 1


def is_password(door: Door, name: str, password: str) -> bool:
    """Whether it is the password of an account. Slow."""
    with door.store.read() as connection:
        found = accounts.kept_password(connection, name)
    return accounts.check(found, password)


def _look(door: Door, tried: Try, visitor: Visitor, now: datetime) -> Result:
    with door.store.read() as connection:
        found = accounts.kept_password(connection, tried.name)
    if not accounts.check(found, tried.password) or found is None:
        note_failure(door, tried.origin, tried.name, now)
        return Result()
    renewed = accounts.renewed(found, tried.password)
    source = tried.origin.source
    with door.store.write() as connection:
        if not accounts.note_login(connection, found, renewed, now):
            return Result()  # removed, or another password, while this one was computed
        if visitor.session is not None:
            sessions.end(connection, visitor.session)
        owner = Owner.of(found[0])
        secret = sessions.begin(
            connection, owner, door.settings.access, now, source=source, agent=tried.agent
        )
        audit(connection, somebody(owner.name, source), "login", "password", at=now)
    door.logins.succeeded(tried.origin.guesser, tried.name)
    return Result(secret)


def note_failure(door: Door, origin: Origin, name: str, now: datetime) -> None:
    """Write a wrong password down, unless there are too many. It was counted when it began."""
    if door.logins.failed(origin.guesser, name, now):
        with door.store.write() as connection:
            who = somebody("", origin.source)
            audit(connection, who, "login", name, at=now, outcome="wrong name or password")
