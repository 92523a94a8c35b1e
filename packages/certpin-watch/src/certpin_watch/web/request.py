"""One request for a page: its parameters and the data that every page needs."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from certpin.errors import StoreError
from certpin_watch.auth.require import require
from certpin_watch.html.render import render
from certpin_watch.store.queries.chain_check import ChainJudge
from certpin_watch.store.queries.freshness import Freshness, freshness

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from datetime import datetime

    from sqlalchemy import Connection
    from starlette.requests import Request
    from starlette.responses import Response

    from certpin_watch.health import ProcessHealth
    from certpin_watch.snapshot import Snapshot, Watch
    from certpin_watch.store.queries.base import Thresholds


_LARGEST = 2**63 - 1
_LONGEST = 300  # characters of anything that is asked


class Missing(Exception):  # noqa: N818  # no error of certpin: it becomes a page
    """There is no such thing here. Says what was looked for."""


@dataclass(frozen=True)
class Asked:
    """A request. ``now`` is one moment for the whole page; ``form`` are the fields of a POST."""

    watch: Watch
    request: Request
    now: datetime
    form: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def snapshot(self) -> Snapshot:
        """The pin sets as they are now."""
        return self.watch.watched.snapshot()

    @cached_property
    def judge(self) -> ChainJudge:
        """The pins as they are now, for the chains that clients met."""
        return ChainJudge(self.snapshot.sets, self.now)

    @property
    def limits(self) -> Thresholds:
        """From when on an end is near, and what was seen is old."""
        return self.watch.settings.thresholds

    @property
    def health(self) -> ProcessHealth | None:
        """How this process is; ``None`` where nobody runs it as a service."""
        found: ProcessHealth | None = getattr(self.request.app.state, "health", None)
        return found

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """One look at the store."""
        with self.watch.store.read() as connection:
            yield connection

    def freshness(self, connection: Connection) -> Freshness:
        """How old what the watch knows is."""
        trouble = self.watch.store.health.reason
        return freshness(connection, self.snapshot, self.now, self.limits, trouble)

    def text(self, name: str) -> str:
        """A parameter of the query; empty where there is none."""
        return self.request.query_params.get(name, "").strip()[:_LONGEST]

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """A parameter that is one of these; the first of them where it is none."""
        found = self.text(name)
        return found if found in choices else choices[0]

    def number(self, name: str, least: int = 1, most: int = 10_000) -> int:
        """A parameter that is a number between these."""
        found = self.text(name)
        return min(max(int(found), least), most) if found.isascii() and found.isdigit() else least

    def numbered(self, what: str) -> int:
        """The number in the path. Raises ``Missing`` for one that no row can have."""
        if (found := int(self.request.path_params["number"])) > _LARGEST:
            raise Missing(what)
        return found

    def link(self, **changes: object) -> str:
        """The address of this page with other parameters; ``None`` and nothing take one away."""
        from urllib.parse import urlencode

        query = {key: value for key, value in self.request.query_params.items() if value}
        query |= {key: str(value) for key, value in changes.items() if value not in {None, ""}}
        for key, value in changes.items():
            if value in {None, ""}:
                query.pop(key, None)
        path = self.request.url.path
        return f"{path}?{urlencode(query)}" if query else path

    def page(self, name: str, status: int = 200, /, **context: Any) -> Response:
        """A page that answers it."""
        return render(self.request, name, status, now=self.now, link=self.link, **context)


def endpoint(
    watch: Watch, answer: Callable[[Asked], Response], requirement: str
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint for whoever meets the requirement."""

    async def answered(request: Request) -> Response:
        form = {}
        if request.method == "POST":
            async with request.form(max_files=0, max_fields=20, max_part_size=8192) as fields:
                form = {name: value for name, value in fields.items() if isinstance(value, str)}
        return await run_in_threadpool(_answer, answer, Asked(watch, request, watch.clock(), form))

    guarded: Callable[[Request], Awaitable[Response]] = require(requirement)(answered)
    return guarded


def _answer(answer: Callable[[Asked], Response], asked: Asked) -> Response:
    try:
        return answer(asked)
    except Missing as exc:
        return missing(asked.request, str(exc))
    except StoreError as exc:
        return away(asked.request, str(exc))
    except SQLAlchemyError:
        return away(asked.request, "the database does not answer")


def missing(request: Request, what: str = "this page") -> Response:
    """The page for what is not there."""
    return render(request, "missing.html", 404, what=what)


def away(request: Request, why: str) -> Response:
    """The page for a store that does not answer. It shows nothing old as if it were new."""
    response = render(request, "away.html", 503, why=why)
    response.headers["Retry-After"] = "10"
    return response
