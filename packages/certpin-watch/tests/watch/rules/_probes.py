"""Chains, policies and probe results for the rules. No server is contacted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding

from certpin import HostPattern, HostPin, HostPolicy, Pin
from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.rotation import AdoptionDelays, Event, History
from certpin.x509 import Chain
from certpin_watch.monitor.evidence import (
    LocationStatus,
    LoggedCertificate,
    PolicyEvidence,
    ProbeEvidence,
    ServerView,
)
from certpin_watch.monitor.targets import Target, monitored_policies
from certpin_watch.rules.engine import RULES, evaluate
from certpin_watch.rules.evidence import Evidence
from certpin_watch.settings import AlertSettings, MonitorSettings
from certpin_watch.snapshot import MonitoredPinSet
from tests import kit
from tests.watch._commands import check_next_command

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.lab import Identity
    from certpin_watch.rules.rule import AlertFinding

HOST = "api.bank.test"
NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BACKUP = kit.NOBODY
# T_adopt is ten days.
TIMING = AdoptionDelays(
    cdn=timedelta(0), cache=timedelta(0), poll=timedelta(0), opened=10 * DAY, skew=timedelta(0)
)
LOCAL = Target(HOST, 443, locations=("local",))
EVERYWHERE = Target(HOST, 443, locations=("local", "fra1"))


def root(name: str = "Watch Root") -> Authority:
    return _root(name)


def authority(name: str = "Watch Root") -> Authority:
    return _authority(name)


def identity(name: str, *, issuer: str = "Watch Root", days: float = 47) -> Identity:
    """Return a server's key and chain. Equal arguments give the same identity.

    ``issuer`` is the name of the root, and ``days`` the lifetime of the certificate.
    """
    return _identity(name, issuer, days)


@cache
def _root(name: str) -> Authority:
    return Authority(name, now=NOW)


@cache
def _authority(name: str) -> Authority:
    return _root(name).intermediate(f"Below {name}")


@cache
def _identity(name: str, issuer: str, days: float) -> Identity:
    del name
    return _authority(issuer).issue(HOST, days=days)


def path(name: str, issuer: str = "Watch Root", **more: Any) -> Chain:
    """Return the verified chain of the identity ``name``, from its certificate up to the root."""
    ders = [
        certificate.public_bytes(Encoding.DER)
        for certificate in identity(name, issuer=issuer, **more).chain
    ]
    return Chain.from_der([*ders, root(issuer).certificate.der])


def pin(name: str) -> Pin:
    return identity(name).pin


def pins(*names: str | Pin, version: int = 1, **fields: Any) -> PinSet:
    """Return a pin set with one host.

    It pins the keys of the identities ``names``, or these pins, and a backup key that no server
    uses.
    """
    wanted = [pin(name) if isinstance(name, str) else name for name in names]
    entries = tuple(HostPin(key) for key in wanted)
    if BACKUP not in wanted:
        entries += (HostPin(BACKUP, "backup"),)
    return PinSet("bank", version, (HostPolicy(HostPattern.parse(HOST), entries, **fields),))


def published(content: PinSet, *, ago: timedelta, **fields: Any) -> Event:
    return Event(
        NOW - ago, "ann", "publish", version=content.version, pins=content, timing=TIMING, **fields
    )


def view(name: str = "leaf", vantage: str = "local", **fields: Any) -> ServerView:
    """Return what a location has got from a server since yesterday: by default a verified chain.

    ``name`` is the identity of the server, ``vantage`` the location, and ``fields`` replace values.
    """
    shown = fields.pop("verified", path(name))
    known: dict[str, Any] = {
        "target": LOCAL if vantage == "local" else EVERYWHERE,
        "vantage": vantage,
        "outcome": "verified",
        "address": "192.0.2.7",
        "served": shown,
        "verified": shown,
        "since": NOW - DAY,
        "last": NOW,
    }
    return ServerView(**(known | fields))


def failing(code: int, problem: str, served: Chain | None = None, **fields: Any) -> ServerView:
    """Return what a location gets from a server with a chain that fails verification.

    ``code`` is the verification error, ``problem`` its text, and ``served`` the server's chain.
    """
    shown: dict[str, Any] = {"verified": None, "served": served or path("leaf")}
    return view(outcome="unverified", **shown, code=code, problem=problem, **fields)


def probes(
    views: Iterable[ServerView] = (),
    content: PinSet | None = None,
    events: Iterable[Event] = (),
    settings: MonitorSettings | None = None,
    **fields: Any,
) -> ProbeEvidence:
    """Return the input of the alert rules over probe results, for a pin file with one host.

    Args:
        views: what each location has got from the servers.
        content: the pin set in the pin file.
        events: the journal of the pin file.
        settings: the settings of the monitor.
        fields: other fields of the result.
    """
    settings = settings or MonitorSettings()
    watched = MonitoredPinSet(Path("pins.toml"), content or pins("leaf"), History(tuple(events)))
    seen = tuple(views)
    policies = []
    for monitored in monitored_policies([watched], settings, NOW):
        targets = tuple({entry.target: None for entry in seen}) or monitored.targets
        policies.append(PolicyEvidence(replace(monitored, targets=targets), seen, settings, NOW))
    return ProbeEvidence(policies=tuple(policies), settings=settings, now=NOW, **fields)


def at(evidence: ProbeEvidence, moment: datetime) -> ProbeEvidence:
    """Return a copy of ``evidence`` that the rules evaluate at the time ``moment``."""
    policies = tuple(replace(policy, now=moment) for policy in evidence.policies)
    return replace(evidence, policies=policies, now=moment)


def found(*args: Any, **fields: Any) -> list[AlertFinding]:
    """Call ``probes`` with these arguments, and return the findings of all alert rules for it."""
    return findings_of(probes(*args, **fields))


def findings_of(evidence: ProbeEvidence) -> list[AlertFinding]:
    """Return the findings of all alert rules for these probe results.

    Also check that no rule raises an exception, and that each finding has a declared severity and a
    command that exists.
    """
    limits = AlertSettings(few=5, networks=10, surge=4, silent=timedelta(hours=6), disk=5)
    evaluation = evaluate(Evidence(int(evidence.now.timestamp()), limits, evidence))
    assert not evaluation.failures
    for finding in evaluation.findings:
        assert finding.severity in RULES[finding.rule].severities
        check_next_command(finding.command)
    return list(evaluation.findings)


def rules(findings: Iterable[AlertFinding]) -> list[tuple[str, str]]:
    """Return the names and severities of the alert rules of these findings."""
    return [(finding.rule, finding.severity) for finding in findings]


def location(
    name: str, *, since: timedelta = DAY, asked: timedelta = timedelta(0), **ago: Any
) -> LocationStatus:
    """Return the status of a location (a machine that probes servers). All times are given as ages.

    Args:
        name: the name of the location.
        since: how long ago the monitor first scheduled probes from it.
        asked: how long ago the monitor last checked if probes from it were due.
        ago: ``heard``, how long ago its last result arrived; None if no result ever arrived.
    """
    last = ago.get("heard", timedelta(0))
    return LocationStatus(name, NOW - since, NOW - asked, None if last is None else NOW - last)


def logged(name: str, **fields: Any) -> LoggedCertificate:
    """Return the record of a Certificate Transparency log about the certificate of an identity."""
    chain = path(name, fields.pop("issuer", "Watch Root"))
    known: dict[str, Any] = {
        "tbs": chain.leaf.sha256,
        "kind": "certificate",
        "key": chain.leaf.spki_sha256,
        "names": (HOST,),
        "issuer": chain.leaf.issuer,
        "log": "https://log.example/",
        "summary": "certificate discovered",
        "not_after": chain.leaf.not_after,
        "first": NOW - DAY,
        "authorities": tuple(entry.spki_sha256 for entry in chain.authorities),
    }
    return LoggedCertificate(**(known | fields))
