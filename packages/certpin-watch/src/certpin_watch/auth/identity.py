"""The sender of a request: a program with a token, a signed-in user, a local user, or unknown."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from certpin.errors import StoreError
from certpin_watch.auth import sessions
from certpin_watch.auth.id_token import LEEWAY
from certpin_watch.permissions import (
    ANYONE,
    ROLES,
    SIGNED_IN,
    WORKER,
    location_of,
    parse_token,
    scopes_of,
)
from certpin_watch.store.accounts import find_session, record_session_use
from certpin_watch.store.audit import Actor, audit
from certpin_watch.store.tokens import find_token, record_token_use

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.datastructures import Headers

    from certpin_watch.auth.state import AuthState
    from certpin_watch.origin import Origin
    from certpin_watch.settings import AuthSettings
    from certpin_watch.store.accounts import Session
    from certpin_watch.store.tokens import Token

# local: the only user of a service on the loopback without accounts.
Kind = Literal["anonymous", "local", "account", "openid", "token"]
_USERS: tuple[Kind, ...] = ("local", "account", "openid")

_USE_RECORDED_EACH = 60  # seconds between two writes of when a token was last used
_FORM_SECONDS = 600  # for which an open form is accepted after the provider should be asked again


@dataclass(frozen=True)
class Identity(Actor):
    """The user or program that sent a request, and their scopes.

    ``csrf`` is the token that forms on their pages must contain. ``session`` is the digest of the
    session's secret, and ``account`` the ID of the account; None without one. If ``recheck`` is
    True, the OpenID provider must confirm the user first: until then the identity has no scopes.
    """

    kind: Kind = "anonymous"
    scopes: frozenset[str] = frozenset()
    csrf: str = field(default="", repr=False)
    session: bytes | None = field(default=None, repr=False)
    account: int | None = None
    recheck: bool = False

    @property
    def signed_in(self) -> bool:
        """True if this is a user who is signed in; False for a program."""
        return self.kind in _USERS

    @property
    def role(self) -> str:
        """The role that has exactly these scopes; empty if no role has, as for many tokens."""
        return next((role for role, scopes in ROLES.items() if scopes == self.scopes), "")

    @property
    def location(self) -> str:
        """The location of a worker's token; empty for all others."""
        return location_of(self.scopes)

    def may(self, requirement: str) -> bool:
        """Return True if this identity meets the requirement of a route.

        An unknown requirement is never met.
        """
        if requirement == ANYONE:
            return True
        if requirement == SIGNED_IN:
            return self.signed_in
        if requirement == WORKER:
            return bool(self.location)
        return requirement in self.scopes


@dataclass(frozen=True)
class RefusedToken:
    """The refusal of a token. ``wait`` is in seconds; 0 means that waiting doesn't help."""

    status: int = 401
    why: str = "It is unknown, revoked or expired."
    wait: int = 0


def authenticate(
    state: AuthState, headers: Headers, origin: Origin, now: datetime, method: str = "GET"
) -> Identity | RefusedToken:
    """Identify the sender of a request by its token or cookie.

    Blocks: it reads the database, and may compute Argon2.

    A wrong token is refused, even if the request has a valid cookie.

    Args:
        state: the state of access control.
        headers: the request's headers.
        origin: the client's address, and the scheme and host of the request.
        now: the current time.
        method: the request's method.

    Raises:
        StoreError: the database is unavailable.
    """
    if "authorization" in headers:
        return _by_token(state, headers["authorization"], origin, now)
    secret = sessions.get_cookie(headers, sessions.SESSION_COOKIE, origin)
    is_change = method not in sessions.SAFE_METHODS
    identity = _by_session(state, secret, origin, now, is_change=is_change) if secret else None
    if identity is not None:
        return identity
    if origin.is_local and state.is_open():
        return Identity("local", origin.source, kind="local", scopes=ROLES["admin"])
    return Identity(source=origin.source)


def _by_session(
    state: AuthState, secret: str, origin: Origin, now: datetime, *, is_change: bool
) -> Identity | None:
    settings = state.settings.access
    with state.store.read() as connection:
        session = find_session(connection, sessions.digest_of(secret), settings, now)
    if session is None:
        return None
    if _is_outdated(session, settings, now, is_change=is_change):
        recheck = bool(settings.oidc)
        return Identity(source=origin.source, session=session.digest, recheck=recheck)
    if not sessions.is_use_recorded(session, now):
        # If the store is read-only or full, users must still see the pages that say so.
        with suppress(StoreError), state.store.write() as connection:
            record_session_use(connection, session, now)
    owner = session.owner
    return Identity(
        owner.name,
        origin.source,
        kind="openid" if owner.account is None else "account",
        scopes=scopes_of(owner.role),
        csrf=sessions.csrf_token(secret),
        session=session.digest,
        account=owner.account,
    )


def _is_outdated(
    session: Session, settings: AuthSettings, now: datetime, *, is_change: bool
) -> bool:
    """Return True if the OpenID provider must confirm a session's user and role again.

    A submitted form (``is_change``) is accepted for longer, because its input would be lost.
    """
    if session.owner.account is not None:
        return False
    if settings.oidc is None:  # the provider was removed from the settings
        return True
    limit = settings.oidc.recheck_seconds + (_FORM_SECONDS if is_change else 0)
    # A statement from the future was made while the clock ran ahead: its age is unknown.
    return not -LEEWAY <= now.timestamp() - session.made_at < limit


def _by_token(
    state: AuthState, header: str, origin: Origin, now: datetime
) -> Identity | RefusedToken:
    scheme, _, text = header.partition(" ")
    parsed = parse_token(text.strip()) if scheme.lower() == "bearer" else None
    if parsed is None:
        return RefusedToken(why="The header Authorization contains no token of this service.")
    token_id, secret = parsed
    with state.store.read() as connection:
        token = find_token(connection, token_id)
    if token is None or not token.is_valid(now):
        return RefusedToken()
    if not state.verified.is_known(token, secret, now):
        refused = _verify(state, token, secret, origin, now)
        if refused is not None:
            return refused
    _record_use(state, token, origin, now)
    return Identity(f"token:{token_id}", origin.source, kind="token", scopes=token.scopes)


def _verify(
    state: AuthState, token: Token, secret: str, origin: Origin, now: datetime
) -> RefusedToken | None:
    """Check a token's secret with Argon2. Return the refusal, or None if the secret is correct.

    A source that sent too many wrong tokens is refused without the check.
    """
    if wait := state.tokens.wait(origin.guesser, now):
        return RefusedToken(429, "Too many wrong tokens came from your network.", math.ceil(wait))
    if state.verified.verify(token, secret, now):
        state.tokens.succeeded(origin.guesser)
        return None
    if state.tokens.failed(origin.guesser, now):
        actor = Actor(source=origin.source)
        with state.store.write() as connection:
            audit(connection, actor, "token.refused", token.id, at=now, outcome="wrong secret")
    return RefusedToken()


def _record_use(state: AuthState, token: Token, origin: Origin, now: datetime) -> None:
    """Store when a token was used, at most once a minute; audit its first use."""
    if token.used_at is not None and now.timestamp() - token.used_at < _USE_RECORDED_EACH:
        return
    with suppress(StoreError), state.store.write() as connection:
        record_token_use(connection, token.id, now)
        if token.used_at is None:
            actor = Actor(f"token:{token.id}", origin.source)
            audit(connection, actor, "token.first-used", token.name, at=now)
