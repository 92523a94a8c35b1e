"""Pages: one's own account, its sessions and its password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from certpin.errors import InputError
from certpin_watch.auth import accounts, cookies, sessions
from certpin_watch.auth.audit import audit
from certpin_watch.auth.door import door_of
from certpin_watch.auth.moments import moment
from certpin_watch.auth.require import require
from certpin_watch.auth.roles import SIGNED_IN
from certpin_watch.auth.sessions import Owner
from certpin_watch.auth.signing_in import is_password, note_failure
from certpin_watch.html.render import render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from certpin_watch.auth.visitor import Visitor
    from certpin_watch.snapshot import Watch

_PAGE = "/account"


def routes(watch: Watch) -> list[BaseRoute]:
    """The account of who is signed in."""
    pages = _Pages(watch)
    return [
        Route(_PAGE, require(SIGNED_IN)(pages.show), methods=["GET"]),
        Route(f"{_PAGE}/password", require(SIGNED_IN)(pages.change_password), methods=["POST"]),
        Route(f"{_PAGE}/sessions/end", require(SIGNED_IN)(pages.end_one), methods=["POST"]),
        Route(f"{_PAGE}/sessions/end-all", require(SIGNED_IN)(pages.end_all), methods=["POST"]),
    ]


class _Pages:
    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._door = door_of(watch)

    async def show(self, request: Request) -> Response:
        """Who you are, where you are signed in, and a form for another password."""
        return await to_thread.run_sync(self._page, request)

    async def change_password(self, request: Request) -> Response:
        """Another password. It ends every session; this browser gets a new one."""
        form, visitor = await request.form(), request.state.visitor
        if visitor.account is None:
            return await to_thread.run_sync(self._page, request, 403, "You have no password here.")
        words = [str(form.get(name, "")) for name in ("current", "new", "again")]
        return await to_thread.run_sync(self._change, request, words, limiter=self._door.computing)

    async def end_one(self, request: Request) -> Response:
        """Sign out one of your sessions, whichever browser it is in."""
        chosen = str((await request.form()).get("session", ""))
        await to_thread.run_sync(self._end_one, request.state.visitor, chosen)
        return RedirectResponse(_PAGE, 303)

    async def end_all(self, request: Request) -> Response:
        """Sign out everywhere, here too."""
        visitor, origin = request.state.visitor, request.state.origin
        if visitor.session is not None:
            await to_thread.run_sync(self._end_all, visitor)
        answer = RedirectResponse("/login", 303)
        cookies.put(answer.headers, cookies.SESSION, "", origin)
        return answer

    def _page(self, request: Request, status: int = 200, error: str = "") -> Response:
        visitor, now = request.state.visitor, self._watch.clock()
        found = []
        if (owner := self._owner(visitor)) is not None:
            with self._watch.store.read() as connection:
                found = sessions.of_owner(connection, owner, self._watch.settings.access, now)
        return render(
            request, "access/account.html", status, sessions=found, error=error, at=moment
        )

    def _change(self, request: Request, words: list[str]) -> Response:
        visitor, now, origin = request.state.visitor, self._watch.clock(), request.state.origin
        current, new, again = words
        judged = self._door.logins.begin(origin.guesser, visitor.name, now)
        if judged.refused_for:
            return self._page(request, 429, "There were too many tries. Wait a minute.")
        if not is_password(self._door, visitor.name, current):
            note_failure(self._door, origin, visitor.name, now)
            return self._page(request, 400, "The current password is not right.")
        self._door.logins.succeeded(origin.guesser, visitor.name)
        if new != again:
            return self._page(request, 400, "The new password was not the same both times.")
        try:
            hashed = accounts.hash_new(new, visitor.name, self._watch.settings.public_url)
        except InputError as exc:
            return self._page(request, 400, f"{exc.problem[:1].upper()}{exc.problem[1:]}.")
        secret = self._keep(request, visitor, hashed)
        answer = RedirectResponse(_PAGE, 303)
        seconds = self._watch.settings.access.session_seconds
        cookies.put(answer.headers, cookies.SESSION, secret, origin, seconds)
        return answer

    def _keep(self, request: Request, visitor: Visitor, hashed: accounts.Hashed) -> str:
        now, agent = self._watch.clock(), request.headers.get("user-agent", "")
        owner = Owner(visitor.account, visitor.name, visitor.role)
        with self._watch.store.write() as connection:
            accounts.set_password(connection, visitor.name, hashed, now)
            audit(connection, visitor, "account.password", visitor.name, at=now)
            return sessions.begin(
                connection,
                owner,
                self._watch.settings.access,
                now,
                source=visitor.source,
                agent=agent,
            )

    def _end_one(self, visitor: Visitor, chosen: str) -> None:
        """Only among one's own: what is shown of a session opens nobody else's."""
        owner, now = self._owner(visitor), self._watch.clock()
        if owner is None:
            return
        with self._watch.store.write() as connection:
            for each in sessions.of_owner(connection, owner, self._watch.settings.access, now):
                if each.public_id == chosen:
                    sessions.end(connection, each.digest)
                    audit(connection, visitor, "session.ended", each.public_id, at=now)

    def _end_all(self, visitor: Visitor) -> None:
        if (owner := self._owner(visitor)) is not None:
            with self._watch.store.write() as connection:
                sessions.end_all(connection, owner)
                audit(connection, visitor, "session.ended", "all", at=self._watch.clock())

    def _owner(self, visitor: Visitor) -> Owner | None:
        """Whose sessions they are; ``None`` for the only user of a watch without accounts."""
        if visitor.session is None:
            return None
        with self._watch.store.read() as connection:
            return sessions.owner_of(connection, visitor.session)
