"""Pages: signing in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from certpin.watch.access import cookies, sessions
from certpin.watch.access.audit import audit
from certpin.watch.access.door import door_of
from certpin.watch.access.login_answers import come_in, form
from certpin.watch.access.refusal import LOGIN_PAGE, local_path
from certpin.watch.access.require import require
from certpin.watch.access.roles import ANYONE
from certpin.watch.access.signing_in import Try, sign_in
from certpin.watch.access.visitor import Visitor
from certpin.watch.web.pages.render import render

if TYPE_CHECKING:
    from typing import Any

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from certpin.watch.watch import Watch

_WRONG = "The name or the password is not right."


def routes(watch: Watch) -> list[BaseRoute]:
    """Signing in with a name and a password, and out."""
    pages = _Pages(watch)
    return [
        Route(LOGIN_PAGE, require(ANYONE)(pages.show), methods=["GET"]),
        Route(LOGIN_PAGE, require(ANYONE)(pages.sign_in), methods=["POST"]),
        Route("/logout", require(ANYONE)(pages.sign_out), methods=["POST"]),
    ]


class _Pages:
    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._door = door_of(watch)

    async def show(self, request: Request) -> Response:
        """The form; whoever is signed in goes on at once."""
        after = local_path(request.query_params.get("next", "/"))
        if request.state.visitor.signed_in:
            return RedirectResponse(after, 303)
        return form(self._watch, request, after)

    async def sign_in(self, request: Request) -> Response:
        """A name and a password."""
        given = await request.form()
        after = local_path(str(given.get("next", "/")))
        tried = Try(
            str(given.get("name", "")).strip(),
            str(given.get("password", "")),
            request.state.origin,
            request.headers.get("user-agent", ""),
        )
        done = await sign_in(self._door, tried, request.state.visitor, self._watch.clock())
        if done.secret:
            return come_in(self._watch, request, done.secret, after)
        if not done.wait:
            return form(self._watch, request, after, 403, error=_WRONG, name=tried.name)
        later = f"There were too many tries from here. Try again in {done.wait} seconds."
        answer = form(self._watch, request, after, 429, error=later, name=tried.name)
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

    def _end(self, visitor: Any) -> None:
        with self._watch.store.write() as connection:
            sessions.end(connection, visitor.session)
            audit(connection, visitor, "logout", at=self._watch.clock())
