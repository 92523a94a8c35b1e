"""Actions of the API: acknowledge an alert, and undo that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from certpin.errors import InputError
from certpin_watch.alerts.silences import acknowledge, unacknowledge
from certpin_watch.api.protocol import JSON, RefusedError, encode, number_of
from certpin_watch.api.resources import there
from certpin_watch.store.audit import audit
from certpin_watch.store.queries import alerts

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from starlette.requests import Request

    from certpin_watch.context import Watch


_TAKEN, _GIVEN_BACK = "alert.acknowledged", "alert.unacknowledged"
# By the last part of the address: a description, and the word for the audit log.
ACTIONS = {
    "acknowledge": ("Take on an open alert: it is repeated only if it gets worse.", _TAKEN),
    "unacknowledge": ("Give an alert back, so that it is repeated again.", _GIVEN_BACK),
}


async def act(watch: Watch, action: str, request: Request) -> Response:
    """Do it, and answer with the alert. Raises ``RefusedError``, ``StoreError``."""
    async with request.form(max_files=0, max_fields=5, max_part_size=8192) as fields:
        note = fields.get("note", "")
    return await run_in_threadpool(_act, watch, action, request, note)


def _act(watch: Watch, action: str, request: Request, note: object) -> Response:
    number = there(number_of(request.path_params["id"]))
    settings = watch.settings.alerts
    with watch.store.write() as connection:
        there(alerts.alert(connection, settings.hold, number))
        if not _changed(connection, watch, action, request, number, str(note).strip()):
            raise RefusedError(
                409, "Nothing was changed", "It is resolved, or in that state already."
            )
        found = alerts.alert(connection, settings.hold, number)
    return Response(encode(found), media_type=JSON, headers={"Cache-Control": "no-store"})


def _changed(
    connection: Connection, watch: Watch, action: str, request: Request, number: int, note: str
) -> bool:
    identity, now = request.state.identity, watch.clock()
    at = int(now.timestamp())
    try:
        if action == "acknowledge":
            changed = acknowledge(connection, number, identity.name, at, note)
        else:
            changed = unacknowledge(connection, number, identity.name, at)
    except InputError as exc:
        raise RefusedError(400, "The note cannot be used", f"{exc.problem}: {exc.fix}.") from exc
    if changed:
        audit(connection, identity, ACTIONS[action][1], str(number), at=now)
    return changed
