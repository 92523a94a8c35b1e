"""From a function that answers to an endpoint: in a thread, guarded, and with a page for errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from certpin.errors import StoreError
from certpin_watch.auth.require import require
from certpin_watch.web.pages.asking import Asked, Missing
from certpin_watch.web.pages.render import render

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from certpin_watch.snapshot import Watch


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
