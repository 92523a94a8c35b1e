"""What is counted of a body: the part of its reports that groups are made of, ready to travel."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from certpin.errors import FormatError
from certpin.reports import Report
from certpin.reports.codecs.nel import APART
from certpin.reports.codecs.pem import MAX_CHAIN, MAX_DER
from certpin.reports.model import Decision, Kind  # noqa: TC001  # msgspec reads them
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.reports import Presence

_MOST_VERSION = 2**63 - 1  # what a column holds
_MOST_SECONDS = 2**40 - 1  # what five bytes hold
_HOUR = 3600
WIDTHS = {
    "host": 255,
    "reason": 100,
    "pin_set": 100,
    "app": 100,
    "app_version": 60,
    "platform": 40,
    "network": 60,
}


# Whoever reaches the stream could write what no collector does: a row that a database can never
# take would come again for ever, and a moment that is no date would break each page that shows it.
_Identity = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Also = Annotated[bytes, Meta(max_length=32)]
_Chain = Annotated[
    tuple[Annotated[bytes, Meta(max_length=MAX_DER)], ...], Meta(max_length=MAX_CHAIN)
]
_Text = Annotated[str, Meta(max_length=255)]
_Version = Annotated[int, Meta(ge=0, le=_MOST_VERSION)]
_Number = Annotated[int, Meta(ge=0, lt=2**53)]


class Failure(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="failure"):
    """A report. Texts are bounded and printable; ``served`` and ``verified`` are DER.

    ``also`` is a second identity, or empty: whatever has either is the same report.
    """

    identity: _Identity
    kind: Kind
    decision: Decision
    reason: _Text
    host: _Text
    served: _Chain
    verified: _Chain
    pin_set: _Text
    version: _Version
    app: _Text
    app_version: _Text
    platform: _Text
    network: _Text
    also: _Also = b""


class Holding(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="holding"):
    """A client that holds a version of a pin set."""

    identity: _Identity
    pin_set: _Text
    version: _Version
    app: _Text
    app_version: _Text
    platform: _Text
    also: _Also = b""


class Received(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One body: when it came by our clock, from which network, and what it told.

    ``sample`` is the document without what identifies a device, where it is worth being kept.
    """

    at: _Number
    source: _Text
    told: tuple[Failure | Holding, ...]
    sample: bytes = b""
    weight: _Number = 0


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[Received])


def pack(batch: Sequence[Received]) -> bytes:
    """As the payload of a message."""
    return _ENCODER.encode(batch)


def unpack_batch(data: bytes, now: int) -> list[Received]:
    """What such a payload holds. Raises ``FormatError``.

    A moment that has not come yet is of a clock that was wrong: it counts as ``now``.
    """
    try:
        batch = _DECODER.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as exc:
        raise FormatError(f"this is no batch of reports: {exc}") from exc
    if not all(map(_is_printable, batch)):
        raise FormatError("this is no batch of reports: a text has characters that none has")
    return [each if each.at <= now + _HOUR else replace(each, at=now) for each in batch]


def _is_printable(received: Received) -> bool:
    told = (text for each in received.told for text in _texts(each))
    return received.source.isprintable() and all(map(str.isprintable, told))


def _texts(told: Failure | Holding) -> tuple[str, ...]:
    app = (told.pin_set, told.app, told.app_version, told.platform)
    return (*app, told.host, told.network, told.reason) if isinstance(told, Failure) else app


def told(reports: Sequence[Report | Presence], source: str) -> tuple[Failure | Holding, ...]:
    """What is counted of them."""
    return tuple(
        _failure(each, source) if isinstance(each, Report) else _holding(each) for each in reports
    )


def _failure(report: Report, source: str) -> Failure:
    client = report.client
    # Without a name of its own, two clients that say the same in the same second are told apart by
    # their networks. TrustKit's have the device in their digest, and go from network to network.
    nameless = "" if report.own_identity or report.kind == "trustkit" else source
    at = later = report.at
    if report.kind == "nel":
        # A report of NEL says how old it is, and not when it happened: its moment moves. Those of
        # its names, two neighbouring half minutes, don't.
        half = int(at.timestamp() // APART) * APART
        at, later = (datetime.fromtimestamp(each, UTC) for each in (half, half + APART))
    return Failure(
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


def _holding(presence: Presence) -> Holding:
    client = presence.client
    return Holding(
        identity("presence", presence.identity, "", presence.at),
        _text("pin_set", presence.pin_set),
        _version(presence.pin_set_version),
        _text("app", client.app),
        _text("app_version", client.app_version),
        _text("platform", client.platform),
    )


def identity(kind: str, own: str, source: str, at: datetime) -> bytes:
    """Return 32 bytes that are the same whenever the same report is sent.

    They begin with the client's second (``store/identities.py``): reports of one time are then
    neighbours in the index, and a new one touches a page that is in memory, however many there are.
    On PostgreSQL, those of a day have a partition.
    """
    seconds = min(max(int(at.timestamp()), 0), _MOST_SECONDS)
    said = f"{kind}\0{source}\0{own}".encode(errors="backslashreplace")
    return seconds.to_bytes(5, "big") + sha256(said).digest()[:27]


def _text(name: str, value: str) -> str:
    width = WIDTHS[name]
    if not value.isprintable():
        value = printable(value[:width])  # PostgreSQL takes no NUL, and no database half a pair
    return value if len(value) <= width else value[:width]


def _version(number: int) -> int:
    return number if 0 <= number <= _MOST_VERSION else 0
