"""Convert reports to the fields that are counted, and encode them for the JetStream stream.

Most reports are in certpin's own format, with an ``id``. ``read_report`` decodes these fast: it
checks types and lengths while it parses, and caches values that many reports have in common (host,
chains, pins). All other bodies are left to the codecs of ``certpin.reports``: those in another
format, and those with an unknown field, a character that is not ASCII, or a mistake. The codecs
decide whether the report is accepted, and describe the mistake.

``read_report`` and the codecs always give the same result
(``tests/watch/collector/test_decode.py``), with one exception: if a field occurs twice, and the
first value is a number too large for a float, ``read_report`` ignores that value, and the codecs
refuse the report.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw
from msgspec.structs import replace

from certpin.errors import FormatError
from certpin.reports import Report
from certpin.reports.codecs import CODECS
from certpin.reports.codecs.certpin import ID
from certpin.reports.codecs.fields import (
    MAX_CHAIN,
    MAX_DER,
    MAX_HOST,
    MAX_PORT,
    MAX_TEXT,
    MAX_VERSION,
    Fields,
)
from certpin.reports.model import Decision, Kind  # noqa: TC001  # msgspec reads them
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.reports import Presence

_MAX_SECONDS = 2**40 - 1  # the largest number in five bytes
_HOUR = 3600  # seconds
# Characters of each text that are counted. Longer texts are cut.
WIDTHS = {
    "host": 255,
    "reason": 100,
    "pin_set": 100,
    "app": 100,
    "app_version": 60,
    "platform": 40,
    "network": 60,
}

# Limits of the caches: entries, and bytes of each value. A sender who fills a cache makes decoding
# as slow as it is without one.
_CACHED, _MAX_CACHED_BYTES = 256, 16 * 1024


# An attacker with access to the stream could write values that no collector writes. A row that no
# database accepts would be delivered again for ever, and a time that is no date would break each
# page that shows it.
_Identity = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Also = Annotated[bytes, Meta(max_length=32)]
_Chain = Annotated[
    tuple[Annotated[bytes, Meta(max_length=MAX_DER)], ...], Meta(max_length=MAX_CHAIN)
]
_Counted = Annotated[str, Meta(max_length=255)]
_Version = Annotated[int, Meta(ge=0, le=MAX_VERSION)]
_Number = Annotated[int, Meta(ge=0, lt=2**53)]


class CountedFailure(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="failure"):
    """The fields of a report of a failed connection that the collector counts.

    ``served`` and ``verified`` are the chains that the server sent and that the client verified, as
    DER certificates, leaf first; they may be empty. ``store.reports.ReportGroup`` describes the
    other counted fields.

    ``identity`` is a digest that is equal each time that the report is sent. ``also`` is a second
    digest for reports of browsers (NEL), which have no exact time; it is empty for all other
    reports. If two reports have one of these digests in common, they are the same report.
    """

    identity: _Identity
    kind: Kind
    decision: Decision
    reason: _Counted
    host: _Counted
    served: _Chain
    verified: _Chain
    pin_set: _Counted
    version: _Version
    app: _Counted
    app_version: _Counted
    platform: _Counted
    network: _Counted
    also: _Also = b""


class CountedPresence(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="holding"):
    """The counted fields of a presence: a client reports the version of a pin set that it holds.

    In messages of the NATS stream, the tag "holding" marks this type. It never changes, because
    messages with it can be waiting in the stream.

    ``identity`` is a digest that is equal each time that the presence is sent. ``also`` is empty:
    only a ``CountedFailure`` can have a second digest.
    """

    identity: _Identity
    pin_set: _Counted
    version: _Version
    app: _Counted
    app_version: _Counted
    platform: _Counted
    also: _Also = b""


CountedRecord = CountedFailure | CountedPresence


class ReceivedBody(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The reports of one request body.

    Attributes:
        at: the time of arrival by this machine's clock, in seconds since 1970.
        source: the network that sent the body.
        records: the reports of failed connections and the presences, with which clients report the
            version of their pins.
        sample: the JSON document without fields that identify a device; empty if no sample is
            needed.
        size: the number of bytes of the body.
    """

    at: _Number
    source: _Counted
    records: tuple[CountedRecord, ...]
    sample: bytes = b""
    size: _Number = 0


