"""The pages for a user's account and sessions; for administrators, tokens and the audit log."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from certpin.errors import InputError
from certpin.support.text import sentence
from certpin_watch.auth import sessions
from certpin_watch.auth.access import LOGIN_PAGE, require
from certpin_watch.auth.credentials import check_password, hash_new_password, make_token
from certpin_watch.auth.identity import auth_state
from certpin_watch.auth.login import audit_wrong_password, login_routes
from certpin_watch.html import render
from certpin_watch.permissions import ADMIN, SCOPES, SIGNED_IN, worker_scope
from certpin_watch.store.accounts import (
    all_accounts,
    all_tokens,
    audit,
    audit_page,
    find_account,
    revoke_token,
    set_password,
)
from certpin_watch.store.queries import to_datetime
from certpin_watch.store.sessions import (
    SessionOwner,
    end_session,
    end_sessions_of,
    sessions_of,
    stored_session,
)

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from certpin_watch.auth.identity import Identity
    from certpin_watch.context import Watch
    from certpin_watch.store.accounts import PasswordHash

_ACCOUNT = "/account"
_TOKENS = "/tokens"
_MAX_DAYS = 3650


def routes(watch: Watch) -> list[BaseRoute]:
    """Return the routes of accounts, sessions, tokens and the audit log."""
    account, admin = _AccountPages(watch), _AdminPages(watch)
    user, administrator = require(SIGNED_IN), require(ADMIN)
    return [
        *login_routes(watch),
        Route(_ACCOUNT, user(account.show), methods=["GET"]),
        Route(f"{_ACCOUNT}/password", user(account.change_password), methods=["POST"]),
        Route(f"{_ACCOUNT}/sessions/end", user(account.end_session), methods=["POST"]),
        Route(f"{_ACCOUNT}/sessions/end-all", user(account.end_all_sessions), methods=["POST"]),
        Route(_TOKENS, administrator(admin.show_tokens), methods=["GET"]),
        Route(_TOKENS, administrator(admin.make_token), methods=["POST"]),
        Route(f"{_TOKENS}/revoke", administrator(admin.revoke_token), methods=["POST"]),
        Route("/audit", administrator(admin.show_audit), methods=["GET"]),
    ]


class _AccountPages:
    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._state = auth_state(watch)

    async def show(self, request: Request) -> Response:
        """Return the page of the user's account: sessions, and a form to change the password."""
        return await to_thread.run_sync(self._page, request)

    async def change_password(self, request: Request) -> Response:
        """Change the user's password to the one in the form, and end all sessions of this user.

        A new session starts in the browser that sent the form. If the current password in the form
        is wrong, or the new one is refused, nothing changes, and the page shows the reason.
        """
        form, identity = await request.form(), request.state.identity
        if identity.account is None:
            return await to_thread.run_sync(self._page, request, 403, "You have no password here.")
        fields = [str(form.get(name, "")) for name in ("current", "new", "again")]
        return await to_thread.run_sync(self._change, request, fields, limiter=self._state.hashing)

    async def end_session(self, request: Request) -> Response:
        """End the user's session that has the ID in the form, also if it is in a different browser.

        Return a redirect to the page of the account.
        """
        public_id = str((await request.form()).get("session", ""))
        await to_thread.run_sync(self._end, request.state.identity, public_id)
        return RedirectResponse(_ACCOUNT, 303)

    async def end_all_sessions(self, request: Request) -> Response:
        """End all sessions of the user, including that of this browser.

        Return a redirect to the login page.
        """
        identity, origin = request.state.identity, request.state.origin
        if identity.session is not None:
            await to_thread.run_sync(self._end_all, identity)
        answer = RedirectResponse(LOGIN_PAGE, 303)
        sessions.set_cookie(answer.headers, sessions.SESSION_COOKIE, "", origin)
        return answer

    def _page(self, request: Request, status: int = 200, error: str = "") -> Response:
        identity, now = request.state.identity, self._watch.clock()
        found = []
        if (owner := self._owner(identity)) is not None:
            with self._watch.store.read() as connection:
                found = sessions_of(connection, owner, self._watch.settings.access, now)
        return render(
            request, "access/account.html", status, sessions=found, error=error, at=to_datetime
        )

    def _change(self, request: Request, fields: list[str]) -> Response:
        identity, now, origin = request.state.identity, self._watch.clock(), request.state.origin
        current, new, again = fields
        logins = self._state.logins
        decision = logins.begin(origin.guesser, identity.name, now)
        if decision.refused_for:
            return self._page(request, 429, "There were too many attempts. Wait a minute.")
        with self._watch.store.read() as connection:
            account = find_account(connection, identity.name)
        if not check_password(account, current):
            audit_wrong_password(self._state, origin, identity.name, now)
            return self._page(request, 400, "The current password is wrong.")
        logins.succeeded(origin.guesser, identity.name, decision)
        if new != again:
            return self._page(request, 400, "The two new passwords differ.")
        try:
            hashed = hash_new_password(new, identity.name, self._watch.settings.public_url)
        except InputError as exc:
            return self._page(request, 400, _sentence(exc))
        secret = self._store_password(request, identity, hashed)
        answer = RedirectResponse(_ACCOUNT, 303)
        seconds = self._watch.settings.access.session_seconds
        sessions.set_cookie(answer.headers, sessions.SESSION_COOKIE, secret, origin, seconds)
        return answer

    def _store_password(self, request: Request, identity: Identity, hashed: PasswordHash) -> str:
        """Store the hash of a new password, end all sessions of the user, and begin a new one.

        ``identity`` is the user, ``hashed`` the hash. Return the value of the new session's cookie.
        """
        now, agent = self._watch.clock(), request.headers.get("user-agent", "")
        owner, settings = (
            SessionOwner(identity.account, identity.name, identity.role),
            self._watch.settings.access,
        )
        with self._watch.store.write() as connection:
            set_password(connection, identity.name, hashed, now)
            audit(connection, identity, "account.password", identity.name, at=now)
            return sessions.begin_session(
                connection, owner, settings, now, source=identity.source, agent=agent
            )

    def _end(self, identity: Identity, public_id: str) -> None:
        """End the session with a public ID (an ID that pages show) if it belongs to the user.

        ``identity`` is this user, who sent the request. Sessions of other users are not affected.
        """
        owner, now = self._owner(identity), self._watch.clock()
        if owner is None:
            return
        settings = self._watch.settings.access
        with self._watch.store.write() as connection:
            for session in sessions_of(connection, owner, settings, now):
                if session.public_id == public_id:
                    end_session(connection, session.digest)
                    audit(connection, identity, "session.ended", public_id, at=now)

    def _end_all(self, identity: Identity) -> None:
        if (owner := self._owner(identity)) is not None:
            with self._watch.store.write() as connection:
                end_sessions_of(connection, owner)
                audit(connection, identity, "session.ended", "all", at=self._watch.clock())

    def _owner(self, identity: Identity) -> SessionOwner | None:
        """Return the user of the request's session; None if the request has no session.

        ``identity`` is the sender of the request. For example, there is no session if the service
        runs on this machine without accounts.
        """
        if identity.session is None:
            return None
        with self._watch.store.read() as connection:
            session = stored_session(connection, identity.session)
        return session.owner if session else None


