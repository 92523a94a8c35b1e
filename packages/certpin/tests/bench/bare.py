"""A bare ASGI application on the same server as ``certpin serve``, the baseline of a benchmark.

It reads the body of each request, and responds with status 204.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from granian.constants import Interfaces
from granian.server.embed import Server


async def _app(_: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _main(port: int) -> None:
    interface = Interfaces.ASGINL
    server = Server(_app, port=port, interface=interface, websockets=False, log_enabled=False)
    await server.serve()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