def identity(kind: str, own: str, source: str, at: datetime) -> bytes:
    """Return the identity of a report: 32 bytes that are equal each time that the report is sent.

    The identity begins with the client's time in seconds, and ends with a digest of the other
    arguments. So reports of the same time are neighbours in the database index, which makes their
    insertion fast. On PostgreSQL, the identities of a day are in the same partition (see
    ``store.identities``).

    Args:
        kind: the format of the report.
        own: the ID of the report in its format.
        source: the network that sent the report, if its ``own`` ID is not unique; else empty.
        at: the time in the report, by the client's clock.
    """
    seconds = min(max(int(at.timestamp()), 0), _MAX_SECONDS)
    text = f"{kind}\0{source}\0{own}".encode(errors="backslashreplace")
    return seconds.to_bytes(5, "big") + sha256(text).digest()[:27]


# A text that is longer than the counted width has to be cut, which only the codecs' way does.
_Reason = Annotated[str, Meta(max_length=WIDTHS["reason"])]
_PinSet = Annotated[str, Meta(max_length=WIDTHS["pin_set"])]
_App = Annotated[str, Meta(max_length=WIDTHS["app"])]
_AppVersion = Annotated[str, Meta(max_length=WIDTHS["app_version"])]
_Platform = Annotated[str, Meta(max_length=WIDTHS["platform"])]
_Network = Annotated[str, Meta(max_length=WIDTHS["network"])]
_Text = Annotated[str, Meta(max_length=MAX_TEXT)]
_Host = Annotated[str, Meta(max_length=MAX_HOST)]


class _Document(msgspec.Struct, gc=False, forbid_unknown_fields=True, rename="kebab"):
    """The JSON fields of a report in certpin's own format (``certpin.reports.codecs.certpin``).

    Fields of the type ``Raw`` are not parsed yet: that is done later, through a cache.
    """

    schema: Literal["certpin-report/1"]
    id: _Text
    date_time: _Text
    hostname: _Host
    decision: Decision
    port: Annotated[int, Meta(ge=0, le=MAX_PORT)] = 0
    reason: _Reason = ""
    policy: _Text = ""
    noted_hostname: _Host = ""
    include_subdomains: bool = False
    pin_set: _PinSet = ""
    pin_set_version: Annotated[int, Meta(ge=0, le=MAX_VERSION)] = 0
    app: _App = ""
    app_version: _AppVersion = ""
    platform: _Platform = ""
    platform_version: _Text = ""
    network: _Network = ""
    library: _Text = ""
    served_certificate_chain: Raw = Raw(b"[]")
    validated_certificate_chain: Raw = Raw(b"[]")
    known_pins: Raw = Raw(b"[]")
    effective_expiration_date: _Text = ""


_decode = msgspec.json.Decoder(_Document).decode
_is_id = ID.fullmatch


def read_report(data: bytes, source: str) -> CountedFailure | None:
    """Decode a request body that is a valid report in certpin's own format, with an ``id``.

    Args:
        data: the request body, decompressed.
        source: the network that sent it.

    Returns:
        The record that the codecs of ``certpin.reports`` would return; None if the codecs have to
        decode the body, because it has a different form.
    """
    if not data.isascii():  # invalid UTF-8 could be in a value that is not parsed here
        return None
    try:
        document = _decode(data)
        at = _time(document.date_time)
        host = _host(document.hostname)
        served = _cached(_chain, bytes(document.served_certificate_chain))
        verified = _cached(_chain, bytes(document.validated_certificate_chain))
        _cached(_pins, bytes(document.known_pins))
        _check_pattern(document.policy, document.noted_hostname, document.include_subdomains)
        _check_expiry(document.effective_expiration_date)
    except (msgspec.MsgspecError, FormatError, RecursionError):
        return None
    texts = (
        *(document.reason, document.pin_set, document.app, document.app_version),
        *(document.platform, document.network, document.platform_version, document.library),
    )
    if not (_is_id(document.id) and "".join(texts).isprintable()):
        return None
    return CountedFailure(
        identity("certpin", f"id:{document.id}", "", at),
        "certpin",
        document.decision,
        document.reason,
        host,
        served,
        verified,
        document.pin_set,
        document.pin_set_version,
        document.app,
        document.app_version,
        document.platform,
        document.network or source,
    )


def _cached(read: Any, raw: bytes) -> Any:
    """Parse a JSON value with ``read``, which caches its results: many reports have equal values.

    ``read`` has an ``lru_cache``. ``raw`` is the JSON text of the value. A long value is parsed
    without the cache.
    """
    return read(raw) if len(raw) <= _MAX_CACHED_BYTES else read.__wrapped__(raw)


