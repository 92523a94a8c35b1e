"""The endpoint for reports: an ASGI application that accepts reports and nothing else.

1. It checks the headers before it reads the body: method, host, type, length, encoding, and the
   rate of reports from the sender's network.
2. It reads the body within a time limit, and decompresses and parses it within limits (``body``).
3. It decodes certpin's own reports directly, and all others with a codec of ``certpin.reports``
   (``decode``).
4. It passes the reports to the intake, which stores them. When they are stored so that a crash does
   not lose them (durable), the response 204 is sent.

Clients are anonymous and need no login. A response contains nothing that the client sent.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from certpin.errors import FormatError
from certpin.reports.codecs import CONTENT_TYPES, JSON_TYPE, decode
from certpin_watch.addresses import client_address, in_networks, network_of, parse_address
from certpin_watch.collector.body import (
    BodyReader,
    ConcurrencyLimit,
    RequestRefusedError,
    bad_request,
    encoding_of,
    parse,
    too_large,
    unpack,
    unsupported,
)
from certpin_watch.collector.decode import CountedFailure, ReceivedBody, read_report, records_of
from certpin_watch.collector.intake import NotDurableError, StoreIntake
from certpin_watch.collector.samples import SampleFilter, sample_of
from certpin_watch.counters import COUNTERS
from certpin_watch.settings import require_nats
from certpin_watch.store.identities import HOUR

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
    from datetime import datetime

    from certpin_watch.addresses import Network
    from certpin_watch.collector.body import Receive
    from certpin_watch.collector.decode import CountedRecord
    from certpin_watch.collector.intake import Intake
    from certpin_watch.collector.jetstream import JetStreamIntake
    from certpin_watch.context import Watch
    from certpin_watch.settings import CollectorSettings

    Message = MutableMapping[str, Any]
    Send = Callable[[Message], Awaitable[None]]

_log = logging.getLogger("certpin.watch.collector")

_JSON = JSON_TYPE.encode()
_TYPES = {content_type.encode() for content_type in CONTENT_TYPES}
_MAX_REMEMBERED = 10_000  # different bodies, for samples
_CACHED = 4096  # addresses

# Browsers send reports from any page, and credentials only to the page's own origin (Reporting API,
# "Report Delivery": credentials mode "same-origin").
_ANY_ORIGIN = (b"access-control-allow-origin", b"*")
_NO_STORE = (b"cache-control", b"no-store")
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
_DEFECT = RequestRefusedError(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "the collector failed unexpectedly: the report is not counted",
    "read the log of the service, which has the reason",
)
_END = {"type": "http.response.body", "body": b""}


class Collector:
    """The ASGI application that receives reports.

    Args:
        watch: the settings, the store and the clock.
        intake: the object that makes accepted reports durable.
    """

    def __init__(self, watch: Watch, intake: Intake) -> None:
        settings = watch.settings.collector
        self._settings = settings
        self._clock = watch.clock
        self._intake = intake
        self._hosts = {host.encode() for host in settings.hosts}
        self._sources = SourcePrefixes(settings, watch.settings.access.believed)
        self._rates = RateLimit(
            settings.rate, settings.burst, settings.most_sources, time.monotonic
        )
        self._concurrency = ConcurrencyLimit(settings.at_once)
        self._bodies = BodyReader(settings.most_bytes, settings.body_seconds)
        self._sample_filter = SampleFilter(settings.samples, _MAX_REMEMBERED)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one HTTP request.

        Args:
            scope: the request, as ASGI describes it.
            receive: returns the next part of the body.
            send: sends the response.
        """
        start = time.monotonic()
        try:
            if scope["method"] == "OPTIONS":
                answer = _PREFLIGHT
            else:
                await self._accept(scope, receive)
                answer = _ACCEPTED
        except RequestRefusedError as exc:
            status = await _refuse(send, exc)
        except NotDurableError as exc:
            status = await _refuse(send, _unavailable(exc))
        except Exception:  # noqa: BLE001  # a defect gets an answer, and is logged
            _log.exception("the endpoint for reports failed")
            status = await _refuse(send, _DEFECT)
        else:
            await send(answer)
            await send(_END)
            status = 204
        COUNTERS.answered(status, time.monotonic() - start)

    async def _accept(self, scope: Message, receive: Receive) -> None:
        head = _read_head(scope["headers"])
        content_type = self._check_head(scope, head)
        encoding = encoding_of(head.encoding)
        client = scope.get("client")
        source = self._sources.prefix(client[0] if client else "", head.forwarded.decode("latin-1"))
        if seconds := self._rates.take(source):
            raise _too_many(seconds)
        try:  # a slow body holds a connection: a source may have only a few
            if not self._concurrency.enter(source):
                raise _too_many(1)
            data = await self._bodies.read(receive)
        finally:
            self._concurrency.leave(source)
        data = unpack(data, encoding, self._settings.most_bytes)
        if body := self._decode(data, content_type, source):
            await self._intake.accept(body)

    def _check_head(self, scope: Message, head: _Head) -> bytes:
        """Check method and headers, and return the Content-Type without its parameters.

        ``scope`` is the ASGI scope of the request, and ``head`` the headers that were read from it.

        Raises:
            RequestRefusedError: the collector doesn't accept reports with this method, Host header,
                Content-Type or Content-Length.
        """
        if scope["method"] != "POST":
            raise RequestRefusedError(
                HTTPStatus.METHOD_NOT_ALLOWED, "reports are sent with POST", "send a POST"
            )
        if self._hosts and _name(head.host) not in self._hosts:
            raise bad_request(
                "this service does not have the host of the request",
                "check the address in report_to",
            )
        content_type = head.content_type.partition(b";")[0].strip().lower()
        if content_type not in _TYPES:
            raise unsupported(
                "the Content-Type is not that of a report",
                f"send {' or '.join(CONTENT_TYPES)}",
            )
        if head.length and not head.length.isdigit():
            raise bad_request(
                "the Content-Length is not a number", "send the length of the body in bytes"
            )
        # No client sends that many digits, and Python needs long to convert them.
        if len(head.length) > 19 or int(head.length or 0) > self._settings.most_bytes:
            raise too_large(self._settings.most_bytes)
        return content_type

    def _decode(self, data: bytes, content_type: bytes, source: str) -> ReceivedBody | None:
        """Decode a request body.

        Args:
            data: the body, decompressed.
            content_type: the Content-Type without its parameters.
            source: the network that sent the body.

        Returns:
            The reports in the body; None if the body is valid, but contains nothing to count.
            Browsers send such bodies.

        Raises:
            RequestRefusedError: the body is not a valid report, or contains too many reports.
        """
        now = self._clock()
        failure = read_report(data, source) if content_type == _JSON else None
        records = (failure,) if failure else self._run_codec(data, content_type, source, now)
        if not records:
            return None
        at = int(now.timestamp())
        return ReceivedBody(at, source, records, self._sample(data, records[0], at), len(data))

    def _run_codec(
        self, data: bytes, content_type: bytes, source: str, now: datetime
    ) -> tuple[CountedRecord, ...]:
        document = parse(data, self._settings.most_depth)
        try:
            reports = decode(document, content_type.decode("latin-1"), now)
        except FormatError as exc:
            raise RequestRefusedError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                exc.problem,
                exc.fix or 'the page "The collector" of the documentation has the formats',
            ) from exc
        if len(reports) > self._settings.most_reports:
            raise too_large(self._settings.most_bytes)
        if len(reports) > 1:
            self._rates.charge(source, len(reports) - 1)
        return records_of(reports, source)

    def _sample(self, data: bytes, record: CountedRecord, at: int) -> bytes:
        """Return a request body as a sample to store: JSON without fields that identify a device.

        Of the bodies with equal fields, only the first few in each hour are used as samples.

        Args:
            data: the body, decompressed.
            record: the first report in the body.
            at: the time of arrival, in seconds since 1970.

        Returns:
            The JSON. It is empty if there are enough samples, if the JSON would be too large, or
            if the record is not a failed connection.
        """
        if not isinstance(record, CountedFailure):
            return b""
        fields = (
            *(record.host, record.reason, record.served, record.verified, record.kind),
            *(record.pin_set, record.version, record.app, record.app_version),
            *(record.platform, record.network),
        )
        if not self._sample_filter.wants(fields, at - at % HOUR):
            return b""
        document = parse(data, self._settings.most_depth)
        return sample_of(document, self._settings.most_sample_bytes)


