"""Logins and logouts, with a password or with OpenID Connect, and the login pages."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from anyio import to_thread
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from certpin.errors import InputError
from certpin_watch.addresses import local_path, provider_network
from certpin_watch.auth import id_token, sessions
from certpin_watch.auth.access import LOGIN_PAGE, OPENID_LOGIN, require
from certpin_watch.auth.credentials import check_password, rehash_password
from certpin_watch.auth.identity import Identity, auth_state
from certpin_watch.auth.openid import (
    CALLBACK,
    LOGIN_SECONDS,
    InteractionRequiredError,
    PendingLogin,
    UserRefusedError,
    code_of,
)
from certpin_watch.html import number, render
from certpin_watch.permissions import ANYONE
from certpin_watch.store.accounts import Actor, audit, find_account, record_login
from certpin_watch.store.sessions import SessionOwner, end_session, stored_session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from certpin_watch.addresses import Origin
    from certpin_watch.auth.identity import AuthState
    from certpin_watch.auth.openid import OpenIDProvider
    from certpin_watch.auth.throttle import LoginDecision
    from certpin_watch.context import Watch

MAX_ATTEMPTS = 32  # that are under way; each occupies a connection
MAX_OF_PROVIDER = 8  # of them from one provider's network, which has many sources
MAX_OF_NETWORK = 3  # of these from one network of a customer, so that one can't take them all
RESERVED = 8  # further attempts, only of sources that signed in to the account before
_BUSY_SECONDS = 5  # to wait if there are more

_WRONG = "The name or the password is wrong."
_FAILED = "Signing in failed. Try again, or ask an administrator of this service: its log says why."
_NO_ROLE = (
    "The provider confirmed your account, but none of your groups has access to this service."
)

_log = logging.getLogger("certpin.watch.access")


@dataclass(frozen=True)
class PasswordLogin:
    """An attempt to log in: name and password, and the browser that sent them.

    ``origin`` has the client's address, ``agent`` is the browser's User-Agent.
    """

    name: str
    password: str = field(repr=False)
    origin: Origin
    agent: str


@dataclass(frozen=True)
class LoginResult:
    """The result of an attempt to log in.

    Attributes:
        cookie: the value of the new session's cookie; empty if the login failed.
        wait: 0 if the password was checked, else the seconds after which the client may try again.
    """

    cookie: str = field(default="", repr=False)
    wait: int = 0


async def log_in(
    state: AuthState,
    login: PasswordLogin,
    identity: Identity,
    now: datetime,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> LoginResult:
    """Check a name and a password, and start a session if they are correct.

    The check takes as long for an unknown name as for a wrong password.

    Args:
        state: the state of access control.
        login: the name and the password.
        identity: the sender of the request. If the sender has a session already, it ends.
        now: the current time.
        sleep: the function that waits for a number of seconds; tests pass another one.

    Returns:
        The cookie of the new session, empty if the name or password is wrong; or the seconds to
        wait if the password was not checked.

    Raises:
        StoreError: the database is unavailable.
    """
    source, network = login.origin.guesser, login.origin.source
    if not _has_place(state, network, is_known=state.logins.knows(source, login.name)):
        return LoginResult(wait=_BUSY_SECONDS)
    state.attempts[network] += 1
    try:
        decision = await to_thread.run_sync(state.logins.begin, source, login.name, now)
        if decision.refused_for:
            return LoginResult(wait=math.ceil(decision.refused_for))
        if decision.delay:
            await sleep(decision.delay)
        return await to_thread.run_sync(
            _attempt, state, login, identity, now, decision, limiter=state.hashing
        )
    finally:
        state.attempts -= Counter([network])


def _has_place(state: AuthState, network: str, *, is_known: bool) -> bool:
    """Return True if the number of running attempts to log in permits one more.

    An attempt runs until its password is checked; that includes a delay before the check. Three
    limits apply: for all attempts, for those of the client's network, and for those of the network
    of its internet provider (IPv4 /16, IPv6 /32).

    If ``is_known`` is True, only one limit applies: a higher one for all attempts. So an attacker
    who sends from many networks can use up the other attempts, but can't lock out such users.

    Args:
        state: the state of access control.
        network: the client's network (IPv4 /24, IPv6 /48), which is usually that of one customer of
            a provider; empty if the address is unknown.
        is_known: True if the client's last attempt to log in to the account succeeded.
    """
    under_way = state.attempts.total()
    if is_known:
        return under_way < MAX_ATTEMPTS + RESERVED
    if network and state.attempts[network] >= MAX_OF_NETWORK:
        return False
    provider = provider_network(network)
    counts = state.attempts.items()
    of_provider = sum(count for other, count in counts if provider_network(other) == provider)
    return under_way < MAX_ATTEMPTS and of_provider < MAX_OF_PROVIDER


def _attempt(
    state: AuthState,
    login: PasswordLogin,
    identity: Identity,
    now: datetime,
    decision: LoginDecision,
) -> LoginResult:
    with state.store.read() as connection:
        account = find_account(connection, login.name)
    if not check_password(account, login.password) or account is None:
        audit_wrong_password(state, login.origin, login.name, now)
        return LoginResult()
    renewed = rehash_password(account, login.password)
    source, settings = login.origin.source, state.settings.access
    with state.store.write() as connection:
        if not record_login(connection, account, renewed, now):
            return LoginResult()  # the account was removed or changed during the computation
        if identity.session is not None:
            end_session(connection, identity.session)
        owner = SessionOwner(account.id, account.name, account.role)
        secret = sessions.begin_session(
            connection, owner, settings, now, source=source, agent=login.agent
        )
        audit(connection, Actor(owner.name, source), "login", "password", at=now)
    state.logins.succeeded(login.origin.guesser, login.name, decision)
    return LoginResult(secret)


def audit_wrong_password(state: AuthState, origin: Origin, name: str, now: datetime) -> None:
    """Write a wrong password to the audit log, unless there were too many in this minute.

    The failure was already counted when the attempt began (``LoginThrottle.begin``). From now on,
    the client's network is not known at the account any more (``LoginThrottle.failed``).

    Args:
        state: the state of access control.
        origin: the client's address.
        name: the name that was sent.
        now: the current time.
    """
    if state.logins.failed(origin.guesser, name, now):
        actor, outcome = Actor(source=origin.source), "wrong name or password"
        with state.store.write() as connection:
            audit(connection, actor, "login", name, at=now, outcome=outcome)


def login_routes(watch: Watch) -> list[BaseRoute]:
    """Return the routes for logging in and out.

    The routes of OpenID Connect are included only if the settings have a provider.
    """
    pages = _LoginPages(watch)
    routes: list[BaseRoute] = [
        Route(LOGIN_PAGE, require(ANYONE)(pages.show), methods=["GET"]),
        Route(LOGIN_PAGE, require(ANYONE)(pages.log_in), methods=["POST"]),
        Route("/logout", require(ANYONE)(pages.log_out), methods=["POST"]),
    ]
    if (provider := auth_state(watch).provider) is not None:
        openid = _OpenIDPages(watch, provider)
        routes += [
            Route(OPENID_LOGIN, require(ANYONE)(openid.begin), methods=["GET"]),
            Route(CALLBACK, require(ANYONE)(openid.finish), methods=["GET"]),
        ]
    return routes


class _LoginPages:
    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._state = auth_state(watch)

    async def show(self, request: Request) -> Response:
        """Return the login form; redirect a user who is already signed in.

        The query parameter ``next`` is the path to which the user goes after the login.
        """
        after = local_path(request.query_params.get("next", "/"))
        if request.state.identity.signed_in:
            return RedirectResponse(after, 303)
        return _login_page(self._watch, request, after)

    async def log_in(self, request: Request) -> Response:
        """Check the submitted login form. If it is correct, start a session; else show an error.

        The response is a redirect with the session's cookie, or the form with the error.
        """
        form = await request.form()
        after = local_path(str(form.get("next", "/")))
        login = PasswordLogin(
            str(form.get("name", "")).strip(),
            str(form.get("password", "")),
            request.state.origin,
            request.headers.get("user-agent", ""),
        )
        result = await log_in(self._state, login, request.state.identity, self._watch.clock())
        if result.cookie:
            return _logged_in(self._watch, request, result.cookie, after)
        if not result.wait:
            return _login_page(self._watch, request, after, 403, error=_WRONG, name=login.name)
        later = f"There were too many attempts. Try again in {number(result.wait, 'second')}."
        answer = _login_page(self._watch, request, after, 429, error=later, name=login.name)
        answer.headers["Retry-After"] = str(result.wait)
        return answer

    async def log_out(self, request: Request) -> Response:
        """End the session of the request, and return a page that confirms the logout.

        This also works while the OpenID provider must confirm the session. If the user signed in at
        an OpenID provider, the page has a link that ends the user's session at the provider, too.
        """
        identity, provider_logout = request.state.identity, ""
        if identity.session is not None:
            await to_thread.run_sync(self._end, identity, identity.session)
        if (identity.kind == "openid" or identity.recheck) and self._state.provider:
            provider_logout = self._state.provider.logout_address(
                self._watch.settings.public_url.rstrip("/") + LOGIN_PAGE
            )
        request.state.identity = Identity(source=identity.source)
        answer = render(request, "access/signed_out.html", elsewhere=provider_logout)
        sessions.set_cookie(answer.headers, sessions.SESSION_COOKIE, "", request.state.origin)
        return answer

    def _end(self, identity: Identity, session: bytes) -> None:
        with self._watch.store.write() as connection:
            end_session(connection, session)
            audit(connection, identity, "logout", at=self._watch.clock())


class _OpenIDPages:
    def __init__(self, watch: Watch, provider: OpenIDProvider) -> None:
        self._watch = watch
        self._state = auth_state(watch)
        self._provider = provider
        self._callback = watch.settings.public_url.rstrip("/") + CALLBACK

    async def begin(self, request: Request) -> Response:
        """Redirect the browser to the login page of the OpenID provider.

        If the user already has a session, and the provider only has to confirm it, the provider is
        asked not to show a login prompt.
        """
        query = request.query_params
        recheck = request.state.identity.recheck and query.get("again") == "1"
        login = PendingLogin.new(query.get("next", "/"), self._watch.clock(), recheck=recheck)
        try:
            address = await self._provider.login_address(login, self._callback)
        except InputError as exc:
            return await self._failed(request, exc.problem)
        answer, origin = RedirectResponse(address, 303), request.state.origin
        sessions.set_cookie(
            answer.headers, sessions.LOGIN_COOKIE, login.cookie, origin, LOGIN_SECONDS
        )
        return answer

    async def finish(self, request: Request) -> Response:
        """Handle the request of a browser that returns from the OpenID provider.

        The code in the URL of the request is exchanged for an ID token. Then a session is started,
        or the session that the provider had to confirm is continued, and the browser is redirected
        to the page that it requested first. If the login fails, return an error page. If the
        provider can't confirm the user without a prompt, redirect to the login page.
        """
        now, provider = self._watch.clock(), self._provider
        after, asked_again = "/", False
        try:
            cookie = sessions.get_cookie(
                request.headers, sessions.LOGIN_COOKIE, request.state.origin
            )
            login = PendingLogin.from_cookie(cookie, now)
            after, asked_again = login.next, login.recheck
            metadata = await provider.metadata()
            code = code_of(request.query_params, login, metadata, provider.settings.issuer)
            claims = await provider.redeem(code, login, self._callback, now)
            name, role = id_token.name_of(claims), id_token.role_of(claims, provider.settings)
            if role is None:
                return await self._refused(
                    request, "no role", asked_again=asked_again, name=name, error=_NO_ROLE
                )
            owner = SessionOwner(None, name, role, str(claims["sub"]))
            start = self._continue if login.recheck else self._start
            secret = await to_thread.run_sync(start, request, owner)
        except InteractionRequiredError:
            answer = RedirectResponse(f"{LOGIN_PAGE}?next={quote(after, safe='/')}", 303)
            sessions.set_cookie(answer.headers, sessions.LOGIN_COOKIE, "", request.state.origin)
            return answer
        except UserRefusedError as exc:
            return await self._refused(request, exc.problem, asked_again=asked_again)
        except InputError as exc:
            return await self._failed(request, exc.problem)
        return _logged_in(self._watch, request, secret, after)

    def _start(self, request: Request, owner: SessionOwner) -> str:
        now, identity = self._watch.clock(), request.state.identity
        source, agent = identity.source, request.headers.get("user-agent", "")
        with self._watch.store.write() as connection:
            if identity.session is not None:
                end_session(connection, identity.session)
            actor = Actor(owner.name, source)
            audit(connection, actor, "login", f"openid {owner.subject}", at=now)
            return sessions.begin_session(
                connection, owner, self._watch.settings.access, now, source=source, agent=agent
            )

    def _continue(self, request: Request, owner: SessionOwner) -> str:
        """Continue a session, with a new cookie, after the OpenID provider confirmed its user.

        ``owner`` is the user, with the name and role that the provider states now. The time at
        which the session ends does not change.

        Returns:
            The value of the new cookie.

        Raises:
            UserRefusedError: the session belongs to another user.
            InputError: the session has ended in the meantime.
        """
        now, identity = self._watch.clock(), request.state.identity
        with self._watch.store.write() as connection:
            old = stored_session(connection, identity.session or b"")
            if old is None or old.until <= now.timestamp():
                raise InputError("the session has ended in the meantime")
            if old.owner.account is not None or old.owner.subject != owner.subject:
                raise UserRefusedError("the provider names another user now")
            if old.owner.role != owner.role:
                actor, roles = Actor(owner.name, identity.source), (old.owner.role, owner.role)
                audit(connection, actor, "session.role", " then ".join(roles), at=now)
            return sessions.continue_session(connection, old, owner, now)

    async def _refused(
        self,
        request: Request,
        why: str,
        *,
        asked_again: bool,
        name: str = "",
        error: str = _FAILED,
    ) -> Response:
        """Return a login page with an error, because the OpenID provider did not confirm the user.

        If the request has a session that the provider had to confirm, this session ends.

        Args:
            request: the request.
            why: the reason, which is written only to the log and the audit log.
            asked_again: True if the provider was asked to confirm a session.
            name: the user, if known.
            error: the text for the user.
        """
        identity, origin = request.state.identity, request.state.origin
        if not (asked_again or identity.recheck) or not await to_thread.run_sync(
            self._end_unconfirmed, identity
        ):
            return await self._failed(request, why, name=name, error=error)
        secret = sessions.new_secret()  # the form on the page can't use the ended session
        request.state.identity = Identity(source=identity.source, csrf=sessions.csrf_token(secret))
        answer = await self._failed(request, why, name=name, error=error)
        sessions.set_cookie(answer.headers, sessions.SESSION_COOKIE, "", origin)
        sessions.set_cookie(answer.headers, sessions.FORM_COOKIE, secret, origin)
        return answer

    def _end_unconfirmed(self, identity: Identity) -> bool:
        """End the session of a request, because the OpenID provider did not confirm its user.

        ``identity`` is the sender of the request. Return True if the session was ended; False if
        the store has no such session.
        """
        with self._watch.store.write() as connection:
            session = stored_session(connection, identity.session or b"")
            if session is None:
                return False
            end_session(connection, session.digest)
            actor, now = Actor(session.owner.name, identity.source), self._watch.clock()
            audit(connection, actor, "session.ended", "not confirmed", at=now)
        return True

    async def _failed(
        self, request: Request, why: str, *, name: str = "", error: str = _FAILED
    ) -> Response:
        """Return a login page with an error, after a login with OpenID Connect failed.

        Args:
            request: the request.
            why: the reason, which is written only to the log and the audit log.
            name: the user, if known.
            error: the text for the user.
        """
        _log.warning("a sign-in with OpenID Connect failed: %s", why)
        await to_thread.run_sync(self._audit_failure, request, why, name)
        answer = _login_page(self._watch, request, "/", 403, error=error)
        sessions.set_cookie(answer.headers, sessions.LOGIN_COOKIE, "", request.state.origin)
        return answer

    def _audit_failure(self, request: Request, why: str, name: str) -> None:
        now = self._watch.clock()
        if self._state.openid_audit.allows(now):
            actor = Actor(name, request.state.origin.source)
            with self._watch.store.write() as connection:
                audit(connection, actor, "login", "openid", at=now, outcome=why)


def _logged_in(watch: Watch, request: Request, secret: str, after: str) -> Response:
    answer, origin = RedirectResponse(after, 303), request.state.origin
    seconds = watch.settings.access.session_seconds
    sessions.set_cookie(answer.headers, sessions.SESSION_COOKIE, secret, origin, seconds)
    if sessions.get_cookie(request.headers, sessions.LOGIN_COOKIE, origin):
        sessions.set_cookie(answer.headers, sessions.LOGIN_COOKIE, "", origin)
    return answer


def _login_page(
    watch: Watch,
    request: Request,
    after: str,
    status: int = 200,
    *,
    error: str = "",
    name: str = "",
) -> Response:
    oidc = watch.settings.access.oidc
    return render(
        request,
        "access/login.html",
        status,
        after=after,
        error=error,
        name=name[:80],
        provider=oidc.name if oidc else "",
        provider_path=OPENID_LOGIN,
    )
