"""What is answered where no route does, and where one failed."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from certpin_watch.auth.refusal import problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from starlette.requests import Request
    from starlette.responses import Response

log = logging.getLogger("certpin.watch")


def _refused(request: Request, exc: Exception) -> Response:
    """No such page, or none with this method."""
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    answer = problem(request, status, HTTPStatus(status).phrase, _WHY.get(status, ""))
    if isinstance(exc, HTTPException) and exc.headers:
        answer.headers.update(exc.headers)
    return answer


def _failed(request: Request, exc: Exception) -> Response:
    """A fault of the watch's own. The log has it; whoever asked gets nothing of it."""
    log.error("%s failed", request.scope.get("route"), exc_info=exc)
    return problem(request, 500, "The watch failed at this", "Its log says why.")


_WHY = {
    404: "Nothing is under this address.",
    405: "Nothing is done here with this method.",
}

HANDLERS: Mapping[Any, Any] = {HTTPException: _refused, Exception: _failed}
