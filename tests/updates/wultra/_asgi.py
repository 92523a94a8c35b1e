"""Calls an ASGI app, as a server does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Reply:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def call(
    app: Any,
    target: str,
    headers: tuple[tuple[str, bytes], ...] = (),
    method: str = "GET",
    body: bytes = b"",
) -> Reply:
    """One request."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"evil.example")]
        + [(name.lower().encode(), value) for name, value in headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 443),
    }
    reply = Reply()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            for name, value in message["headers"]:
                assert name.decode() not in reply.headers
                reply.headers[name.decode()] = value.decode()
        else:
            reply.body += message.get("body", b"")

    asyncio.run(app(scope, receive, send))
    return reply