class _Head(NamedTuple):
    """The request headers that the collector reads; a missing header is empty.

    Repeated headers are joined with a comma (RFC 9110, 5.3). ``forwarded`` is ``X-Forwarded-For``.
    """

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


def _read_head(headers: Iterable[tuple[bytes, bytes]]) -> _Head:
    found = [b"", b"", b"", b"", b""]
    for name, value in headers:
        if (index := _NAMES.get(name)) is not None:
            found[index] = found[index] + b"," + value if found[index] else value
    return _Head(*found)


def _name(host: bytes) -> bytes:
    """Return the host in the value of a Host header, without its port, in lower case.

    The collector compares it with the host names that the settings permit.
    """
    if host.startswith(b"["):
        return host.partition(b"]")[0][1:].lower()
    return host.partition(b":")[0].lower()


async def _refuse(send: Send, refused: RequestRefusedError) -> int:
    """Send an error response with problem and fix as one line of JSON. Return its HTTP status.

    ``refused`` has the status, the problem and the fix.
    """
    body = msgspec.json.encode({"error": refused.problem, "fix": refused.fix}) + b"\n"
    headers = [
        _ANY_ORIGIN,
        _NO_STORE,
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


def _too_many(retry: int) -> RequestRefusedError:
    return RequestRefusedError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "your network sends too many reports",
        f"wait {retry} s, and send each report once",
        retry,
    )


