"""Probe jobs and their results: JSON between the service and its workers, decoded strictly."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from certpin.errors import CertificateParseError, ConfigError, InputError
from certpin.pins import normalise
from certpin.probe import PROTOCOLS, Endpoint
from certpin.x509 import Chain, printable
from certpin_watch.locations import check_location

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from certpin.probe import Observation
    from certpin.probe.scan import ScanResult


MOST_BYTES = 1024 * 1024  # of one job or one result
MOST_REQUEST = 4 * 1024 * 1024  # of a request with results, or an answer with jobs
MOST_JOBS = 256  # in one answer, and results in one request
MOST_HELD = 4096  # jobs that a worker names in one request

_Process = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
_Identity = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_Seconds = Annotated[float, Meta(ge=0.1, le=3600)]
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
        """The digest of its target and location. A worker holds one job of each at most."""
        return _identity(self.host, self.port, self.way, self.vantage)


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
        return _identity(self.host, self.port, self.way, self.vantage)

    def chain(self, places: tuple[int, ...]) -> tuple[bytes, ...]:
        """The certificates that stand there."""
        return tuple(self.certificates[place] for place in places)


class JobRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A worker asks for jobs, keeps those that it works on, and returns others.

    ``process`` is a number that the worker makes when it begins: two workers may have one token.
    ``most`` is how many jobs it takes. ``held`` are identities of jobs that it is working on,
    ``returned`` of those that it gives back, because it ends.
    """

    process: _Process
    most: Annotated[int, Meta(ge=0, le=MOST_JOBS)] = 0
    held: Annotated[tuple[_Identity, ...], Meta(max_length=MOST_HELD)] = ()
    returned: Annotated[tuple[_Identity, ...], Meta(max_length=MOST_HELD)] = ()


class JobBatch(msgspec.Struct, frozen=True):
    """Jobs for a worker of ``location``.

    They go to another worker ``lease`` seconds after the worker was last heard. ``wait`` is in how
    many seconds to ask again. ``note`` is why there can be no jobs; empty as a rule.
    """

    location: _Word
    lease: _Seconds
    wait: _Seconds
    jobs: Annotated[tuple[Job, ...], Meta(max_length=MOST_JOBS)] = ()
    note: Annotated[str, Meta(max_length=1000)] = ""


class Delivery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The results of a worker."""

    process: _Process
    results: Annotated[tuple[Result, ...], Meta(min_length=1, max_length=MOST_JOBS)]


# The fate of a result. `kept`: it is durable. `repeat`: it was before. `foreign`: it is for
# another location than the token. `unasked`: this service does not ask that host in this way.
# `not-held`: the job was not given to this worker, or went to another since. `unfit`: no database
# takes it. A result is never sent again, whichever it is.
Fate = Literal["kept", "repeat", "foreign", "unasked", "not-held", "unfit"]


class Receipt(msgspec.Struct, frozen=True):
    """The fate of each result, in the order of the request."""

    fates: tuple[Fate, ...]


encode = msgspec.json.Encoder().encode
_read_request = msgspec.json.Decoder(JobRequest).decode
_read_batch = msgspec.json.Decoder(JobBatch).decode
_read_delivery = msgspec.json.Decoder(Delivery).decode
_read_receipt = msgspec.json.Decoder(Receipt).decode

_MALFORMED = (msgspec.MsgspecError, RecursionError, UnicodeError)


def decode_request(data: bytes) -> JobRequest:
    """Read a request for jobs. Raises ``InputError``."""
    try:
        return _read_request(_bounded(data))
    except _MALFORMED as exc:
        raise InputError("this is not a request for jobs") from exc


def decode_batch(data: bytes) -> JobBatch:
    """Read the service's jobs. Raises ``InputError`` on any that no service would send."""
    try:
        batch = _read_batch(_bounded(data))
        check_location(batch.location, "location")
        for job in batch.jobs:
            _check_job(job)
    except (*_MALFORMED, ConfigError) as exc:
        raise InputError("this is not an answer with jobs") from exc
    if any(job.vantage != batch.location for job in batch.jobs):
        raise InputError("a job is for another location")
    if not batch.note.isprintable():  # a worker prints it on a terminal
        raise InputError("its note has control characters")
    return batch


def decode_delivery(data: bytes) -> Delivery:
    """Read a worker's results. Raises ``InputError`` on any that no worker would send."""
    try:
        delivery = _read_delivery(_bounded(data))
        for result in delivery.results:
            _check_all(result)
            for seen in result.seen:
                _check(result, seen)
    except (*_MALFORMED, IndexError, CertificateParseError) as exc:
        raise InputError("these are not results") from exc
    return delivery


def decode_receipt(data: bytes) -> Receipt:
    """Read a receipt. Raises ``InputError``."""
    try:
        return _read_receipt(_bounded(data))
    except _MALFORMED as exc:
        raise InputError("this is not a receipt") from exc