@lru_cache(_CACHED)
def _chain(raw: bytes) -> tuple[bytes, ...]:
    return Fields({"": msgspec.json.decode(raw)}).chain("")


@lru_cache(_CACHED)
def _pins(raw: bytes) -> tuple[str, ...]:
    return Fields({"": msgspec.json.decode(raw)}).pins("")


@lru_cache(4096)
def _host(text: str) -> str:
    return Fields({"": text}).host("")


@lru_cache(4096)
def _time(text: str) -> datetime:
    return Fields({"": text}).time("")


@lru_cache(4096)
def _check_pattern(policy: str, noted: str, below: bool) -> None:
    Fields({"": policy}).pattern("")
    Fields({"": noted}).pattern("", below=below)


@lru_cache(4096)
def _check_expiry(text: str) -> None:
    Fields({"": text}).expiry("")


def records_of(reports: Sequence[Report | Presence], source: str) -> tuple[CountedRecord, ...]:
    """Convert reports that a codec decoded to the fields that are counted.

    Args:
        reports: reports of failed connections, and presences (``Presence``), with which clients
            report the version of their pins.
        source: the network that sent them.
    """
    return tuple(
        _failure(report, source) if isinstance(report, Report) else _presence(report)
        for report in reports
    )


def _failure(report: Report, source: str) -> CountedFailure:
    client = report.client
    codec = CODECS[report.kind]
    # If the format has no identity, the network distinguishes two clients that report the same
    # in the same second. TrustKit's identity contains the device, and devices change networks.
    nameless = "" if report.own_identity or codec.identity_has_device else source
    at = later = report.at
    if period := codec.identity_period:
        # A NEL report states its age instead of its time, so that the time varies. Those of its two
        # identities, two neighbouring half minutes, don't.
        begin = int(at.timestamp() // period) * period
        at, later = (datetime.fromtimestamp(moment, UTC) for moment in (begin, begin + period))
    return CountedFailure(
        identity(report.kind, report.identity, nameless, at),
        report.kind,
        report.decision,
        _text("reason", report.reason),
        _text("host", report.host),
        report.served,
        report.verified,
        _text("pin_set", report.pin_set),
        _version(report.pin_set_version),
        _text("app", client.app),
        _text("app_version", client.app_version),
        _text("platform", client.platform),
        _text("network", client.network or source),
        identity(report.kind, report.also, nameless, later) if report.also else b"",
    )


def _presence(presence: Presence) -> CountedPresence:
    client = presence.client
    return CountedPresence(
        identity("presence", presence.identity, "", presence.at),
        _text("pin_set", presence.pin_set),
        _version(presence.pin_set_version),
        _text("app", client.app),
        _text("app_version", client.app_version),
        _text("platform", client.platform),
    )


def _text(name: str, value: str) -> str:
    width = WIDTHS[name]
    if not value.isprintable():
        # PostgreSQL accepts no NUL, and no database a lone surrogate.
        value = printable(value[:width])
    return value if len(value) <= width else value[:width]


def _version(number: int) -> int:
    return number if 0 <= number <= MAX_VERSION else 0


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[ReceivedBody])


def pack_batch(batch: Sequence[ReceivedBody]) -> bytes:
    """Encode a batch of request bodies as the payload of a JetStream message."""
    return _ENCODER.encode(batch)


def unpack_batch(data: bytes, now: int) -> list[ReceivedBody]:
    """Decode the payload of a JetStream message that ``pack_batch`` encoded.

    Args:
        data: the payload.
        now: the current time, in seconds since 1970. It replaces a time of arrival more than an
            hour in the future, because the collector's clock was wrong.

    Returns:
        The request bodies.

    Raises:
        FormatError: no collector wrote this payload.
    """
    try:
        batch = _DECODER.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as exc:
        raise FormatError(f"not a batch of reports: {exc}") from exc
    if not all(map(_is_printable, batch)):
        raise FormatError("not a batch of reports: a text has characters that are not printable")
    return [body if body.at <= now + _HOUR else replace(body, at=now) for body in batch]


def _is_printable(body: ReceivedBody) -> bool:
    texts = (text for record in body.records for text in _texts(record))
    return body.source.isprintable() and all(map(str.isprintable, texts))


def _texts(record: CountedRecord) -> tuple[str, ...]:
    app = (record.pin_set, record.app, record.app_version, record.platform)
    if isinstance(record, CountedFailure):
        return (*app, record.host, record.network, record.reason)
    return app
