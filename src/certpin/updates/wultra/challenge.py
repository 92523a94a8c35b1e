"""The challenge mode as an ASGI app: ``GET /app/init?appName=…``.

    app = challenge_app({"bank-app": ServedList(Path("fingerprints.json"), signer)})

A client sends random bytes as ``X-Cert-Pinning-Challenge``, and gets ``X-Cert-Pinning-Signature``
over ``CHALLENGE & BODY``: nobody can play an old answer to it. It is for the Wultra SDKs.

What is signed is the list of this server, and a challenge of a plain alphabet: see ``texts``. Each
answer costs a signature: some 30 µs of a core for a key in a file, and milliseconds on a token. It
is made in a thread of Starlette's pool, so that 40 at most ask a token at once. Whoever may ask can
spend that: limit the rate in the proxy before it, as for any server that signs.
"""

from __future__ import annotations

import base64
import json
import logging
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from certpin.errors import CertpinError, ConfigError
from certpin.pins import utc_now
from certpin.updates.wultra.texts import (
    LEAST_CHALLENGE,
    LONGEST_CHALLENGE,
    answer_text,
    is_challenge,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from starlette.requests import Request

    from certpin.updates.wultra.listing import Entry
    from certpin.updates.wultra.served import ServedList

PATH = "/app/init"
CHALLENGE_HEADER = "X-Cert-Pinning-Challenge"
SIGNATURE_HEADER = "X-Cert-Pinning-Signature"
# An answer is for one challenge, and its bytes are signed.
_HEADERS = {"Cache-Control": "no-store, no-transform"}

_log = logging.getLogger(__name__)


def challenge_app(
    lists: Mapping[str, ServedList], *, clock: Callable[[], datetime] = utc_now
) -> Starlette:
    """An app that answers for each of these names, and for no other.

    Raises ``ConfigError`` where two lists have one key. An answer does not say which app it is for:
    somebody in the middle could ask for another name, and hand that answer on.
    """
    _refuse_shared_keys(lists)
    route = Route(PATH, _Answering(lists, clock).answer, methods=["GET"])
    route.methods = {"GET"}  # Starlette adds HEAD, whose answer has nothing that could be verified
    app = Starlette(routes=[route])
    app.router.redirect_slashes = False  # it would lead to whatever host the client named
    return app


def _refuse_shared_keys(lists: Mapping[str, ServedList]) -> None:
    owners: dict[bytes, ServedList] = {}
    for name, served in lists.items():
        if owners.setdefault(served.signer.spki, served) is not served:
            raise ConfigError(
                f"the key of {name!r} is that of another app too: each app would believe the list "
                "of the other",
                key="signer",
                fix="give each app a key of its own",
            )


class _Answering:
    def __init__(self, lists: Mapping[str, ServedList], clock: Callable[[], datetime]) -> None:
        self._lists = dict(lists)
        self._clock = clock

    def answer(self, request: Request) -> Response:
        """Not a coroutine: Starlette runs it in a thread, where files and tokens may block."""
        names = request.query_params.getlist("appName")
        challenges = request.headers.getlist(CHALLENGE_HEADER)
        if len(names) != 1:
            return _refusal(400, "BAD_REQUEST", "appName has to be there, once.")
        served = self._lists.get(names[0])
        if served is None:
            return _refusal(404, "PUBLIC_KEY_NOT_FOUND", "There is no app of this name.")
        if len(challenges) != 1 or not is_challenge(challenges[0]):
            return _refusal(
                400,
                "INSUFFICIENT_CHALLENGE",
                f"{CHALLENGE_HEADER} has to be there, once, with {LEAST_CHALLENGE} to "
                f"{LONGEST_CHALLENGE} characters of base64.",
            )
        return self._signed(served, challenges[0])

    def _signed(self, served: ServedList, challenge: str) -> Response:
        body = _body(served.entries(), self._clock())
        try:
            signature = served.signer.sign(answer_text(challenge, body))
        except CertpinError:  # the token was pulled out, say
            _log.exception("an answer could not be signed")
            return _refusal(503, "NOT_SIGNED", "The answer could not be signed.")
        headers = {SIGNATURE_HEADER: base64.b64encode(signature).decode(), **_HEADERS}
        return Response(body, media_type="application/json", headers=headers)


def _body(entries: Sequence[Entry], now: datetime) -> bytes:
    """Without the signatures of the entries: no SDK reads them in this mode."""
    fingerprints = [
        {"name": entry.name, "fingerprint": entry.fingerprint, "expires": entry.expires}
        for entry in entries
    ]
    document = {"timestamp": int(now.timestamp()), "fingerprints": fingerprints}
    return json.dumps(document, separators=(",", ":")).encode()


def _refusal(status: int, code: str, message: str) -> Response:
    return JSONResponse({"code": code, "message": message}, status, headers=_HEADERS)
