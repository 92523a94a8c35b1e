"""From what probes saw to the results of their jobs. Pure, but for the clock that is passed in."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from certpin.probe import Endpoint
from certpin.x509 import printable
from certpin_watch.monitor.wire import MOST_BYTES, Certificates, Job, Result, Seen, encoded_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.probe import Observation
    from certpin.probe.scan import ScanResult
    from certpin_watch.monitor.wire import Outcome

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
