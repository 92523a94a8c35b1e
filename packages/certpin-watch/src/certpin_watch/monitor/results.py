"""Probe jobs and results as JSON between the service and its workers, with strict checks.

Neither side trusts the other. A job makes a worker connect to hosts, so the worker checks the host
names in jobs. A result can cause an alert, so the service refuses a result with a value that no
probe yields. Certificates are base64 of DER.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from certpin.errors import CertificateParseError, ConfigError, InputError
from certpin.pins import normalise
from certpin.probe import PROTOCOLS
from certpin.support.text import printable
from certpin.x509 import Chain
from certpin_watch.counters import Outcome  # noqa: TC001  # msgspec reads it
from certpin_watch.permissions import check_location

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.probe import Observation
    from certpin.probe.scan import ScanResult
    from certpin_watch.store.probes import ProbeKey

MAX_BYTES = 1024 * 1024  # of one job or one result
MAX_REQUEST = 4 * 1024 * 1024  # bytes of a request with results, or of a response with jobs
MAX_JOBS = 256  # in one response, and results in one request
_MAX_HELD = 4096  # jobs that a worker names in one request
_MAX_CERTIFICATES = 256  # of one result
_MAX_TEXT = 400  # characters of a problem, which may come from a server
_OTHER_BYTES = 64 * 1024  # of a result, besides its certificates

_Process = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
_Identity = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_Seconds = Annotated[float, Meta(ge=0.1, le=3600)]
_Host = Annotated[str, Meta(min_length=1, max_length=253)]
_Port = Annotated[int, Meta(ge=1, le=65535)]
_Text = Annotated[str, Meta(max_length=_MAX_TEXT)]
_Time = Annotated[int, Meta(ge=0, lt=2**40)]
_Index = Annotated[int, Meta(ge=0, lt=256)]


class ProbeJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A probe that a worker runs: the server, how to connect, and how to verify its chain.

    Attributes:
        host: the host name to connect to and to verify.
        port: the port.
        way: how to connect and verify, as text; distinguishes targets with the same host and port.
        location: the location of the worker.
        slot: the planned time of the probe, in seconds since 1970.
        connect: a different address and port to connect to; None for those of the host.
        starttls: the STARTTLS protocol; empty for plain TLS.
        every_address: True to probe each address of the host.
        anchors: the trust anchors as DER; None for the platform's roots.
        timeout: the limit for one connection, in seconds.
        strict: ``strict_x509`` of the pin file; None if the pin file doesn't set it.
    """

    host: _Host
    port: _Port
    way: _Text
    location: _Text = msgspec.field(name="vantage")
    slot: _Time
    connect: tuple[_Host, _Port] | None = None
    starttls: _Text = ""
    every_address: bool = False
    anchors: tuple[bytes, ...] | None = None
    timeout: _Seconds = 10.0
    strict: bool | None = None

    @property
    def identity(self) -> str:
        """A digest that identifies the job: a hash of the server to probe and the location.

        A worker holds at most one job with each digest.
        """
        return _identity(self.host, self.port, self.way, self.location)


class AddressResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The result of a probe at one address.

    Attributes:
        address: the address that the probe connected to.
        outcome: "verified", "unverified" (OpenSSL refuses the chain), "unreachable", or
            "no-starttls" (the server declined TLS, or sent bytes in clear text before it).
        edge: the probed address, if each address of the host is probed; else empty.
        served: the chain that the server sent, as indexes into ``ProbeResult.certificates``.
        verified: the certification path that OpenSSL verified, as indexes into the same list.
        tls: the TLS version.
        problem: the reason if the outcome is not "verified".
        code: OpenSSL's error number if the chain does not verify.
        took: the duration of all attempts in microseconds, 0 if it was not measured.
    """

    address: _Text
    outcome: Outcome
    edge: _Text = ""
    served: Annotated[tuple[_Index, ...], Meta(max_length=100)] = ()
    verified: Annotated[tuple[_Index, ...], Meta(max_length=100)] = ()
    tls: Annotated[str, Meta(max_length=16)] = ""
    problem: _Text = ""
    code: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    took: _Time = 0


class ProbeResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The result of a probe job.

    ``host``, ``port``, ``way``, ``location`` and ``slot`` are copied from the job (``ProbeJob``).
    ``way`` describes how to connect and verify; ``slot`` is the planned time of the probe.

    Attributes:
        at: when the job was done, in seconds since 1970 by the worker's clock.
        seen: the result at each address. Its chains are indexes into ``certificates``: ``chain``
            returns the certificates.
        certificates: the certificates of all chains in DER, each certificate once.
    """

    host: _Host
    port: _Port
    way: _Text
    location: _Text = msgspec.field(name="vantage")
    slot: _Time
    at: _Time
    seen: Annotated[tuple[AddressResult, ...], Meta(min_length=1, max_length=256)]
    certificates: Annotated[tuple[bytes, ...], Meta(max_length=_MAX_CERTIFICATES)] = ()

    @property
    def key(self) -> ProbeKey:
        """The probed target (host, port and way to connect) and the location, as a tuple."""
        return self.host, self.port, self.way, self.location

    @property
    def identity(self) -> str:
        """The digest that identifies the job of this result: ``ProbeJob.identity``."""
        return _identity(*self.key)

    def chain(self, indexes: tuple[int, ...]) -> tuple[bytes, ...]:
        """Return the chain of the certificates at these indexes into ``certificates``, as DER."""
        return tuple(self.certificates[index] for index in indexes)


class JobRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A worker's request for probe jobs, which also renews or returns jobs that it holds.

    Attributes:
        process: a random number that distinguishes workers with the same token.
        max_jobs: how many jobs the worker accepts; ``most`` in JSON.
        held: the identities (digests) of jobs that the worker still runs, so that it keeps them.
        returned: the identities of unfinished jobs that the worker returns, because it stops.
    """

    process: _Process
    max_jobs: Annotated[int, Meta(ge=0, le=MAX_JOBS)] = msgspec.field(default=0, name="most")
    held: Annotated[tuple[_Identity, ...], Meta(max_length=_MAX_HELD)] = ()
    returned: Annotated[tuple[_Identity, ...], Meta(max_length=_MAX_HELD)] = ()


class JobBatch(msgspec.Struct, frozen=True):
    """The service's response to a request for jobs.

    Attributes:
        location: the location of the worker.
        lease: for how many seconds the worker has the right to run its jobs, from the request with
            which it got or last renewed them. Then other workers can get them.
        wait: the seconds after which the worker should ask for jobs again if it has none.
        jobs: the jobs for the worker.
        note: the reason if the settings allow no jobs for this location, else empty.
    """

    location: _Text
    lease: _Seconds
    wait: _Seconds
    jobs: Annotated[tuple[ProbeJob, ...], Meta(max_length=MAX_JOBS)] = ()
    note: Annotated[str, Meta(max_length=1000)] = ""


class ResultBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A worker's request that delivers results.

    ``process`` is a random number that distinguishes workers with the same token.
    """

    process: _Process
    results: Annotated[tuple[ProbeResult, ...], Meta(min_length=1, max_length=MAX_JOBS)]


# The fate of a result. `kept`: it is durable. `repeat`: it was durable before.
# `foreign`: it is for another location than the token. `unasked`: this service doesn't probe the
# host in this way. `not-held`: the worker doesn't hold the job, or no longer. `unfit`: no database
# accepts it. A worker never sends a result again after it got one of these.
Fate = Literal["kept", "repeat", "foreign", "unasked", "not-held", "unfit"]


class Receipt(msgspec.Struct, frozen=True):
    """The service's response to a worker's results.

    ``fates`` has what happened to each result, in the order of the results. The comment at ``Fate``
    explains the values.
    """

    fates: tuple[Fate, ...]