def _unavailable(exc: NotDurableError) -> RequestRefusedError:
    return RequestRefusedError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        exc.problem,
        f"send it again in {exc.retry} s: it is not counted yet",
        exc.retry,
    )


class SourcePrefixes:
    """Maps client addresses to network prefixes, so that no address is stored or shown.

    Args:
        settings: the lengths of the prefixes.
        trusted: the networks of proxies. ``X-Forwarded-For`` is used only if one of these proxies
            sent it.
    """

    def __init__(self, settings: CollectorSettings, trusted: tuple[Network, ...] = ()) -> None:
        self._trusted = trusted
        self._bits = {4: settings.ipv4_prefix, 6: settings.ipv6_prefix}
        self._prefix: Callable[[str], str] = lru_cache(_CACHED)(self._find_prefix)
        self._is_trusted: Callable[[str], bool] = lru_cache(_CACHED)(self._find_trust)

    def prefix(self, peer: str, forwarded: str) -> str:
        """Return the client's network, as in ``192.0.2.0/24``; empty if it is unknown.

        Args:
            peer: the address of the TCP connection.
            forwarded: the header ``X-Forwarded-For``.
        """
        if not self._trusted:
            return self._prefix(peer)
        return self._prefix(client_address(peer, forwarded, self._is_trusted))

    def _find_prefix(self, text: str) -> str:
        return network_of(parse_address(text), self._bits)

    def _find_trust(self, text: str) -> bool:
        return in_networks(text, self._trusted)


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class RateLimit:
    """Limits how many reports the collector accepts from each source (the network of the sender).

    Each source has a token bucket. If there are ``max_sources`` buckets, a new bucket replaces the
    one that was unused longest. So this limit does not stop a sender with very many networks, but
    the bounded queue of the intake does.

    Args:
        rate: the reports that a source may send in a second, in the long run.
        burst: the reports that a source may send at once.
        max_sources: the maximum number of buckets.
        clock: returns seconds, and never goes back.
    """

    def __init__(
        self, rate: float, burst: float, max_sources: int, clock: Callable[[], float]
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._max_sources = max_sources
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, source: str) -> int:
        """Take one token of a source (network).

        Returns:
            0 if there was a token, else the seconds until there will be one.
        """
        now = self._clock()
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = self._new(source, now)
        else:
            self._buckets.move_to_end(source)
            filled = bucket.left + (now - bucket.at) * self._rate
            bucket.left = min(filled, self._burst)
            bucket.at = now
        if bucket.left < 1:
            return ceil((1 - bucket.left) / self._rate)
        bucket.left -= 1
        return 0

    def charge(self, source: str, tokens: int) -> None:
        """Take more tokens from a source's bucket, after a body with several reports.

        ``take`` has taken one token for the body. ``tokens`` is the number of reports after the
        first one. The bucket may become negative: then the source has to wait longer before its
        next body.
        """
        if bucket := self._buckets.get(source):
            bucket.left -= tokens

    def _new(self, source: str, now: float) -> _Bucket:
        if len(self._buckets) >= self._max_sources:
            self._buckets.popitem(last=False)
        bucket = self._buckets[source] = _Bucket(self._burst, now)
        return bucket


@asynccontextmanager
async def open_intake(watch: Watch) -> AsyncIterator[Intake]:
    """Open the intake, the object that makes reports durable in JetStream or in the store.

    JetStream is used if the settings name a NATS server. While this server is unreachable, the
    intake tries to connect in the background, and its method ``accept`` raises ``NotDurableError``.
    When the ``async with`` block ends, all accepted reports are durable.

    Raises:
        ConfigError: the client library of NATS is missing.
    """
    intake = StoreIntake(watch) if watch.settings.nats is None else _jetstream(watch)
    intake.start()
    try:
        yield intake
    finally:
        await intake.close()


def _jetstream(watch: Watch) -> JetStreamIntake:
    require_nats()
    from certpin_watch.collector.jetstream import JetStreamIntake

    return JetStreamIntake(watch)
