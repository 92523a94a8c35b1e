"""The route of ``/metrics``. It needs the scope ``metrics``."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from certpin.errors import StoreError
from certpin_watch.auth.require import require
from certpin_watch.metrics.exporter import Exporter

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from certpin_watch.watch import Watch

PATH = "/metrics"


def routes(watch: Watch) -> list[BaseRoute]:
    """One scrape at a time: whoever asks more often waits, and costs no more."""
    exporter, turn = Exporter(watch), threading.Lock()

    @require("metrics")
    def metrics(request: Request) -> Response:
        try:
            with turn:
                page, media_type = exporter.page(request.headers.get("accept", ""))
        except StoreError:
            return PlainTextResponse("the store is away\n", 503)
        return Response(page, headers={"Content-Type": media_type, "Cache-Control": "no-store"})

    return [Route(PATH, metrics, methods=["GET"])]