encode = msgspec.json.Encoder().encode
_read_request = msgspec.json.Decoder(JobRequest).decode
_read_jobs = msgspec.json.Decoder(JobBatch).decode
_read_results = msgspec.json.Decoder(ResultBatch).decode
_read_receipt = msgspec.json.Decoder(Receipt).decode

_MALFORMED = (msgspec.MsgspecError, RecursionError, UnicodeError)


def decode_request(data: bytes) -> JobRequest:
    """Decode a worker's request for jobs from JSON.

    Raises:
        InputError: the bytes are not a valid request.
    """
    try:
        return _read_request(_bounded(data))
    except _MALFORMED as exc:
        raise InputError("this is not a request for jobs") from exc


def decode_jobs(data: bytes) -> JobBatch:
    """Decode a batch of jobs from JSON.

    Raises:
        InputError: the bytes are not a batch of jobs, or a job has a value that no service sends.
    """
    try:
        batch = _read_jobs(_bounded(data))
        check_location(batch.location, "location")
        for job in batch.jobs:
            _check_job(job)
    except (*_MALFORMED, ConfigError) as exc:
        raise InputError("this is not an answer with jobs") from exc
    if any(job.location != batch.location for job in batch.jobs):
        raise InputError("a job is for another location")
    if not batch.note.isprintable():  # a worker prints it on a terminal
        raise InputError("its note has control characters")
    return batch


def decode_results(data: bytes) -> ResultBatch:
    """Decode the results of a worker from JSON.

    Raises:
        InputError: the bytes are not results, or a result has a value that no probe yields.
    """
    try:
        batch = _read_results(_bounded(data))
        for result in batch.results:
            _check_texts(result)
            for seen in result.seen:
                _check_address(result, seen)
    except (*_MALFORMED, IndexError, CertificateParseError) as exc:
        raise InputError("these are not results") from exc
    return batch


def decode_receipt(data: bytes) -> Receipt:
    """Decode the service's receipt for results from JSON.

    Raises:
        InputError: the bytes are not a receipt.
    """
    try:
        return _read_receipt(_bounded(data))
    except _MALFORMED as exc:
        raise InputError("this is not a receipt") from exc


def _check_job(job: ProbeJob) -> None:
    hosts = [job.host, *(job.connect[:1] if job.connect else ())]
    good = all(normalise(host) == host for host in hosts)
    check_location(job.location, "vantage")
    if not good or (job.starttls and job.starttls not in PROTOCOLS):
        raise InputError("a job names a host or protocol that can't be probed")


def _check_texts(result: ProbeResult) -> None:
    """Check that a result has printable texts only, and at most one observation of each address.

    Databases refuse some texts that are not printable.

    Raises:
        InputError: a text or an address is not valid.
    """
    edges = {seen.edge for seen in result.seen}
    texts = (
        text for seen in result.seen for text in (seen.address, seen.edge, seen.problem, seen.tls)
    )
    if len(edges) < len(result.seen) or not all(map(str.isprintable, texts)):
        raise InputError("a result has values that no probe has")


def _check_address(result: ProbeResult, seen: AddressResult) -> None:
    for indexes in filter(None, (seen.served, seen.verified)):
        Chain.from_der(result.chain(indexes))
    if (seen.outcome == "verified") != bool(seen.verified):
        raise InputError("a result contradicts itself")
    if seen.outcome in {"unreachable", "no-starttls"} and not seen.problem:
        raise InputError("a result doesn't say why there was no answer")


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_REQUEST:
        raise InputError(f"more than {MAX_REQUEST} bytes")
    return data


