"""Pages: signing in and out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import quote

from anyio import to_thread
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from certpin.errors import InputError
from certpin_watch.auth import cookies, id_token, sessions
from certpin_watch.auth.audit import audit, somebody
from certpin_watch.auth.door import door_of
from certpin_watch.auth.openid_flow import CALLBACK, MINUTES, AskingError, Begun, code_of
from certpin_watch.auth.refusal import LOGIN_PAGE, OPENID, local_path
from certpin_watch.auth.require import require
from certpin_watch.auth.roles import ANYONE
from certpin_watch.auth.sessions import Owner
from certpin_watch.auth.signing_in import Try, sign_in
from certpin_watch.auth.visitor import Visitor
from certpin_watch.html.render import render

if TYPE_CHECKING:
    from typing import Any

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from certpin_watch.snapshot import Watch

_WRONG = "The name or the password is not right."
_FAILED = "The sign-in did not succeed. Try again, or ask whoever runs the watch: its log says why."
_NO_ROLE = "You are who you say you are, but none of your groups may use this watch."

_log = logging.getLogger("certpin.watch.access")


def routes(watch: Watch) -> list[BaseRoute]:
    """Signing in, out, and by OpenID Connect where there is a provider."""
    pages = _Pages(watch)
    found: list[BaseRoute] = [
        Route(LOGIN_PAGE, require(ANYONE)(pages.show), methods=["GET"]),
        Route(LOGIN_PAGE, require(ANYONE)(pages.sign_in), methods=["POST"]),
        Route("/logout", require(ANYONE)(pages.sign_out), methods=["POST"]),
    ]
    if watch.settings.access.oidc:
        found += [
            Route(OPENID, require(ANYONE)(pages.begin), methods=["GET"]),
            Route(CALLBACK, require(ANYONE)(pages.come_back), methods=["GET"]),
        ]
    return found


class _Pages:
    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._door = door_of(watch)
        self._callback = watch.settings.public_url.rstrip("/") + CALLBACK

    async def show(self, request: Request) -> Response:
        """The form; whoever is signed in goes on at once."""
        after = local_path(request.query_params.get("next", "/"))
        if request.state.visitor.signed_in:
            return RedirectResponse(after, 303)
        return self._form(request, after)

    async def sign_in(self, request: Request) -> Response:
        """A name and a password."""
        form = await request.form()
        after = local_path(str(form.get("next", "/")))
        tried = Try(
            str(form.get("name", "")).strip(),
            str(form.get("password", "")),
            request.state.origin,
            request.headers.get("user-agent", ""),
        )
        done = await sign_in(self._door, tried, request.state.visitor, self._watch.clock())
        if done.secret:
            return self._come_in(request, done.secret, after)
        if not done.wait:
            return self._form(request, after, 403, error=_WRONG, name=tried.name)
        later = f"There were too many tries from here. Try again in {done.wait} seconds."
        answer = self._form(request, after, 429, error=later, name=tried.name)
        answer.headers["Retry-After"] = str(done.wait)
        return answer

    async def sign_out(self, request: Request) -> Response:
        """End the session. The provider's own goes on, unless the visitor follows the link."""
        visitor, elsewhere = request.state.visitor, ""
        if visitor.session is not None:
            await to_thread.run_sync(self._end, visitor)
        if visitor.kind == "openid" and self._door.provider:
            elsewhere = await self._door.provider.logout_address(
                self._watch.settings.public_url.rstrip("/") + LOGIN_PAGE
            )
        request.state.visitor = Visitor(source=visitor.source)
        answer = render(request, "access/signed_out.html", elsewhere=elsewhere)
        cookies.put(answer.headers, cookies.SESSION, "", request.state.origin)
        return answer

    async def begin(self, request: Request) -> Response:
        """Send the browser to the provider; to be asked nothing, if it has a session yet."""
        asked = request.query_params
        again = request.state.visitor.recheck and asked.get("again") == "1"
        begun = Begun.new(asked.get("next", "/"), self._watch.clock(), again=again)
        try:
            address = await self._provider.address(begun, self._callback)
        except InputError as exc:
            return await self._failed(request, exc.problem)
        answer = RedirectResponse(address, 303)
        origin = request.state.origin
        cookies.put(answer.headers, cookies.LOGIN, begun.cookie, origin, MINUTES * 60)
        return answer

    async def come_back(self, request: Request) -> Response:
        """The browser comes back with a code."""
        now, provider = self._watch.clock(), self._provider
        after = "/"
        try:
            cookie = cookies.get(request.headers, cookies.LOGIN, request.state.origin)
            begun = Begun.from_cookie(cookie, now)
            after = begun.next
            metadata = await provider.metadata()
            code = code_of(request.query_params, begun, metadata, provider.settings.issuer)
            claims = await provider.redeem(code, begun, self._callback, now)
            name, role = id_token.name_of(claims), id_token.role_of(claims, provider.settings)
            if role is None:
                return await self._failed(request, "no role", who=name, shown=_NO_ROLE)
            owner = Owner(None, name, role, str(claims["sub"]))
            start = self._go_on if begun.again else self._start
            secret = await to_thread.run_sync(start, request, owner)
        except AskingError:
            answer = RedirectResponse(f"{LOGIN_PAGE}?next={quote(after, safe='/')}", 303)
            cookies.put(answer.headers, cookies.LOGIN, "", request.state.origin)
            return answer
        except InputError as exc:
            return await self._failed(request, exc.problem)
        return self._come_in(request, secret, after)

    @property
    def _provider(self) -> Any:
        return self._door.provider

    def _start(self, request: Request, owner: Owner) -> str:
        now, visitor = self._watch.clock(), request.state.visitor
        source, agent = visitor.source, request.headers.get("user-agent", "")
        with self._watch.store.write() as connection:
            if visitor.session is not None:
                sessions.end(connection, visitor.session)
            who = somebody(owner.name, source)
            audit(connection, who, "login", f"openid {owner.subject}", at=now)
            return sessions.begin(
                connection, owner, self._watch.settings.access, now, source=source, agent=agent
            )

    def _go_on(self, request: Request, owner: Owner) -> str:
        """The provider was asked again: the same person goes on, until the same moment.

        A session that was ended meanwhile stays so. Raises ``InputError``.
        """
        now, visitor = self._watch.clock(), request.state.visitor
        with self._watch.store.write() as connection:
            old = sessions.kept(connection, visitor.session or b"")
            if old is None or old.until <= now.timestamp():
                raise InputError("the session has ended meanwhile")
            if old.owner.account is not None or old.owner.subject != owner.subject:
                raise InputError("the provider names somebody else now")
            if old.owner.role != owner.role:
                who, roles = somebody(owner.name, visitor.source), (old.owner.role, owner.role)
                audit(connection, who, "session.role", " then ".join(roles), at=now)
            return sessions.go_on(connection, old, owner, now)

    def _end(self, visitor: Any) -> None:
        with self._watch.store.write() as connection:
            sessions.end(connection, visitor.session)
            audit(connection, visitor, "logout", at=self._watch.clock())

    async def _failed(
        self, request: Request, why: str, who: str = "", shown: str = _FAILED
    ) -> Response:
        """The visitor is told little: why is for the log and the record."""
        _log.warning("a sign-in with OpenID Connect failed: %s", why)
        await to_thread.run_sync(self._note_failure, request, why, who)
        answer = self._form(request, "/", 403, error=shown)
        cookies.put(answer.headers, cookies.LOGIN, "", request.state.origin)
        return answer

    def _note_failure(self, request: Request, why: str, who: str) -> None:
        now = self._watch.clock()
        if self._door.records.is_recorded(now):
            named = somebody(who, request.state.origin.source)
            with self._watch.store.write() as connection:
                audit(connection, named, "login", "openid", at=now, outcome=why)

    def _come_in(self, request: Request, secret: str, after: str) -> Response:
        answer, origin = RedirectResponse(after, 303), request.state.origin
        seconds = self._watch.settings.access.session_seconds
        cookies.put(answer.headers, cookies.SESSION, secret, origin, seconds)
        if cookies.get(request.headers, cookies.LOGIN, origin):
            cookies.put(answer.headers, cookies.LOGIN, "", origin)
        return answer

    def _form(
        self, request: Request, after: str, status: int = 200, *, error: str = "", name: str = ""
    ) -> Response:
        oidc = self._watch.settings.access.oidc
        return render(
            request,
            "access/login.html",
            status,
            after=after,
            error=error,
            name=name[:80],
            provider=oidc.name if oidc else "",
            provider_path=OPENID,
        )
