"""Check that the requests with one worker's token do not delay the workers with other tokens.

The number of concurrent requests, which each have a body in memory, is limited for each token.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette

from certpin_watch.api.workers import routes
from certpin_watch.auth.identity import Identity
from certpin_watch.monitor.results import JobRequest, encode
from certpin_watch.permissions import WORKER_JOBS, worker_scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.watch.monitor.conftest import Scene


BODY = encode(JobRequest("0123456789abcdef"))
MOST = 16  # requests of one token


async def _ask(app: Starlette, token: str, body_comes: asyncio.Event) -> int:
    """Post a request for jobs with a worker's token, and return the status of the response.

    The body is sent once ``body_comes`` is set.
    """
    status: list[int] = []

    async def receive() -> dict[str, Any]:
        await body_comes.wait()
        return {"type": "http.request", "body": BODY}

    async def send(message: Any) -> None:
        status.append(message.get("status", 0))

    scope = {
        "type": "http",
        "method": "POST",
        "path": WORKER_JOBS,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "state": {
            "identity": Identity(token, kind="token", scopes=frozenset({worker_scope("fra1")}))
        },
    }
    await app(scope, receive, send)
    return status[0]


def _worker(token: str) -> Identity:
    return Identity(token, kind="token", scopes=frozenset({worker_scope("fra1")}))


def test_the_limit_of_concurrent_requests_counts_for_each_token(
    watch_over: Callable[..., Scene],
) -> None:
    app = Starlette(routes=routes(watch_over().watch))

    async def story() -> None:
        later, now = asyncio.Event(), asyncio.Event()
        now.set()
        slow = [asyncio.create_task(_ask(app, "token:slow", later)) for _ in range(MOST)]
        await asyncio.sleep(0)
        assert await _ask(app, "token:slow", now) == 429
        assert await _ask(app, "token:other", now) == 200
        later.set()
        assert await asyncio.gather(*slow) == [200] * MOST
        assert await _ask(app, "token:slow", now) == 200

    asyncio.run(story())
