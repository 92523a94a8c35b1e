"""The way in for reports: a plain ASGI application that can do nothing else.

1. What the headers tell is refused before a byte of the body is read: method, host, type, length,
   encoding, and a source that sent too much.
2. The body is read against a deadline, unpacked and parsed within bounds.
3. certpin's own reports are read straight into what is counted (``direct``). Of everything else, a
   codec of ``certpin.reports`` says what it is.
4. The intake makes it durable. Then, and only then, the answer is 204.

Whoever sends reports is not known and needs no login. Nothing that was sent is sent back.
"""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from certpin.errors import FormatError
from certpin.reports.codecs import JSON_TYPE, decode
from certpin_watch.collector.body import BodyReader, encoding_of, parse, unpack
from certpin_watch.collector.direct import read_report
from certpin_watch.collector.grouping import HOUR
from certpin_watch.collector.rate import AtOnce, Rates
from certpin_watch.collector.received import Failure, Received, told
from certpin_watch.collector.refusals import (
    GoneError,
    NotDurableError,
    RefusedError,
    away,
    bad,
    no_report,
    too_large,
    too_many,
    unsupported,
)
from certpin_watch.collector.samples import Taste, sample_of
from certpin_watch.collector.sources import Sources
from certpin_watch.counters import COUNTERS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping
    from datetime import datetime

    from certpin_watch.collector.body import Receive
    from certpin_watch.collector.intake import Intake
    from certpin_watch.collector.received import Holding
    from certpin_watch.snapshot import Watch

    Message = MutableMapping[str, Any]
    Send = Callable[[Message], Awaitable[None]]

_log = logging.getLogger("certpin.watch.collector")

_JSON = JSON_TYPE.encode()
_TYPES = {_JSON, b"application/reports+json"}
_TASTES = 10_000  # looks that are remembered

# Browsers send reports from any page, and never with credentials (Reporting API, section 3.5).
_ANY_ORIGIN = (b"access-control-allow-origin", b"*")
_NOT_KEPT = (b"cache-control", b"no-store")
_ACCEPTED = {"type": "http.response.start", "status": 204, "headers": [_ANY_ORIGIN]}
_PREFLIGHT = {
    "type": "http.response.start",
    "status": 204,
    "headers": [
        _ANY_ORIGIN,
        (b"access-control-allow-methods", b"POST"),
        (b"access-control-allow-headers", b"content-type, content-encoding"),
        (b"access-control-max-age", b"86400"),
    ],
}
_END = {"type": "http.response.body", "body": b""}


class _Head(NamedTuple):
    """The headers that matter here. Those that came twice are joined, as RFC 9110 5.3 has it."""

    host: bytes = b""
    content_type: bytes = b""
    encoding: bytes = b""
    length: bytes = b""
    forwarded: bytes = b""


_NAMES = {
    b"host": 0,
    b"content-type": 1,
    b"content-encoding": 2,
    b"content-length": 3,
    b"x-forwarded-for": 4,
}


