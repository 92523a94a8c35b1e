"""What a host serves against what is pinned for it: pure, over an observation and a policy."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from certpin.errors import CertificateParseError
from certpin.pins import pins_of, verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.errors import ProbeError
    from certpin.pins import HostPolicy, Verdict
    from certpin.probe.dial import Observation
    from certpin.x509 import Chain

Status = Literal["holds", "finding", "inconclusive"]


@dataclass(frozen=True)
class Checkup:
    """One host, and what is wrong with it.

    ``host`` and ``port`` are those that were meant, whatever was called. ``findings`` are
    sentences; ``error`` is why the host could not be asked. ``region`` is that of the server in the
    pin file.
    """

    policy: HostPolicy
    host: str
    port: int
    observation: Observation | None = None
    verdict: Verdict | None = None
    findings: tuple[str, ...] = ()
    error: ProbeError | None = None
    region: str = ""

    @property
    def status(self) -> Status:
        """``holds``, ``finding``, or ``inconclusive`` where nobody answered."""
        if self.findings:
            return "finding"
        return "holds" if self.observation else "inconclusive"

    def certificate_days(self, now: datetime) -> int | None:
        """Whole days until the first certificate of the path ends; ``None`` without a path."""
        chain = self.observation.verified if self.observation else None
        ends = [] if chain is None else _ends(chain)
        return min((end - now).days for end in ends) if ends else None

    def pin_days(self, now: datetime) -> int | None:
        """Whole days until the pins end; ``None`` where they have no end."""
        return (self.policy.expires - now).days if self.policy.expires else None


def check_up(
    policy: HostPolicy, observation: Observation, now: datetime, *, least_days: int = 0
) -> Checkup:
    """Judge what a host presented. Fewer than ``least_days`` days left on anything is a finding."""
    endpoint = observation.endpoint
    checkup = Checkup(policy, endpoint.name, endpoint.port, observation, region=endpoint.region)
    if observation.verified is None:
        problem = f"the chain did not verify: {observation.problem}"
        return replace(checkup, findings=(problem,))
    verdict = verify(observation.verified, policy, now)
    checkup = replace(checkup, verdict=verdict)
    found = (
        *_about_pins(verdict, now),
        *_about_backup(checkup),
        *_about_dates(checkup, now, least_days),
    )
    return replace(checkup, findings=found)


def _ends(chain: Chain) -> list[datetime]:
    """When its certificates end; one whose date cannot be read was still verified by OpenSSL."""
    ends = []
    for certificate in chain.certificates:
        with suppress(CertificateParseError):
            ends.append(certificate.not_after)
    return ends


def _about_pins(verdict: Verdict, now: datetime) -> Iterator[str]:
    enforced = verdict.policy.mode == "enforce"
    if verdict.reason == "mismatch":
        outcome = "are locked out" if enforced else "would be locked out in mode enforce"
        yield f"no pin matches what it serves: clients {outcome}"
    if verdict.policy.expired(now):  # whatever clients do then
        yield "the pins have expired"


def _about_backup(checkup: Checkup) -> Iterator[str]:
    """A backup inside the served chain is lost together with it."""
    path = checkup.observation.verified if checkup.observation else None
    used = {pin for each in path.certificates for pin in pins_of(each)} if path else set()
    if checkup.policy.mode == "enforce" and used.issuperset(checkup.policy.live_pins):
        yield "every pin is in the chain that is served now: there is no backup outside it"


def _about_dates(checkup: Checkup, now: datetime, least_days: int) -> Iterator[str]:
    days = checkup.certificate_days(now)
    if days is not None and days < least_days:
        yield f"a certificate of the chain ends in {in_days(days)}"
    days = checkup.pin_days(now)
    if days is not None and days < least_days and not checkup.policy.expired(now):
        yield f"the pins end in {in_days(days)}"


def in_days(days: int) -> str:
    """A number of days, in words."""
    return "1 day" if days == 1 else f"{days} days"