class _AdminPages:
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    async def show_tokens(self, request: Request) -> Response:
        """Return the page of tokens: all tokens and accounts, and a form for a new token."""
        return await to_thread.run_sync(self._page, request)

    async def make_token(self, request: Request) -> Response:
        """Create the token in the form, and return a page that shows it once.

        If the form is invalid, the page shows the reason instead. The response is never cached
        (no-store).
        """
        form = await request.form()
        name, days = str(form.get("name", "")).strip(), str(form.get("days", "")).strip()
        scopes = [str(scope) for scope in form.getlist("scope")]
        if location := str(form.get("location", "")).strip():
            scopes.append(worker_scope(location))
        return await to_thread.run_sync(self._make, request, name, scopes, days)

    async def revoke_token(self, request: Request) -> Response:
        """Revoke the token with the ID in the form, and return a redirect to the page of tokens.

        If there is no such token, or it is revoked already, the page shows the reason (status 400).
        """
        token_id = str((await request.form()).get("token", ""))
        try:
            await to_thread.run_sync(self._revoke, request, token_id)
        except InputError as exc:
            return await to_thread.run_sync(self._page, request, 400, _sentence(exc))
        return RedirectResponse(_TOKENS, 303)

    async def show_audit(self, request: Request) -> Response:
        """Return a page of the audit log: the newest entries, or those before an entry.

        The query parameter ``before`` has the ID of this entry; an invalid one is ignored.
        """
        text = request.query_params.get("before", "")
        before = int(text) if text.isdecimal() and len(text) < 18 else None
        return await to_thread.run_sync(self._audit, request, before)

    def _make(self, request: Request, name: str, scopes: list[str], days: str) -> Response:
        now, identity = self._watch.clock(), request.state.identity
        try:
            until = now + _days(days) if days else None
            with self._watch.store.write() as connection:
                token_id, text = make_token(
                    connection, name, scopes, by=identity.name, now=now, until=until
                )
                subject = f"{token_id} {name}: {' '.join(sorted(scopes))}"
                audit(connection, identity, "token.made", subject, at=now)
        except InputError as exc:
            return self._page(request, 400, _sentence(exc))
        return self._page(request, made=text)

    def _revoke(self, request: Request, token_id: str) -> None:
        now = self._watch.clock()
        with self._watch.store.write() as connection:
            revoke_token(connection, token_id, now)
            audit(connection, request.state.identity, "token.revoked", token_id, at=now)

    def _page(
        self, request: Request, status: int = 200, error: str = "", made: str = ""
    ) -> Response:
        with self._watch.store.read() as connection:
            tokens, accounts = all_tokens(connection), all_accounts(connection)
        return render(
            request,
            "access/tokens.html",
            status,
            error=error,
            made=made,
            now=self._watch.clock(),
            tokens=tokens,
            accounts=accounts,
            scopes=SCOPES,
            at=to_datetime,
        )

    def _audit(self, request: Request, before: int | None) -> Response:
        with self._watch.store.read() as connection:
            rows, older = audit_page(connection, before)
        return render(
            request, "access/audit.html", rows=rows, older=older, before=before, at=to_datetime
        )


def _days(text: str) -> timedelta:
    if not (text.isdecimal() and text.isascii() and len(text) < 6 and 1 <= int(text) <= _MAX_DAYS):
        raise InputError(f"a token can last 1 to {_MAX_DAYS} days")
    return timedelta(days=int(text))


def _sentence(exc: InputError) -> str:
    return f"{sentence(exc.problem)}."