class Collector:
    """The ASGI application. ``clock`` and ``steady`` are the time, and one that never goes back."""

    def __init__(
        self,
        watch: Watch,
        intake: Intake,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = watch.settings.collector
        self._settings = settings
        self._clock = watch.clock
        self._steady = steady
        self._intake = intake
        self._hosts = {host.encode() for host in settings.hosts}
        self._sources = Sources(settings, watch.settings.access.believed)
        self._rates = Rates(settings.rate, settings.burst, settings.most_sources, steady)
        self._at_once = AtOnce(settings.at_once)
        self._bodies = BodyReader(settings.most_bytes, settings.body_seconds)
        self._taste = Taste(settings.samples, _TASTES)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, unless the client hung up."""
        start = self._steady()
        try:
            if scope["method"] == "OPTIONS":
                answer = _PREFLIGHT
            else:
                await self._take(scope, receive)
                answer = _ACCEPTED
        except RefusedError as exc:
            status = await _refuse(send, exc)
        except NotDurableError as exc:
            status = await _refuse(send, away(exc))
        except GoneError:
            return
        else:
            await send(answer)
            await send(_END)
            status = 204
        COUNTERS.answered(status, self._steady() - start)

    async def _take(self, scope: Message, receive: Receive) -> None:
        head = _read_head(scope["headers"])
        essence = self._look_at(scope, head)
        encoding = encoding_of(head.encoding)
        client = scope.get("client")
        source = self._sources.prefix(client[0] if client else "", head.forwarded.decode("latin-1"))
        if seconds := self._rates.take(source):
            raise too_many(seconds)
        try:  # bodies that come slowly are few for each source: they hold a connection each
            if not self._at_once.enter(source):
                raise too_many(1)
            data = await self._bodies.read(receive)
        finally:
            self._at_once.leave(source)
        data = unpack(data, encoding, self._settings.most_bytes)
        if received := self._received(data, essence, source):
            await self._intake.accept(received)

    def _look_at(self, scope: Message, head: _Head) -> bytes:
        """Check the headers; return the Content-Type without its parameters."""
        if scope["method"] != "POST":
            raise RefusedError(
                HTTPStatus.METHOD_NOT_ALLOWED, "reports are posted here", "send a POST"
            )
        if self._hosts and _name(head.host) not in self._hosts:
            raise bad("this is not the host that was asked for", "check the address in report_to")
        essence = head.content_type.partition(b";")[0].strip().lower()
        if essence not in _TYPES:
            raise unsupported(
                "the Content-Type is none of a report",
                "send application/json or application/reports+json",
            )
        if head.length and not head.length.isdigit():
            raise bad("the Content-Length is no number", "send the length of the body")
        # So many digits are no length that anybody sends, and an int of them takes its time.
        if len(head.length) > 19 or int(head.length or 0) > self._settings.most_bytes:
            raise too_large(self._settings.most_bytes)
        return essence

    def _received(self, data: bytes, essence: bytes, source: str) -> Received | None:
        """Return what is to be made durable: None if a browser reported nothing that matters."""
        now = self._clock()
        failure = read_report(data, source) if essence == _JSON else None
        said = (failure,) if failure else self._decoded(data, essence, source, now)
        if not said:
            return None
        at = int(now.timestamp())
        return Received(at, source, said, self._sample(data, said[0], at), len(data))

    def _decoded(
        self, data: bytes, essence: bytes, source: str, now: datetime
    ) -> tuple[Failure | Holding, ...]:
        """Return what a codec makes of the body. Raises ``RefusedError``."""
        document = parse(data, self._settings.most_depth)
        try:
            reports = decode(document, essence.decode("latin-1"), now)
        except FormatError as exc:
            raise no_report(exc.problem, exc.fix or "docs/collector.md has the formats") from exc
        if len(reports) > self._settings.most_reports:
            raise too_large(self._settings.most_bytes)
        if len(reports) > 1:
            self._rates.charge(source, len(reports) - 1)
        return told(reports, source)

    def _sample(self, data: bytes, failure: Failure | Holding, at: int) -> bytes:
        """Return the body as it is kept, if it is one of the first few of its kind; or nothing."""
        if not isinstance(failure, Failure):
            return b""
        looks = (
            *(failure.host, failure.reason, failure.served, failure.verified, failure.kind),
            *(failure.pin_set, failure.version, failure.app, failure.app_version),
            *(failure.platform, failure.network),
        )
        if not self._taste.wants(looks, at - at % HOUR):
            return b""
        document = parse(data, self._settings.most_depth)
        return sample_of(document, self._settings.most_sample_bytes)


def _read_head(headers: Iterable[tuple[bytes, bytes]]) -> _Head:
    found = [b"", b"", b"", b"", b""]
    for name, value in headers:
        if (place := _NAMES.get(name)) is not None:
            found[place] = found[place] + b"," + value if found[place] else value
    return _Head(*found)


def _name(host: bytes) -> bytes:
    """The Host without its port."""
    if host.startswith(b"["):
        return host.partition(b"]")[0][1:].lower()
    return host.partition(b":")[0].lower()


async def _refuse(send: Send, refused: RefusedError) -> int:
    """One line of JSON: what is wrong, and what to do."""
    body = msgspec.json.encode({"error": refused.problem, "fix": refused.fix}) + b"\n"
    headers = [
        _ANY_ORIGIN,
        _NOT_KEPT,
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    if refused.retry:
        headers.append((b"retry-after", b"%d" % refused.retry))
    if refused.status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append((b"allow", b"POST, OPTIONS"))
    await send({"type": "http.response.start", "status": int(refused.status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
    return int(refused.status)
