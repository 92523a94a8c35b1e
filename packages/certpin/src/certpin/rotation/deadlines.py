"""Deadlines of a rotation: the last safe time to publish, and until when a stolen key works.

Clients refuse every server when their pins expire (``on_expiry = "fail-closed"``), or when all
their trust anchors (``trust = FILE``) have expired. The next version has to reach them before.

Two results are computed: these deadlines, and until when clients accept a stolen key. Both follow
from the versions of the pin set that clients hold and from the delays of these clients, by the same
rules that refuse unsafe rotation steps (the gate). The only clock is ``situation.now``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from certpin.pins import pins_of
from certpin.rotation.fleet import clients_at_risk
from certpin.rotation.prospect import Prospect, assumed_prospects, conclude, stand_in
from certpin.rotation.rules import number_list, remaining_advice
from certpin.rotation.situation import last_end
from certpin.rotation.violation import clients_text
from certpin.support.text import in_utc
from certpin.x509.chain import read_facts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.pins import HostPolicy, Pin
    from certpin.rotation.situation import Situation, Version

# How the next version reaches the clients of a version: they fetch it, or only an app brings it.
Way = Literal["fetch", "app"]

# What expires at the clients of a version.
Expiring = Literal["pins", "anchors"]

# Trust anchors are valid for many years. Their expiry is a deadline in the last year only: time
# enough to make a root, to have it cross-signed, and to ship it.
_ANCHOR_NOTICE = timedelta(days=365)


@dataclass(frozen=True)
class PublishDeadline:
    """The last safe time to publish a version before pins or trust anchors expire at clients.

    Attributes:
        host: the host pattern of the policy.
        what: the thing that expires: ``pins``, or ``anchors`` (all certificates in the file that
            ``trust`` names).
        version: the number of the version with pins or anchors that expire.
        expires: the time at which the pins or anchors expire. Clients with that version then refuse
            every server.
        publish_before: the last time at which a version can be published so that it reaches every
            client before ``expires``. ``None`` if only the next release of an app replaces the
            version: certpin can't know when users install that release.
        way: ``fetch`` if the clients fetch the next version, or ``app`` if only a release of the
            app brings it.
        clients: the number of clients that hold the version now; ``None`` if unknown.
        advice: the remaining advice if a version with pins that expire later is out already; empty
            if none is out.
    """

    host: str
    what: Expiring
    version: int
    expires: datetime
    publish_before: datetime | None
    way: Way
    clients: int | None
    advice: str = ""

    def is_late(self, now: datetime) -> bool:
        """Return True if a version that is published at ``now`` may be too late for some client.

        Too late means that the client's pins or trust anchors expire before the client has the new
        version. If clients get it only with a release of the app, ``publish_before`` is unknown:
        then the result is True only if the pins or anchors have expired at ``now``.
        """
        return now > (self.publish_before or self.expires)

    def text(self, now: datetime) -> str:
        """Return the deadline as a sentence without its full stop.

        ``now`` decides if the deadline is described as past or future.
        """
        word, where = ("pins", "")
        if self.what == "anchors":
            word, where = "trust anchors", ", with the next root in the trust file,"
        expiry = f"the {word} of version {self.version} expire on {in_utc(self.expires)}"
        if self.advice:
            return f"{expiry}: {self.advice}"
        if self.publish_before is None:
            return (
                f"{expiry}, and only a release of the app can replace them: ship it early enough, "
                "and record when the last client of this version is gone (certpin rotate shipped "
                f"{self.version} --ended)"
            )
        before = _by(self.publish_before)
        if self.is_late(now):
            return f"{expiry}: it was safe to publish the next{where} until {before}"
        return f"{expiry}: publish the next version{where} by {before}"

    def json(self, now: datetime) -> dict[str, Any]:
        """Return the deadline as JSON (``docs/reference/json.md``).

        The field ``late`` is True if the deadline has passed at ``now``, and no version with pins
        that expire later is out.
        """
        before = self.publish_before
        return {
            "host": self.host,
            "what": self.what,
            "version": self.version,
            "expires": self.expires.isoformat(),
            "publish_before": before.isoformat() if before else None,
            "late": self.is_late(now) and not self.advice,
            "way": self.way,
            "clients": self.clients,
        }


@dataclass(frozen=True)
class ExposureStage:
    """A period in which clients accept a key that an attacker may have.

    The period ends when no client has one of ``versions`` any more. If clients with other versions
    still accept the key then, another period follows.

    Attributes:
        until: the end of the period; ``None`` if unknown.
        versions: the numbers of the versions that no client has any more from ``until`` on.
        clients: the number of all clients that accept the key at the beginning of the period, also
            of those that have other versions than ``versions``; ``None`` if unknown.
    """

    until: datetime | None
    versions: tuple[int, ...]
    clients: int | None

    @property
    def names(self) -> str:
        """The versions in words: ``version 3``, or ``versions 3 and 4``."""
        return number_list(self.versions)


@dataclass(frozen=True)
class KeyExposure:
    """The periods in which clients accept a key that an attacker may have.

    Attributes:
        host: the host pattern of the policy with the key.
        pin: the pin of the key.
        stages: the periods, each of which begins at the end of the one before. The first one begins
            now. Empty if no client accepts the key.
    """

    host: str
    pin: Pin
    stages: tuple[ExposureStage, ...]

    @property
    def clients(self) -> int | None:
        """The number of clients that accept the key now; ``None`` if unknown."""
        return self.stages[0].clients if self.stages else 0

    @property
    def until(self) -> datetime | None:
        """The first time at which no client accepts the key.

        ``None`` if that time is unknown, or if no client accepts the key now.
        """
        return self.stages[-1].until if self.stages else None

    def json(self) -> dict[str, Any]:
        """Return the exposure as JSON (``docs/reference/json.md``)."""
        return {
            "host": self.host,
            "pin": str(self.pin),
            "clients": self.clients,
            "until": self.until.isoformat() if self.until else None,
            "stages": [
                {
                    "until": stage.until.isoformat() if stage.until else None,
                    "versions": list(stage.versions),
                    "clients": stage.clients,
                }
                for stage in self.stages
            ],
        }


def publish_deadlines(situation: Situation) -> tuple[PublishDeadline, ...]:
    """Return the deadlines for publishing the next version of the pin set, the earliest first.

    Each version that some client may hold has up to two deadlines:

    - for its pins, if clients refuse every server when these expire (``fail-closed``);
    - for its trust anchors, if the last anchor expires within about a year. From then on clients
      can verify no chain, whatever the mode of their policy.

    There is no such deadline if no client will hold the version any more at the time of the expiry.

    The deadline is the time of the expiry minus T_adopt, the sum of the clients' delays. If the pin
    set is signed, the push (the upload) has to be done by then, not only the signing.
    """
    found = list(_deadlines(situation))
    return tuple(
        sorted(found, key=lambda each: (each.publish_before or situation.now, each.expires))
    )


def key_exposure(
    situation: Situation,
    pin: Pin,
    *,
    published: datetime | None = None,
) -> KeyExposure:
    """Return the periods in which clients accept a stolen key, with the numbers of clients.

    The result covers each version that some client may hold and that may accept a chain with the
    key. Not considered: revocation, and the expiry of the key's certificate.

    Args:
        situation: the facts about the host: pin file, versions at clients, served chains, time.
        pin: the pin of the key.
        published: the time at which a version that refuses the key will be published. The result is
            then computed as if clients could fetch that version from this time on. ``None`` to
            consider only the versions that were published so far.
    """
    # In the role that the pin file has for it. But an attacker needs an accepted key, too, to use
    # that of an authority that is not pinned. Clients can also pin a certificate of the key.
    prospects = (
        *(
            assumed_prospects(situation, pin)
            if situation.is_pinned(pin)
            else (Prospect(stand_in(pin)),)
        ),
        *(Prospect(stand_in(*pair)) for pair in situation.pairs_of_key(pin)),
        *(Prospect(stand_in(each)) for each in certificates_perhaps_of(situation, pin)),
    )
    accepting = [
        version
        for version in situation.alive
        if any(_can_accept(situation, policy) for policy in situation.policies_of(version))
        and conclude(prospects, situation.policies_of(version), situation.now) != "refused"
    ]
    after = _with_next(situation, published) if published else situation
    ends: dict[datetime | None, list[Version]] = {}
    for version in accepting:
        ends.setdefault(last_end(after, [version]), []).append(version)
    stages: list[ExposureStage] = []
    left, begin = accepting, situation.now
    for end in sorted(ends, key=lambda end: (end is None, end or situation.now)):
        numbers = sorted({version.number for version in ends[end]})
        stages.append(ExposureStage(end, tuple(numbers), clients_at_risk(after, left, begin)))
        left = [version for version in left if version not in ends[end]]
        begin = end or begin
    return KeyExposure(str(situation.pattern), pin, tuple(stages))


def certificates_perhaps_of(situation: Situation, pin: Pin) -> tuple[Pin, ...]:
    """Return the pins of unknown certificates that may have a stolen or lost key.

    They are the fingerprints (``cert-sha256``) in versions that clients hold, of certificates that
    servers may use and that no server presented. The result is empty if the key is pinned itself,
    or one of its certificates is known: then the pins of the key are known, too.

    Args:
        situation: the facts about the host.
        pin: the pin of the key.
    """
    shown = {each for certificate in situation.certificates for each in pins_of(certificate)}
    if situation.is_pinned(pin) or pin in shown:
        return ()
    used = {
        entry.pin
        for policy in filter(None, situation.held_policies)
        for entry in policy.pins
        if entry.pin.kind == "cert-sha256" and entry.state in {"active", "retiring"}
    }
    return tuple(sorted(used - shown - situation.past.same_keys.keys() - {pin}, key=str))


def _can_accept(situation: Situation, policy: HostPolicy | None) -> bool:
    """Return True if some client may still accept a chain by this policy.

    The result is False if ``policy`` is ``None``, because clients without a policy for the host
    have no pins that an attacker could use. It is also False if the pins have expired so that all
    clients refuse every server. A client with a slow clock compares pins for longer.
    """
    if policy is None:
        return False
    return policy.refuses_from is None or situation.slowest_clock < policy.refuses_from


def exposure_text(exposure: KeyExposure) -> tuple[str, ...]:
    """Return the exposure of a key as sentences without full stops, one for each period."""
    if not exposure.stages:
        return ("no client accepts the key",)
    return tuple(_stage_text(stage) for stage in exposure.stages)


def _stage_text(stage: ExposureStage) -> str:
    who = clients_text(stage.clients)
    until = f"until {in_utc(stage.until)}" if stage.until else "without a recorded end"
    return f"{who} may accept the key; those with {stage.names} {until}"


def _deadlines(situation: Situation) -> Iterator[PublishDeadline]:
    for version in situation.alive:
        last = last_end(situation, [version])
        for what, expires in _expiries(situation, version):
            if last is not None and last <= expires:
                continue
            can_fetch = version.gets_updates
            yield PublishDeadline(
                str(situation.pattern),
                what,
                version.number,
                expires,
                expires - situation.timing.adopt if can_fetch else None,
                "fetch" if can_fetch else "app",
                clients_at_risk(situation, [version]),
                remaining_advice(situation, version, expires) if what == "pins" else "",
            )


def _expiries(situation: Situation, version: Version) -> Iterator[tuple[Expiring, datetime]]:
    """Yield the times from which clients with a version refuse every server, each with its cause.

    Each is a pair of the cause and the time. The cause is ``pins`` if pins expire in a policy that
    then refuses servers. The cause is ``anchors`` if the last trust anchor of a policy expires;
    such a time is yielded only if it is at most about a year ahead. If the version has several
    policies for the hosts, only the first time of each cause is yielded.
    """
    policies = [policy for policy in situation.policies_of(version) if policy]
    if ends := list(filter(None, (policy.refuses_from for policy in policies))):
        yield "pins", min(ends)
    if ends := list(filter(None, map(_anchors_end, policies))):
        notice = _ANCHOR_NOTICE + situation.timing.adopt
        if min(ends) <= situation.now + notice:
            yield "anchors", min(ends)


def _anchors_end(policy: HostPolicy) -> datetime | None:
    """Return when the last trust anchor of a policy expires.

    Return ``None`` if the policy has no trust anchors, because its clients trust the system's
    roots.
    """
    found = map(read_facts, policy.trust.der if policy.trust else ())
    return max((each.not_after for each in found if each.not_after), default=None)


def _with_next(situation: Situation, at: datetime) -> Situation:
    """Return a copy of the facts about a host (``situation``), with the next version published.

    The next version is the current pin file, which has not been published yet. In the copy, clients
    can fetch it from the time ``at`` on.
    """
    number = situation.deployed.next_number(situation.pins)
    following = situation.deployed.with_version(replace(situation.pins, version=number), at)
    return replace(situation, deployed=following)


def _by(moment: datetime) -> str:
    """Return a deadline (``moment``) as text in UTC, rounded down so that it is never too late."""
    return in_utc(moment, down=True)
