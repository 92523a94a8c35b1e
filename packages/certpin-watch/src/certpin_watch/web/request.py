"""A request for a web page: its parameters, data that every page needs, and error pages."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from certpin.errors import StoreError
from certpin_watch.auth.access import require
from certpin_watch.chain_check import ChainJudge
from certpin_watch.html import render
from certpin_watch.store.queries.freshness import Freshness, freshness

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from datetime import datetime

    from sqlalchemy import Connection
    from starlette.requests import Request
    from starlette.responses import Response

    from certpin_watch.context import Watch
    from certpin_watch.health import ProcessHealth
    from certpin_watch.settings import Thresholds
    from certpin_watch.snapshot import Snapshot

_MAX_DIGITS = 18  # of the number of a row: both databases have 64 bits for it
_MAX_TEXT = 300  # characters of a parameter


class NotFoundError(Exception):
    """The object that a page should show does not exist. The text of the exception describes it."""


@dataclass(frozen=True)
class PageRequest:
    """A request for a web page.

    Attributes:
        watch: the settings, the store, the pin files and the clock of the service.
        request: the HTTP request, as Starlette represents it.
        now: the time for which everything on the page is computed.
        form: the fields of the submitted form, if the method is POST.
    """

    watch: Watch
    request: Request
    now: datetime
    form: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def snapshot(self) -> Snapshot:
        """The pin sets in the monitored pin files; for an invalid file, its last valid content."""
        return self.watch.pin_files.snapshot()

    @cached_property
    def judge(self) -> ChainJudge:
        """The object that compares chains in reports of clients with the current pins."""
        return ChainJudge(self.snapshot.sets, self.now)

    @property
    def thresholds(self) -> Thresholds:
        """The settings that define which certificates expire soon and which results are old."""
        return self.watch.settings.thresholds

    @property
    def health(self) -> ProcessHealth | None:
        """The health of this process; None if the application doesn't record it, as in tests."""
        found: ProcessHealth | None = getattr(self.request.app.state, "health", None)
        return found

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Yield a database connection in a read transaction of the store.

        Raises:
            StoreError: the store is unavailable.
        """
        with self.watch.store.read() as connection:
            yield connection

    def freshness(self, connection: Connection) -> Freshness:
        """Return how old data such as probe results is, and which data is missing.

        Pages show warnings about it. The result also says if this process can't write to the store.
        """
        trouble = self.watch.store.health.reason
        return freshness(connection, self.snapshot, self.now, self.thresholds, trouble)

    def text(self, name: str) -> str:
        """Return the query parameter ``name``, cut to 300 characters; empty if it is missing."""
        return self.request.query_params.get(name, "").strip()[:_MAX_TEXT]

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return the query parameter ``name`` if it is in ``choices``, else the first choice."""
        value = self.text(name)
        return value if value in choices else choices[0]

    def number(self, name: str, minimum: int = 1, maximum: int = 10_000) -> int:
        """Return the query parameter ``name`` as a whole number, limited to a range.

        A number below ``minimum`` or above ``maximum`` is replaced by this limit. If the parameter
        is missing or no number, ``minimum`` is returned.
        """
        value = self.text(name)
        if not (value.isascii() and value.isdigit()):
            return minimum
        return min(max(int(value), minimum), maximum)

    def row_number(self, what: str) -> int:
        """Return the number of a database row from the URL path of the request.

        Args:
            what: the kind of object that has this number, for the text of the error.

        Raises:
            NotFoundError: the path has no number, or one that is larger than that of any row.
        """
        word = self.request.path_params["number"]
        if not (word.isascii() and word.isdigit() and len(word) <= _MAX_DIGITS):
            raise NotFoundError(what)
        return int(word)

    def link(self, **changes: object) -> str:
        """Return the URL of this page with some query parameters changed.

        ``changes`` are the parameters to set; None or an empty text removes a parameter.
        """
        query = {key: value for key, value in self.request.query_params.items() if value}
        query |= {key: str(value) for key, value in changes.items() if value not in {None, ""}}
        for key, value in changes.items():
            if value in {None, ""}:
                query.pop(key, None)
        path = self.request.url.path
        return f"{path}?{urlencode(query)}" if query else path

    def host_link(self, host: str) -> str:
        """Return the URL of the page of a host, if a monitored pin set covers it.

        For any other host, return the URL of the page with its failure reports. For a host pattern,
        return an empty text, because it has neither page.
        """
        if self.snapshot.policies_of(host):
            return f"/hosts/{quote(host)}"
        return "" if "*" in host else f"/failures?{urlencode({'host': host})}"

    def render(self, template: str, status: int = 200, /, **context: Any) -> Response:
        """Return the response for this page, rendered from an HTML template.

        Args:
            template: the name of the template.
            status: the HTTP status.
            context: the values for the template, besides ``now``, ``link`` and ``host_link``.
        """
        links = {"link": self.link, "host_link": self.host_link}
        return render(self.request, template, status, now=self.now, **links, **context)


def endpoint(
    watch: Watch, page: Callable[[PageRequest], Response], requirement: str
) -> Callable[[Request], Awaitable[Response]]:
    """Return the HTTP endpoint of a page.

    The endpoint calls ``page`` in a thread, and returns error pages for exceptions.

    Args:
        watch: the settings, the store, the pin files and the clock.
        page: returns the response to a request.
        requirement: the scope that the sender of a request must have, or another requirement of
            ``auth.access.require``.
    """

    async def answer(request: Request) -> Response:
        form = {}
        if request.method == "POST":
            async with request.form(max_files=0, max_fields=20, max_part_size=8192) as fields:
                form = {name: value for name, value in fields.items() if isinstance(value, str)}
        page_request = PageRequest(watch, request, watch.clock(), form)
        return await run_in_threadpool(_run, page, page_request)

    guarded: Callable[[Request], Awaitable[Response]] = require(requirement)(answer)
    return guarded


def _run(page: Callable[[PageRequest], Response], request: PageRequest) -> Response:
    try:
        return page(request)
    except NotFoundError as exc:
        return request.render("not_found.html", 404, what=str(exc))
    except StoreError as exc:
        return _unavailable(request, str(exc))
    except SQLAlchemyError:
        return _unavailable(request, "the database does not answer")


def _unavailable(request: PageRequest, reason: str) -> Response:
    """Return an error page (status 503) with the reason why the store is unavailable.

    The page does not show data from a cache, because users might take it for current data.
    """
    response = request.render("unavailable.html", 503, why=reason)
    response.headers["Retry-After"] = "10"
    return response
