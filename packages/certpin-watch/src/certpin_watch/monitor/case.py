"""What a rule looks at: a policy and what is believed of its hosts; or all that is watched."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from certpin.probe import join_address
from certpin.rotation import Sighting, Situation
from certpin_watch.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.pins import HostPolicy
    from certpin.rotation import Version
    from certpin.x509 import Certificate, Chain
    from certpin_watch.finding import Severity
    from certpin_watch.monitor.settings import Settings
    from certpin_watch.monitor.targets import Charge, Target

_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Look:
    """What is believed of one target, as one vantage sees it at one address.

    ``since`` is when it was first seen like that, ``last`` when it was last seen. ``before`` is
    the verified path that it had before, if that was another one, and ``changed`` when that ended.
    """

    target: Target
    vantage: str
    outcome: str
    edge: str = ""
    address: str = ""
    served: Chain | None = None
    verified: Chain | None = None
    problem: str = ""
    code: int = 0
    since: datetime = _LONG_AGO
    last: datetime = _LONG_AGO
    before: Chain | None = None
    changed: datetime = _LONG_AGO

    @property
    def name(self) -> str:
        """The host and its port, with the address where that was chosen."""
        name = join_address(self.target.host, self.target.port)
        called = self.edge or (join_address(*self.target.connect) if self.target.connect else "")
        return f"{name} at {called}" if called else name

    @property
    def where(self) -> str:
        """The same, and who saw it: what tells this look from others."""
        return f"{self.name} from {self.vantage}"

    @property
    def ways(self) -> str:
        """The options that lead a command there."""
        target = self.target
        words = ["--host", join_address(target.host, target.port)]
        if self.edge or target.connect:
            address, port = target.connect or (self.edge, target.port)
            words += ["--connect", join_address(self.edge or address, port)]
        if target.starttls:
            words += ["--starttls", target.starttls]
        return shlex.join(words)


@dataclass(frozen=True)
class Case:
    """A policy, and what is believed of its hosts."""

    charge: Charge
    looks: tuple[Look, ...]
    settings: Settings
    now: datetime

    @property
    def policy(self) -> HostPolicy:
        """As the pin file has it; for a host that it has no more, as clients have it."""
        return self.charge.policy

    @cached_property
    def alive(self) -> tuple[Version, ...]:
        """The versions that some client may hold."""
        return self.charge.watched.alive(self.now)

    @property
    def verified(self) -> list[tuple[Look, Chain]]:
        """The looks that brought a chain that verifies, with it."""
        return [(each, each.verified) for each in self.looks if each.verified]

    def situation(self, looks: Iterable[Look] | None = None) -> Situation:
        """What the rotation knows, with these looks alone or with all that verified."""
        chosen = [look for look, _ in self.verified] if looks is None else looks
        watched, pattern = self.charge.watched, self.policy.pattern
        return Situation(
            pins=self.charge.pins,
            pattern=pattern,
            deployed=watched.field,
            sightings=tuple(Sighting(each.where, each.verified, each.served) for each in chosen),
            timing=watched.timing,
            now=self.now,
            past=watched.history.past(pattern),
        )

    def check(self, look: Look) -> str:
        """The command that looks at the same once more."""
        return f"certpin check {self.file} {look.ways}"

    @property
    def file(self) -> str:
        """The pin file, for a shell."""
        return shlex.quote(str(self.charge.watched.path))

    def finding(
        self, rule: str, severity: Severity, summary: str, command: str, **more: Any
    ) -> Finding:
        """A finding about this policy; ``subject`` and details are ``more``."""
        return Finding(
            rule=rule,
            severity=severity,
            host=str(self.policy.pattern),
            pin_set=self.charge.pins.name,
            summary=summary,
            command=command,
            subject=more.pop("subject", ""),
            details=more,
        )


@dataclass(frozen=True)
class Heard:
    """A vantage: since when it is asked, when somebody last looked whether to, and its answers."""

    name: str
    since: datetime
    asked: datetime
    heard: datetime | None


@dataclass(frozen=True)
class Logged:
    """A certificate that stands in a log. ``authorities`` are the SPKI digests above it."""

    tbs: bytes
    kind: str
    key: bytes
    names: tuple[str, ...]
    issuer: str
    log: str
    summary: str
    not_after: datetime
    first: datetime
    authorities: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Scene:
    """All that is watched. ``last`` is when each vantage last answered for a target's key, of those
    that are still probed.
    """

    cases: tuple[Case, ...]
    settings: Settings
    now: datetime
    problems: tuple[str, ...] = ()
    vantages: tuple[Heard, ...] = ()
    logged: tuple[Logged, ...] = ()
    last: dict[tuple[str, int, str, str], datetime] = field(default_factory=dict)


def describe(certificate: Certificate) -> dict[str, str]:
    """A certificate for the details of a finding."""
    from certpin.pins import Pin
    from certpin.x509 import name_of

    return {
        "subject": name_of(certificate),
        "pin": str(Pin.of_key(certificate.spki_sha256)),
        "sha256": certificate.sha256.hex(),
    }


def chain_details(chain: Chain | None) -> list[dict[str, str]]:
    """A chain for the details of a finding, leaf first."""
    return [describe(each) for each in chain.certificates] if chain else []
