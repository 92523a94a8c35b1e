"""The sender of a request, and whether local requests need a login.

A sender is a program with a token, a signed-in user, a user of this machine without a login, or
unknown. ``AuthState`` has the caches and throttles that requests share; ``check_listening`` checks
before the service listens whether the settings protect it.
"""

from __future__ import annotations

import math
import ssl
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from weakref import WeakKeyDictionary

from anyio import CapacityLimiter

from certpin.errors import ConfigError, StoreError
from certpin_watch.addresses import host_of, is_local_only, is_loopback
from certpin_watch.auth import sessions
from certpin_watch.auth.credentials import MAX_PARALLEL, VerifiedTokens
from certpin_watch.auth.id_token import LEEWAY
from certpin_watch.auth.openid import OpenIDProvider
from certpin_watch.auth.throttle import AuditLimit, LoginThrottle, TokenThrottle
from certpin_watch.permissions import (
    ANYONE,
    ROLES,
    SIGNED_IN,
    WORKER,
    location_of,
    parse_token,
    scopes_of,
)
from certpin_watch.store.accounts import (
    Actor,
    audit,
    find_token,
    has_accounts,
    has_tokens,
    record_token_use,
)
from certpin_watch.store.schema import SchemaState, schema_state
from certpin_watch.store.sessions import find_session, record_session_use

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.datastructures import Headers

    from certpin_watch.addresses import Origin
    from certpin_watch.context import Watch
    from certpin_watch.settings import AuthSettings, ServiceSettings
    from certpin_watch.store import Store
    from certpin_watch.store.accounts import Token
    from certpin_watch.store.sessions import Session


# local: the only user of a service on the loopback without accounts.
Kind = Literal["anonymous", "local", "account", "openid", "token"]
_USERS: tuple[Kind, ...] = ("local", "account", "openid")

_USE_RECORDED_EACH = 60  # seconds between two writes of when a session or token was last used