def _identity(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


@dataclass
class ResultBuilder:
    """Collects the results at each address of a probe job, and builds the result of the job.

    ``missing`` is the number of addresses that have no result yet.
    """

    job: ProbeJob
    missing: int = 1
    seen: list[AddressResult] = field(default_factory=list)
    _indexes: dict[bytes, int] = field(default_factory=dict)  # by the DER of certificates

    def add_failure(
        self,
        problem: str,
        edge: str = "",
        address: str = "",
        seconds: float = 0.0,
        *,
        insecure: bool = False,
    ) -> None:
        """Record that the probe of an address failed.

        Args:
            problem: the reason.
            edge: the address, if each address of the host is probed; else empty.
            address: the address that the probe tried; empty if there is none.
            seconds: the duration of the probe.
            insecure: True if the server declined STARTTLS, or sent bytes in clear text before TLS
                (``StartTLSError.insecure``).
        """
        outcome: Outcome = "no-starttls" if insecure else "unreachable"
        self._add(address, outcome, edge, problem, seconds)

    def add_observation(self, edge: str, seen: Observation, seconds: float) -> None:
        """Record the result of a probe of a single address.

        Args:
            edge: the address, if each address of the host is probed; else empty.
            seen: the chains and the verdict of OpenSSL.
            seconds: the duration of the probe.
        """
        self._add(
            seen.address,
            "unverified" if seen.verified is None else "verified",
            edge,
            seen.problem,
            seconds,
            served=self.indexes(seen.served),
            verified=self.indexes(seen.verified),
            tls=seen.tls_version,
            code=seen.code,
        )

    def add_scan_result(self, edge: str, seen: ScanResult) -> None:
        """Record the result of one endpoint (host, port, address) from a scan of many endpoints.

        ``seen`` is this result. If the TLS handshake fails for a reason other than the chain, the
        outcome is "unreachable", even if the server sent a chain. ``edge`` is the address, if each
        address of the host is probed; else empty.
        """
        reached: Outcome = "verified" if seen.verified else "unverified"
        self._add(
            seen.address,
            "unreachable" if seen.error else reached,
            edge,
            seen.error.problem if seen.error else seen.refusal,
            seen.seconds,
            served=self.indexes(seen.served),
            verified=self.indexes(seen.verified),
            tls=seen.tls,
            code=seen.code,
        )

    def indexes(self, chain: Chain | None) -> tuple[int, ...]:
        """Add the certificates of a chain to those of the result, and return their indexes.

        An index is the position in ``ProbeResult.certificates``, which has each certificate once.
        The result is empty if ``chain`` is None.
        """
        ders = (certificate.der for certificate in chain.certificates) if chain else ()
        return tuple(self._indexes.setdefault(der, len(self._indexes)) for der in ders)

    def build(self, at: float) -> ProbeResult:
        """Return the result of the job, with the results at all addresses that were recorded.

        If all certificates together are too large for a message, the result has none, and the
        outcome of every address is "unreachable".

        Args:
            at: the time of the result, in seconds since 1970.
        """
        job, seen, certificates = self.job, self.seen, tuple(self._indexes)
        size = encoded_size(certificates)
        if len(certificates) > _MAX_CERTIFICATES or size > MAX_BYTES - _OTHER_BYTES:
            problem = "its certificates are more than a result can hold"
            seen = [
                AddressResult(address.address, "unreachable", address.edge, problem=problem)
                for address in seen
            ]
            certificates = ()
        return ProbeResult(
            *(job.host, job.port, job.way, job.location, job.slot),
            at=int(at),
            seen=tuple(seen),
            certificates=certificates,
        )

    def _add(
        self,
        address: str,
        outcome: Outcome,
        edge: str,
        problem: str,
        seconds: float,
        **more: Any,
    ) -> None:
        problem = printable(problem[:_MAX_TEXT])[:_MAX_TEXT]
        took = max(0, round(seconds * 1_000_000))
        self.seen.append(AddressResult(address, outcome, edge, problem=problem, took=took, **more))
        self.missing -= 1


def encoded_size(ders: Iterable[bytes]) -> int:
    """Return how many bytes DER certificates take in JSON, as base64 with quotes and commas.

    The size of a request between worker and service is limited.
    """
    return sum(4 * ((len(der) + 2) // 3) + 3 for der in ders)