def encoded_size(ders: Iterable[bytes]) -> int:
    """How many bytes certificates take in a message: base64 (RFC 4648), quotes and a comma."""
    return sum(4 * ((len(der) + 2) // 3) + 3 for der in ders)


def _check_job(job: Job) -> None:
    hosts = [job.host, *(job.connect[:1] if job.connect else ())]
    good = all(normalise(host) == host for host in hosts)
    check_location(job.vantage, "vantage")
    if not good or (job.starttls and job.starttls not in PROTOCOLS):
        raise InputError("a job names what cannot be asked")


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
    if len(data) > MOST_REQUEST:
        raise InputError(f"more than {MOST_REQUEST} bytes")
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


_LONGEST = 400  # characters of a problem: a server may have written them
_MOST_CERTIFICATES = 256  # of one result
_ROOM = 64 * 1024  # bytes of a result for everything else


def endpoint_of(job: Job, edge: str) -> Endpoint:
    """Whom to dial: ``edge`` is one address of the name, or empty for whichever answers."""
    if edge:
        connect = (edge, job.connect[1] if job.connect else job.port)
        return Endpoint(job.host, job.port, connect, starttls=job.starttls or None)
    return Endpoint(job.host, job.port, job.connect, starttls=job.starttls or None)


@dataclass
class Answer:
    """What was seen for one job so far."""

    job: Job
    missing: int = 1  # addresses that did not answer yet
    seen: list[Seen] = field(default_factory=list)
    certificates: Certificates = field(default_factory=Certificates)

    def add(self, seen: Seen) -> None:
        """One address is done."""
        self.seen.append(seen)
        self.missing -= 1

    def fail(self, problem: str, edge: str = "", address: str = "", seconds: float = 0.0) -> None:
        """One address cannot be asked."""
        took = _microseconds(seconds)
        self.add(Seen(address, "unreachable", edge, problem=_short(problem), took=took))

    def observed(self, edge: str, seen: Observation, seconds: float) -> None:
        """One address answered, and OpenSSL judged the chain."""
        self.add(
            Seen(
                seen.address,
                "unverified" if seen.verified is None else "verified",
                edge,
                served=self.certificates.places(seen.served),
                verified=self.certificates.places(seen.verified),
                tls=seen.tls_version,
                problem=_short(seen.problem),
                code=seen.code,
                took=_microseconds(seconds),
            )
        )

    def sighted(self, edge: str, seen: ScanResult) -> None:
        """As above, from a scan. Who fails after it sent a chain says nothing of trust."""
        outcome: Outcome = (
            "unreachable" if seen.error else "verified" if seen.verified else "unverified"
        )
        self.add(
            Seen(
                seen.address,
                outcome,
                edge,
                served=self.certificates.places(seen.served),
                verified=self.certificates.places(seen.verified),
                tls=seen.tls,
                problem=_short(seen.error.problem if seen.error else seen.refusal),
                code=seen.code,
                took=_microseconds(seen.seconds),
            )
        )

    def result(self, at: float) -> Result:
        """All of it. Chains that no message could carry are left out, and that is said."""
        job, seen, certificates = self.job, self.seen, tuple(self.certificates)
        size = encoded_size(certificates)
        if len(certificates) > _MOST_CERTIFICATES or size > MOST_BYTES - _ROOM:
            words = "its certificates are more than a result can hold"
            seen = [Seen(each.address, "unreachable", each.edge, problem=words) for each in seen]
            certificates = ()
        return Result(
            *(job.host, job.port, job.way, job.vantage, job.slot),
            at=int(at),
            seen=tuple(seen),
            certificates=certificates,
        )


class Asking:
    """The jobs of one scan, by the endpoints that they lead to. One endpoint may serve several."""

    def __init__(self) -> None:
        self._waiting: dict[Endpoint, list[tuple[Answer, str]]] = defaultdict(list)

    def begin(self, answer: Answer, edges: list[str]) -> None:
        """Ask at these addresses; an empty one is whichever the name leads to."""
        answer.missing = len(edges)
        for edge in edges:
            self._waiting[endpoint_of(answer.job, edge)].append((answer, edge))

    def endpoints(self) -> list[Endpoint]:
        """Whom to dial."""
        return list(self._waiting)

    def take(self, sighting: ScanResult) -> Iterator[Answer]:
        """The answers that are whole with this sighting."""
        for answer, edge in self._waiting.pop(sighting.endpoint):
            answer.sighted(edge, sighting)
            if not answer.missing:
                yield answer


def _microseconds(seconds: float) -> int:
    return max(0, round(seconds * 1_000_000))


def _short(text: str) -> str:
    return printable(text[:_LONGEST])[:_LONGEST]
