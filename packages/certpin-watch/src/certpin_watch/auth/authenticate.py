"""Who asks, by what they bring along. Called in a thread: it reads the database."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.errors import StoreError
from certpin_watch.auth import cookies, csrf, sessions, token_text, tokens
from certpin_watch.auth.audit import audit, somebody
from certpin_watch.auth.id_token import LEEWAY
from certpin_watch.auth.roles import ROLES, scopes_of
from certpin_watch.auth.visitor import Visitor

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.datastructures import Headers

    from certpin_watch.auth.door import Door
    from certpin_watch.auth.origin import Origin
    from certpin_watch.auth.sessions import Session
    from certpin_watch.auth.settings import Settings
    from certpin_watch.auth.tokens import Token

_NOTED_EACH = 60  # seconds between two writes of when a token was last used
_FORM = 600  # seconds that a form is taken after the provider should have been asked again


@dataclass(frozen=True)
class Refused:
    """A token that lets nobody in. A wrong one is an error, and never just a stranger."""

    status: int = 401
    why: str = "It is unknown, revoked, or past its end."
    wait: int = 0


def authenticate(
    door: Door, headers: Headers, origin: Origin, now: datetime, method: str = "GET"
) -> Visitor | Refused:
    """Who asks. A token that is brought is looked at alone, whatever cookies are there."""
    if "authorization" in headers:
        return _by_token(door, headers["authorization"], origin, now)
    secret = cookies.get(headers, cookies.SESSION, origin)
    changing = method not in csrf.SAFE
    visitor = _by_session(door, secret, origin, now, changing=changing) if secret else None
    if visitor is not None:
        return visitor
    if origin.is_local and door.is_open():
        return Visitor("local", "local", ROLES["admin"], origin.source)
    return Visitor(source=origin.source)


def _by_session(
    door: Door, secret: str, origin: Origin, now: datetime, *, changing: bool
) -> Visitor | None:
    settings = door.settings.access
    with door.store.read() as connection:
        session = sessions.find(connection, secret, settings, now)
    if session is None:
        return None
    if _is_stale(session, settings, now, changing=changing):
        return Visitor(source=origin.source, session=session.digest, recheck=bool(settings.oidc))
    if sessions.is_due(session, now):
        # Where nothing can be written, people have to see why: it is noted the next time.
        with suppress(StoreError), door.store.write() as connection:
            sessions.note_seen(connection, session, now)
    owner = session.owner
    return Visitor(
        "openid" if owner.account is None else "account",
        owner.name,
        scopes_of(owner.role),
        origin.source,
        csrf.token_of(secret),
        session.digest,
        owner.account,
    )


def _is_stale(session: Session, settings: Settings, now: datetime, *, changing: bool) -> bool:
    """Whether the provider has to say again who this is, and what they may do.

    A form that was open is still taken for a while: what was typed would be lost.
    """
    if session.owner.account is not None:
        return False
    if settings.oidc is None:  # nobody vouches for them any more
        return True
    longest = settings.oidc.recheck_seconds + (_FORM if changing else 0)
    # What the provider said in the future, it said by a clock that ran ahead: nobody knows when.
    return not -LEEWAY <= now.timestamp() - session.made_at < longest


def _by_token(door: Door, header: str, origin: Origin, now: datetime) -> Visitor | Refused:
    kind, _, text = header.partition(" ")
    parsed = token_text.parse(text.strip()) if kind.lower() == "bearer" else None
    if parsed is None:
        return Refused(why="The header Authorization holds no token of the watch.")
    token_id, secret = parsed
    with door.store.read() as connection:
        found = tokens.find(connection, token_id)
    if found is None or not found[0].is_valid(now):
        return Refused()
    if not door.verified.remembers(found[1], secret, now):
        refused = _look(door, found, secret, origin, now)
        if refused is not None:
            return refused
    _note(door, found[0], origin, now)
    return Visitor("token", f"token:{token_id}", found[0].scopes, origin.source)


def _look(
    door: Door, found: tuple[Token, str], secret: str, origin: Origin, now: datetime
) -> Refused | None:
    """Compute Argon2, unless whoever asks was wrong too often."""
    if wait := door.programs.wait(origin.guesser, now):
        return Refused(429, "There were too many wrong tokens from here.", math.ceil(wait))
    if door.verified.matches(found[1], secret, now):
        door.programs.succeeded(origin.guesser)
        return None
    if door.programs.failed(origin.guesser, now):
        with door.store.write() as connection:
            audit(
                connection,
                somebody("", origin.source),
                "token.refused",
                found[0].id,
                at=now,
                outcome="wrong secret",
            )
    return Refused()


def _note(door: Door, token: Token, origin: Origin, now: datetime) -> None:
    """Write down when it was used: the first time for the record, then once a minute."""
    if token.used_at is not None and now.timestamp() - token.used_at < _NOTED_EACH:
        return
    with suppress(StoreError), door.store.write() as connection:
        tokens.note_use(connection, token.id, now)
        if token.used_at is None:
            who = somebody(f"token:{token.id}", origin.source)
            audit(connection, who, "token.first-used", token.name, at=now)
