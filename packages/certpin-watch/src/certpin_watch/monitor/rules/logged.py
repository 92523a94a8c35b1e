"""A certificate for a watched host stands in a log, and its key or its issuer is nobody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError, HostError
from certpin.pins import HostPattern, Pin
from certpin_watch.finding import Finding
from certpin_watch.monitor.rules.matching import expected_pins
from certpin_watch.monitor.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.x509 import Chain
    from certpin_watch.monitor.case import Case, Logged, Scene

KEY, ISSUER, MALFORMED = "logged-key", "logged-issuer", "logged-malformed"
_ANY_LABEL = "_"  # of no host (RFC 1123 section 2.1): no policy has it by its exact name


def _keys(scene: Scene) -> Iterator[Finding]:
    for case, entry in _concerned(scene):
        pins = [Pin.of_key(each) for each in (entry.key, *entry.authorities)]
        if expected_pins(case).isdisjoint(pins):
            yield _finding(
                case,
                entry,
                KEY,
                f"a certificate for {entry.names[0]} was logged, and it has another key: {pins[0]}",
            )


def _issuers(scene: Scene) -> Iterator[Finding]:
    for case, entry in _concerned(scene):
        known = _issuers_of(case)
        if known and entry.issuer and entry.issuer not in known:
            yield _finding(
                case,
                entry,
                ISSUER,
                f"a certificate for {entry.names[0]} was logged that {entry.issuer} issued, which "
                "no server of it was seen with",
            )


def _malformed(scene: Scene) -> Iterator[Finding]:
    for entry in scene.logged:
        if entry.kind == "malformed" and scene.now - entry.first <= scene.settings.logged:
            yield Finding(
                rule=MALFORMED,
                severity="info",
                host="",
                pin_set="",
                summary=f"a log has an entry that nobody can read: {entry.summary}",
                subject=entry.tbs.hex(),
                details={"log": entry.log, "next": "look at the entry in that log"},
            )


def _concerned(scene: Scene) -> Iterator[tuple[Case, Logged]]:
    for entry in scene.logged:
        if entry.kind != "certificate" or entry.not_after <= scene.now or not entry.names:
            continue
        if scene.now - entry.first > scene.settings.logged:
            continue
        for case in scene.cases:
            if any(_stands_for(name, case) for name in entry.names):
                yield case, entry


def _stands_for(name: str, case: Case) -> bool:
    """Whether a name of a certificate (RFC 6125 section 6.4.3) is for a host of the policy."""
    try:
        pattern = HostPattern.parse(name)
    except HostError:
        return False
    policy, pins = case.policy, case.charge.pins
    if not pattern.wildcard:
        return pins.policy_for(pattern.name) is policy
    if not policy.pattern.wildcard:
        return pattern.matches(policy.pattern.name)
    return pins.policy_for(f"{_ANY_LABEL}.{pattern.name}") is policy


def _issuers_of(case: Case) -> set[str]:
    """Who issued what its servers show, or showed lately."""
    found = set()
    for look in case.looks:
        for chain in filter(None, (look.verified, look.before)):
            found |= _issuer(chain)
    return found


def _issuer(chain: Chain) -> set[str]:
    try:
        return {chain.leaf.issuer}
    except CertificateParseError:
        return set()


def _finding(case: Case, entry: Logged, rule: str, summary: str) -> Finding:
    return case.finding(
        rule,
        "warning",
        summary,
        f"certpin rotate status --file {case.file}",
        subject=entry.tbs.hex(),
        names=list(entry.names),
        issuer=entry.issuer,
        pin=str(Pin.of_key(entry.key)),
        log=entry.log,
        since=int(entry.first.timestamp()),
        not_after=int(entry.not_after.timestamp()),
    )


RULE = Rule(
    KEY,
    "a certificate for a watched host was logged, and neither its key nor an authority above it "
    "is pinned",
    "Somebody renewed with a new key, which clients will refuse; or somebody else got a "
    "certificate for that name.",
    scene=_keys,
)
RULE_ISSUER = Rule(
    ISSUER,
    "a certificate for a watched host was logged that another authority issued",
    "Somebody got a certificate for that name elsewhere.",
    scene=_issuers,
)
RULE_MALFORMED = Rule(
    MALFORMED,
    "a log has an entry that cannot be read, and may be for a watched host",
    "Nobody can tell whom it is for.",
    scene=_malformed,
)
