"""Pages: tokens, accounts, and the record of who did what. For admins."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from certpin.errors import InputError
from certpin_watch.auth import accounts, tokens
from certpin_watch.auth.audit import PAGE, audit, page
from certpin_watch.auth.moments import moment
from certpin_watch.auth.require import require
from certpin_watch.auth.roles import ADMIN, SCOPES, worker_scope
from certpin_watch.html.render import render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from certpin_watch.snapshot import Watch

_TOKENS = "/tokens"
_MOST_DAYS = 3650


def routes(watch: Watch) -> list[BaseRoute]:
    """What admins see and do."""
    pages = _Pages(watch)
    return [
        Route(_TOKENS, require(ADMIN)(pages.show_tokens), methods=["GET"]),
        Route(_TOKENS, require(ADMIN)(pages.make_token), methods=["POST"]),
        Route(f"{_TOKENS}/revoke", require(ADMIN)(pages.revoke_token), methods=["POST"]),
        Route("/audit", require(ADMIN)(pages.show_audit), methods=["GET"]),
    ]


class _Pages:
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    async def show_tokens(self, request: Request) -> Response:
        """Every token, every account, and a form for a new token."""
        return await to_thread.run_sync(self._page, request)

    async def make_token(self, request: Request) -> Response:
        """A new token, shown this once: the answer is kept by nobody (no-store)."""
        form = await request.form()
        name, days = str(form.get("name", "")).strip(), str(form.get("days", "")).strip()
        scopes = [str(each) for each in form.getlist("scope")]
        if location := str(form.get("location", "")).strip():
            scopes.append(worker_scope(location))
        return await to_thread.run_sync(self._make, request, name, scopes, days)

    async def revoke_token(self, request: Request) -> Response:
        """End a token."""
        token_id = str((await request.form()).get("token", ""))
        try:
            await to_thread.run_sync(self._revoke, request, token_id)
        except InputError as exc:
            return await to_thread.run_sync(self._page, request, 400, _sentence(exc))
        return RedirectResponse(_TOKENS, 303)

    async def show_audit(self, request: Request) -> Response:
        """The newest of the record, and older ones page by page."""
        text = request.query_params.get("before", "")
        before = int(text) if text.isdecimal() and len(text) < 18 else None
        return await to_thread.run_sync(self._audit, request, before)

    def _make(self, request: Request, name: str, scopes: list[str], days: str) -> Response:
        now, visitor = self._watch.clock(), request.state.visitor
        try:
            until = now + _days(days) if days else None
            with self._watch.store.write() as connection:
                token_id, text = tokens.make(
                    connection, name, scopes, by=visitor.name, now=now, until=until
                )
                subject = f"{token_id} {name}: {' '.join(sorted(scopes))}"
                audit(connection, visitor, "token.made", subject, at=now)
        except InputError as exc:
            return self._page(request, 400, _sentence(exc))
        return self._page(request, made=text)

    def _revoke(self, request: Request, token_id: str) -> None:
        now = self._watch.clock()
        with self._watch.store.write() as connection:
            tokens.revoke(connection, token_id, now)
            audit(connection, request.state.visitor, "token.revoked", token_id, at=now)

    def _page(
        self, request: Request, status: int = 200, error: str = "", made: str = ""
    ) -> Response:
        now = self._watch.clock()
        with self._watch.store.read() as connection:
            found, people = tokens.every(connection), accounts.everyone(connection)
        context: dict[str, Any] = {
            "tokens": found,
            "accounts": people,
            "scopes": SCOPES,
            "at": moment,
        }
        return render(
            request, "access/tokens.html", status, error=error, made=made, now=now, **context
        )

    def _audit(self, request: Request, before: int | None) -> Response:
        with self._watch.store.read() as connection:
            rows = page(connection, before)
        older = rows[PAGE - 1].id if len(rows) > PAGE else None
        return render(
            request, "access/audit.html", rows=rows[:PAGE], older=older, before=before, at=moment
        )


def _days(text: str) -> timedelta:
    if not (text.isdecimal() and text.isascii() and len(text) < 6 and 1 <= int(text) <= _MOST_DAYS):
        raise InputError(f"a token lasts 1 to {_MOST_DAYS} days")
    return timedelta(days=int(text))


def _sentence(exc: InputError) -> str:
    return f"{exc.problem[:1].upper()}{exc.problem[1:]}."
