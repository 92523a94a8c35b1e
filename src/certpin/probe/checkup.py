"""What a host serves against what is pinned for it: pure, over an observation and a policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from certpin.pins import pins_of, verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.errors import ProbeError
    from certpin.pins import HostPolicy, Verdict
    from certpin.probe.dial import Observation

Status = Literal["holds", "finding", "inconclusive"]


@dataclass(frozen=True)
class Checkup:
    """One host, and what is wrong with it.

    ``findings`` are sentences; ``error`` is why the host could not be asked.
    """

    policy: HostPolicy
    host: str
    observation: Observation | None = None
    verdict: Verdict | None = None
    findings: tuple[str, ...] = ()
    error: ProbeError | None = None

    @property
    def status(self) -> Status:
        """``holds``, ``finding``, or ``inconclusive`` where nobody answered."""
        if self.findings:
            return "finding"
        return "holds" if self.observation else "inconclusive"

    def certificate_days(self, now: datetime) -> int | None:
        """Whole days until the first certificate of the path ends."""
        chain = self.observation.verified if self.observation else None
        if chain is None:
            return None
        return min((each.not_after - now).days for each in chain.certificates)

    def pin_days(self, now: datetime) -> int | None:
        """Whole days until the pins end; ``None`` where they have no end."""
        return (self.policy.expires - now).days if self.policy.expires else None


def check_up(
    policy: HostPolicy, observation: Observation, now: datetime, *, least_days: int = 0
) -> Checkup:
    """Judge what a host presented. Fewer than ``least_days`` days left on anything is a finding."""
    host = observation.endpoint.name
    if observation.verified is None:
        problem = f"the chain did not verify: {observation.problem}"
        return Checkup(policy, host, observation, findings=(problem,))
    verdict = verify(observation.verified, policy, now)
    checkup = Checkup(policy, host, observation, verdict)
    found = (
        *_about_pins(verdict),
        *_about_backup(checkup),
        *_about_dates(checkup, now, least_days),
    )
    return Checkup(policy, host, observation, verdict, found)


def _about_pins(verdict: Verdict) -> Iterator[str]:
    if verdict.reason == "mismatch":
        yield "no pin matches what it serves: clients that enforce are locked out"
    elif verdict.reason == "expired":
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
        yield f"a certificate of the chain ends in {days} days"
    days = checkup.pin_days(now)
    if days is not None and 0 <= days < least_days:
        yield f"the pins end in {days} days"