@dataclass(frozen=True)
class Identity(Actor):
    """The user or program that sent a request, and the actions that this sender is permitted to do.

    Attributes:
        kind: how the sender was identified: "account" (a password), "openid", "token", "local" (a
            user of this machine, without a login), or "anonymous".
        scopes: the permitted actions.
        csrf: the token that forms on this user's pages must contain.
        session: the SHA-256 of the session's cookie; None without a session.
        account: the ID of the account; None without one.
        recheck: True if the user has a session that the OpenID provider must confirm before any
            action is permitted. Until then, ``scopes`` is empty, but the user can sign out.
    """

    kind: Kind = "anonymous"
    scopes: frozenset[str] = frozenset()
    csrf: str = field(default="", repr=False)
    session: bytes | None = field(default=None, repr=False)
    account: int | None = None
    recheck: bool = False

    @property
    def signed_in(self) -> bool:
        """True if the sender is a user, who signed in or who is local and needs no login.

        False for a program with a token, and for an unknown sender.
        """
        return self.kind in _USERS

    @property
    def role(self) -> str:
        """The role with exactly the scopes of this identity; empty if no role has exactly these.

        The page of the account shows it, and a new session of the user gets it.
        """
        return next((role for role, scopes in ROLES.items() if scopes == self.scopes), "")

    @property
    def location(self) -> str:
        """The location of the worker that sent the request; empty for any other sender.

        A worker is a program that probes hosts from another machine, its location.
        """
        return location_of(self.scopes)

    def may(self, requirement: str) -> bool:
        """Return True if this user or program meets the requirement of a route, such as a scope.

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
    """The refusal of a request because of its token.

    Attributes:
        status: the HTTP status.
        why: the reason.
        wait: the seconds after which the client may try again; 0 if waiting doesn't help.
    """

    status: int = 401
    why: str = "It is unknown, revoked or expired."
    wait: int = 0


def authenticate(
    state: AuthState, headers: Headers, origin: Origin, now: datetime
) -> Identity | RefusedToken:
    """Return the user or program that sent a request, identified by its token or cookie.

    If the token can't be accepted, return a ``RefusedToken``, even if the request has a valid
    cookie. Blocks: it reads the database, and sometimes computes Argon2, which is slow.

    Args:
        state: the state of access control.
        headers: the request's headers.
        origin: the client's address, and the scheme and host of the request.
        now: the current time.

    Raises:
        StoreError: the database is unavailable.
    """
    if "authorization" in headers:
        return _by_token(state, headers["authorization"], origin, now)
    secret = sessions.get_cookie(headers, sessions.SESSION_COOKIE, origin)
    identity = _by_session(state, secret, origin, now) if secret else None
    if identity is not None:
        return identity
    if origin.is_local and state.is_open():
        return Identity("local", origin.source, kind="local", scopes=ROLES["admin"])
    return Identity(source=origin.source)


def _by_session(state: AuthState, secret: str, origin: Origin, now: datetime) -> Identity | None:
    settings = state.settings.access
    with state.store.read() as connection:
        session = find_session(connection, sessions.digest_of(secret), settings, now)
    if session is None:
        return None
    owner, csrf = session.owner, sessions.csrf_token(secret)
    if _is_outdated(session, settings, now):
        return Identity(
            owner.name,
            origin.source,
            csrf=csrf,  # the form of an open page can still end the session
            session=session.digest,
            recheck=bool(settings.oidc),
        )
    if not _is_use_recorded(session.seen_at, now):
        # If the store is read-only or full, users must still see the pages that say so.
        with suppress(StoreError), state.store.write() as connection:
            record_session_use(connection, session, now)
    return Identity(
        owner.name,
        origin.source,
        kind="openid" if owner.account is None else "account",
        scopes=scopes_of(owner.role),
        csrf=csrf,
        session=session.digest,
        account=owner.account,
    )


def _is_outdated(session: Session, settings: AuthSettings, now: datetime) -> bool:
    """Return True if the OpenID provider must confirm the user and role of a session again.

    That is the case if the last confirmation is too old, or if the settings have no provider any
    more. Sessions of accounts with a password need no confirmation.

    The same maximum age of a confirmation applies to pages and to submitted forms. If it were
    longer for forms, a user who has lost the role could still create a token, for example.
    """
    if session.owner.account is not None:
        return False
    if settings.oidc is None:  # the provider was removed from the settings
        return True
    # A statement from the future was made while the clock ran ahead: its age is unknown.
    age = now.timestamp() - session.made_at
    return not -LEEWAY <= age < settings.oidc.recheck_seconds


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
    """Check the secret of a token with Argon2.

    If too many wrong tokens came from the client's network, the token is refused without the check.

    ``token`` is the stored token, ``secret`` the secret in the request, ``state`` has the caches
    and throttles, and ``origin`` the client's address.

    Returns:
        The refusal, or None if the secret is correct.
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
    """Store when a token was last used, at most once a minute. Errors of the store are ignored.

    The first use of the token is also written to the audit log, with the client's network from
    ``origin``. ``state`` has the database.
    """
    if token.used_at is not None and _is_use_recorded(token.used_at, now):
        return
    with suppress(StoreError), state.store.write() as connection:
        record_token_use(connection, token.id, now)
        if token.used_at is None:
            actor = Actor(f"token:{token.id}", origin.source)
            audit(connection, actor, "token.first-used", token.name, at=now)


def _is_use_recorded(at: int, now: datetime) -> bool:
    """Return True if a session's or token's stored time of use is less than a minute old.

    Such a time need not be updated. ``at`` is the stored time, in Unix seconds.
    """
    return now.timestamp() - at < _USE_RECORDED_EACH


