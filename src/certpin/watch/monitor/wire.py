"""Jobs and results as they go to a worker and come back: MessagePack, read strictly.

What is read here may have been written by anybody who reaches the message broker. A job makes a
worker dial, so it names hosts that are hosts; a result makes people act, so it says nothing that
no probe could have seen.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from certpin.errors import CertificateParseError, ConfigError, InputError
from certpin.pins import normalise
from certpin.probe import PROTOCOLS
from certpin.watch.monitor.settings import check_vantage
from certpin.x509 import Chain

if TYPE_CHECKING:
    from collections.abc import Iterator

# NATS takes 1 MiB in a message unless it is told otherwise (max_payload).
MOST_BYTES = 768 * 1024

_Host = Annotated[str, Meta(min_length=1, max_length=253)]
_Port = Annotated[int, Meta(ge=1, le=65535)]
_Word = Annotated[str, Meta(max_length=400)]
_Moment = Annotated[int, Meta(ge=0, lt=2**40)]
_Index = Annotated[int, Meta(ge=0, lt=256)]

Outcome = Literal["verified", "unverified", "unreachable"]


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A probe for a worker. ``anchors`` is ``None`` for the platform's roots.

    ``strict`` is ``strict_x509`` of the pin file.
    """

    host: _Host
    port: _Port
    way: _Word
    vantage: _Word
    slot: _Moment
    connect: tuple[_Host, _Port] | None = None
    starttls: _Word = ""
    every_address: bool = False
    anchors: tuple[bytes, ...] | None = None
    timeout: Annotated[float, Meta(ge=0.1, le=3600)] = 10.0
    strict: bool | None = None

    @property
    def identity(self) -> str:
        """What tells it from every other job, and is the same for the same probe."""
        return _identity(self.host, self.port, self.way, self.vantage, self.slot)


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was seen at one address. ``served`` and ``verified`` are places in ``certificates``.

    ``took`` is in microseconds, all attempts together; 0 where it was not measured.
    """

    address: _Word
    outcome: Outcome
    edge: _Word = ""
    served: Annotated[tuple[_Index, ...], Meta(max_length=100)] = ()
    verified: Annotated[tuple[_Index, ...], Meta(max_length=100)] = ()
    tls: Annotated[str, Meta(max_length=16)] = ""
    problem: _Word = ""
    code: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    took: _Moment = 0


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of a job, at ``at`` by the worker's clock. Each certificate is in it once."""

    host: _Host
    port: _Port
    way: _Word
    vantage: _Word
    slot: _Moment
    at: _Moment
    seen: Annotated[tuple[Seen, ...], Meta(min_length=1, max_length=256)]
    certificates: Annotated[tuple[bytes, ...], Meta(max_length=256)] = ()

    @property
    def identity(self) -> str:
        """That of its job."""
        return _identity(self.host, self.port, self.way, self.vantage, self.slot)

    def chain(self, places: tuple[int, ...]) -> tuple[bytes, ...]:
        """The certificates that stand there."""
        return tuple(self.certificates[place] for place in places)


encode = msgspec.msgpack.Encoder().encode
_read_job = msgspec.msgpack.Decoder(Job).decode
_read_result = msgspec.msgpack.Decoder(Result).decode

_NO_RESULT = (
    *(msgspec.MsgspecError, RecursionError, UnicodeError, IndexError),
    CertificateParseError,
)


def decode_job(data: bytes) -> Job:
    """Read a job. Raises ``InputError`` on anything that no service would send."""
    try:
        job = _read_job(_bounded(data))
        hosts = [job.host, *(job.connect[:1] if job.connect else ())]
        good = all(normalise(host) == host for host in hosts)
        check_vantage(job.vantage, "vantage")
    except (msgspec.MsgspecError, RecursionError, UnicodeError, ConfigError) as exc:
        raise InputError("this is not a job") from exc
    if not good or (job.starttls and job.starttls not in PROTOCOLS):
        raise InputError("a job names what cannot be asked")
    return job


def decode_result(data: bytes) -> Result:
    """Read a result. Raises ``InputError`` on anything that no worker would send."""
    try:
        result = _read_result(_bounded(data))
        _check_all(result)
        for seen in result.seen:
            _check(result, seen)
    except _NO_RESULT as exc:
        raise InputError("this is not a result") from exc
    return result


def _check_all(result: Result) -> None:
    """Nothing that no database takes, or that would be two rows in the place of one."""
    edges = {seen.edge for seen in result.seen}
    texts = (
        word for each in result.seen for word in (each.address, each.edge, each.problem, each.tls)
    )
    if len(edges) < len(result.seen) or not all(map(str.isprintable, texts)):
        raise InputError("a result has what no probe sees")


def _check(result: Result, seen: Seen) -> None:
    for places in filter(None, (seen.served, seen.verified)):
        Chain.from_der(result.chain(places))
    if (seen.outcome == "verified") != bool(seen.verified):
        raise InputError("a result contradicts itself")
    if seen.outcome == "unreachable" and not seen.problem:
        raise InputError("a result does not say why there was no answer")


def _bounded(data: bytes) -> bytes:
    if len(data) > MOST_BYTES:
        raise InputError(f"more than {MOST_BYTES} bytes")
    return data


def _identity(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


class Certificates:
    """Gathers the certificates of a result, each once."""

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}

    def places(self, chain: Chain | None) -> tuple[int, ...]:
        """Where a chain's certificates stand."""
        ders = (each.der for each in chain.certificates) if chain else ()
        return tuple(self._places.setdefault(der, len(self._places)) for der in ders)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._places)