@dataclass(eq=False)
class AuthState:
    """The state of access control that all requests share.

    Attributes:
        settings: the settings of the service.
        store: the database.
        logins: counts wrong passwords.
        tokens: counts wrong tokens.
        openid_audit: limits how many failed OpenID logins are written to the audit log.
        verified: the tokens that were verified recently.
        provider: the OpenID provider; None without one.
        attempts: the number of passwords that are being checked, by the client's network (IPv4
            /24, IPv6 /48).
        hashing: limits the threads that check passwords, so that they leave threads for other
            requests.
    """

    settings: ServiceSettings
    store: Store
    logins: LoginThrottle = field(init=False)
    tokens: TokenThrottle = field(default_factory=TokenThrottle)
    openid_audit: AuditLimit = field(default_factory=AuditLimit)
    verified: VerifiedTokens = field(default_factory=VerifiedTokens)
    provider: OpenIDProvider | None = None
    attempts: Counter[str] = field(default_factory=Counter)
    hashing: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(MAX_PARALLEL))

    def __post_init__(self) -> None:
        self.logins = LoginThrottle(self.store)

    def is_open(self) -> bool:
        """Return True if requests from this machine need no login.

        They need none if there is no account, and no other machine can reach the service.
        """
        if not may_be_open(self.settings):
            return False
        with self.store.read() as connection:
            return not has_accounts(connection)


_STATES: WeakKeyDictionary[Store, AuthState] = WeakKeyDictionary()


def auth_state(watch: Watch) -> AuthState:
    """Return the ``AuthState`` of a service: login throttles, verified tokens, OpenID provider.

    Each call returns the same object, until the service gets other settings.
    """
    state = _STATES.get(watch.store)
    if state is None or state.settings is not watch.settings:
        oidc = watch.settings.access.oidc
        state = AuthState(
            watch.settings, watch.store, provider=OpenIDProvider(oidc) if oidc else None
        )
        _STATES[watch.store] = state
    return state


def may_be_open(settings: ServiceSettings) -> bool:
    """Return True if the settings permit requests from this machine without a login.

    The result is False if other machines can reach the service (directly, through a proxy, or under
    a public address), or if users sign in with OpenID Connect.
    """
    public = host_of(settings.public_url.partition("://")[2].partition("/")[0])
    access = settings.access
    return (
        is_local_only(settings.listen[0])
        and not access.behind_proxy
        and access.oidc is None
        and (not settings.public_url or is_loopback(public))
    )


def check_listening(settings: ServiceSettings, store: Store) -> None:
    """Check that the settings protect the service on the address where it will listen.

    Call this before a socket is opened, with a store that is empty or has the current schema. NOT
    checked: that the certificate is valid, and that the proxy in front terminates TLS.

    Raises:
        ConfigError: clients on other machines would need no login, passwords would cross the
            network in clear text, or the OpenID settings are invalid.
    """
    _check_provider(settings)
    if may_be_open(settings):
        return
    if settings.access.oidc is None and not _has_credentials(store):
        raise ConfigError(
            "other machines can reach the service, and need no password",
            key="listen",
            fix=f"certpin watch user add NAME --role admin{settings.same_database}, "
            "or [access.oidc] in watch.toml; or listen on 127.0.0.1 with no proxy in front",
        )
    if is_local_only(settings.listen[0]):
        return
    if settings.tls is None and not settings.access.behind_proxy:
        raise ConfigError(
            "passwords and sessions would cross the network in clear text",
            key="listen",
            fix="set tls_certificate and tls_key; or, if a proxy in front terminates TLS, "
            "access.behind_proxy = true",
        )


def _has_credentials(store: Store) -> bool:
    if schema_state(store).state is SchemaState.EMPTY:
        return False
    with store.read() as connection:
        return has_accounts(connection) or has_tokens(connection)


def _check_provider(settings: ServiceSettings) -> None:
    """Check the OpenID settings: the file with CA certificates, and the public address.

    The provider redirects browsers to the public address, so it must come from the settings, not
    from requests.

    Raises:
        ConfigError: the file can't be used, or the address is missing.
    """
    if settings.access.oidc and settings.access.oidc.ca_file:
        try:
            ssl.create_default_context(cafile=settings.access.oidc.ca_file)
        except OSError as exc:  # ssl.SSLError is one
            raise ConfigError(
                "these authorities cannot be used",
                key="access.oidc.ca_file",
                fix="name a PEM file that this user can read, beside watch.toml or with its path",
            ) from exc
    if settings.access.oidc and not settings.public_url.startswith(("https://", "http://")):
        raise ConfigError(
            "OpenID Connect needs the address under which users reach the service",
            key="public_url",
            fix="write https://watch.bank.example, for example",
        )
