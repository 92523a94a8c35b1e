"""The effect of a new pin set on installed clients, found by comparing it with the old set.

Each client receives the new set at its own time, and some never do. So a change is judged twice:
for clients with the new set while the servers still use the old keys, and for clients with the old
set after the servers changed their keys. Each change gets one of three weights:

    safe      clients notice nothing, or are better protected, and refuse no genuine server
    careful   the change works only in the right order, or it protects clients less
    breaks    some clients refuse their own server, never accept the new set, or trust a key again
              that was compromised
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from certpin.pins.policy import meaning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from certpin.pins.hosts import HostPattern
    from certpin.pins.policy import HostPin, HostPolicy, Pin, PinSet

    Comparison = Callable[[HostPolicy, HostPolicy, datetime], Iterator["Finding"]]

Weight = Literal["safe", "careful", "breaks"]
Finding = tuple[Weight, str]  # a weight and its explanation

_NOT_YET = "do so only when every client has the new set"

WEIGHTS: tuple[Weight, ...] = ("breaks", "careful", "safe")  # the worst first


@dataclass(frozen=True)
class Change:
    """One change between two pin sets, with its effect on clients.

    Attributes:
        weight: ``safe`` (no client refuses a genuine server), ``careful`` (needs the right order,
            or protects less) or ``breaks`` (some clients refuse their server, never accept the new
            set, or trust a compromised key again).
        host: the host pattern; empty if the change concerns the pin set itself.
        text: a description of the change and its effect on clients.
    """

    weight: Weight
    host: str
    text: str


def changes(old: PinSet, new: PinSet, now: datetime) -> tuple[Change, ...]:
    """Return every change between two pin sets that affects clients, with its effect.

    Notes and roles of pins are not compared, because clients don't use them.

    Args:
        old: the pin set that clients have.
        new: the pin set that replaces it.
        now: the current time with a time zone. If a new expiry has already passed at this time,
            clients possibly refuse their server at once.

    Returns:
        The changes of the pin set itself, then those of each host, with the hosts in the order of
        the new set.
    """
    return (*_set(old, new), *_hosts(old, new, now))


def _set(old: PinSet, new: PinSet) -> Iterator[Change]:
    if old.name != new.name:
        text = f"the pin set is called {new.name!r} and was {old.name!r}: reports use the new name"
        yield Change("careful", "", text)
    yield from _debug(old, new)
    if new.version < old.version:
        text = (
            f"the version fell from {old.version} to {new.version}: no client accepts the new set"
        )
        yield Change("breaks", "", text)
    elif new.version == old.version and _noticed(old, new):
        text = f"the version is still {new.version}: clients take it for their current set"
        yield Change("breaks", "", text)


def _noticed(old: PinSet, new: PinSet) -> bool:
    """Return True if clients notice that the pin set ``new`` has replaced ``old``.

    They notice it if they treat some host in a different way, or report under a different name. A
    pin that moves between the states that clients accept changes nothing for them, so the steps of
    a rotation write such states without a new version.
    """
    return old.name != new.name or meaning(old) != meaning(new)


def _debug(old: PinSet, new: PinSet) -> Iterator[Change]:
    if new.debug is not None and old.debug != new.debug:
        word = "added" if old.debug is None else "changed"
        text = f"a debug section was {word}: with CERTPIN_DEBUG=1 its anchors need no pin"
        yield Change("careful", "", text)
    elif old.debug is not None and new.debug is None:
        yield Change("safe", "", "the debug section was removed")


def _hosts(old: PinSet, new: PinSet, now: datetime) -> Iterator[Change]:
    before = {policy.pattern: policy for policy in old.policies}
    after = {policy.pattern: policy for policy in new.policies}
    for pattern, policy in after.items():
        if pattern in before:
            findings = _policy(before[pattern], policy, now)
        else:
            covering = old.policies_at(pattern, new)
            findings = _added(policy, covering, after.keys(), now)
        yield from (Change(weight, str(pattern), text) for weight, text in findings)
    for pattern, policy in before.items():
        if pattern not in after:
            findings = _removed(policy, new.policies_at(pattern, old), now)
            yield from (Change(weight, str(pattern), text) for weight, text in findings)


def _added(
    policy: HostPolicy,
    covering: Sequence[HostPolicy | None],
    kept: AbstractSet[HostPattern],
    now: datetime,
) -> Iterator[Finding]:
    """Yield the effects (weight and text) of a pattern that only the new set has.

    Args:
        policy: the new set's policy for the pattern.
        covering: the policies of the old set that cover hosts of the pattern; ``None`` among them
            if some of these hosts had no policy.
        kept: the patterns of the new set. An old policy with a pattern that is not among them is
            skipped here, because ``_removed`` compares it.
        now: the current time.
    """
    if None in covering:
        yield "safe", "it is new: strict clients refuse it until they have the new set"
        if _refuses_all(policy, now):
            yield "breaks", _expired_text(policy)
    covered = "it" if len(covering) == 1 else "some of its hosts"
    for wider in covering:
        if wider is None or wider.pattern not in kept:
            continue
        text = "it has its own policy now"
        if _no_key_satisfies_both(wider, policy):
            yield "breaks", f"{text}, without any pin of {wider.pattern}, which covered {covered}"
        elif covered == "it":
            yield _moved_weight(wider, policy), f"{text}, and was covered by {wider.pattern}"
        else:
            yield _moved_weight(wider, policy), f"{text}, and {wider.pattern} covered {covered}"
        yield from _moved(wider, policy, now)


def _removed(
    policy: HostPolicy, covering: Sequence[HostPolicy | None], now: datetime
) -> Iterator[Finding]:
    """Yield the effects (weight and text) of a pattern that only the old set has.

    Args:
        policy: the old set's policy for the pattern.
        covering: the policies of the new set that cover hosts of the pattern; ``None`` among them
            if some of these hosts have no policy any more.
        now: the current time.
    """
    is_partial = len(covering) > 1
    if None in covering:
        text = "it was removed: strict clients refuse it, and others no longer pin it"
        if is_partial:
            text = (
                "it was removed, and no policy covers some of its hosts now: strict clients refuse "
                "these, and others no longer pin them"
            )
        yield "breaks", text
    covered = "some of its hosts" if is_partial else "it"
    for other in filter(None, covering):
        text = f"its policy was removed, and {other.pattern}"
        if _no_key_satisfies_both(policy, other):
            yield "breaks", f"{text}, which covers {covered} now, has none of its pins"
        else:
            yield _moved_weight(policy, other), f"{text} covers {covered} now"
        yield from _moved(policy, other, now)


def _moved_weight(old: HostPolicy, new: HostPolicy) -> Weight:
    return "safe" if old.mode == new.mode == "report" else "careful"


def _moved(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[Finding]:
    """Yield the effects on hosts for which the two sets have policies with different patterns.

    Each effect has a weight and a text. ``old`` is the policy of the old set for these hosts, and
    ``new`` that of the new set; ``now`` is the current time. Pins are not compared if both policies
    enforce pins and have none in common: the caller reports that.
    """
    if not _no_key_satisfies_both(old, new):
        yield from _pins(old, new)
    yield from _settings(old, new, now)


def _policy(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[Finding]:
    if _no_key_satisfies_both(old, new):
        yield "breaks", "no pin is in both sets: no key satisfies old and new clients"
    yield from _pins(old, new)
    yield from _settings(old, new, now)


def _settings(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[Finding]:
    for compare in _COMPARISONS:
        yield from compare(old, new, now)


def _no_key_satisfies_both(old: HostPolicy, new: HostPolicy) -> bool:
    """Return True if both policies enforce pins, and have no pin in common.

    Servers then can use no key that clients with the old and with the new pin set accept. The
    caller reports this as a change that breaks clients.
    """
    enforced = old.mode == new.mode == "enforce"
    return enforced and not old.live_pins.keys() & new.live_pins.keys()


def _pins(old: HostPolicy, new: HostPolicy) -> Iterator[Finding]:
    """Yield the effect on clients of each pin that was added, was removed, or changed its state.

    Each effect has a weight and a text. ``old`` and ``new`` are the policies of one host in the old
    and in the new pin set.
    """
    before, after = old.live_pins, new.live_pins
    for pin, entry in after.items():
        if pin in before:
            yield from _pin_state(pin, before[pin], entry)
        else:
            yield _pin_added(pin, entry, old, new)
    dead = {entry.pin: entry for entry in new.pins if not entry.live}
    for pin, entry in before.items():
        if pin not in after:
            yield _pin_removed(pin, entry, dead.get(pin), new.mode)
    yield from _pins_compromised(old, new)


def _pin_added(pin: Pin, entry: HostPin, old: HostPolicy, new: HostPolicy) -> Finding:
    dead = next((known for known in old.pins if known.pin == pin), None)
    if dead is not None:
        weight: Weight = "breaks" if dead.state == "compromised" else "careful"
        return weight, f"{pin} is accepted again, and was {dead.state}"
    if entry.in_service and old.mode == "enforce":
        text = f"{pin} is new and {entry.state}: old clients refuse a server that uses it"
        return "careful", f"{text}; {_NOT_YET}"
    text = f"{pin} is new ({entry.role}, {entry.state})"
    if entry.role in _AUTHORITIES & _REACHED[new.match] and old.mode == "enforce":
        return "careful", f"{text}: clients accept every certificate that it issues (weaker)"
    return "safe", text


def _pin_removed(pin: Pin, entry: HostPin, now: HostPin | None, mode: str) -> Finding:
    """Return the effect (weight, text) of a pin that the old set accepts and the new doesn't.

    Args:
        pin: the pin.
        entry: the pin's entry in the old set.
        now: the pin's entry in the new set, with the state ``removed`` or ``compromised``; None if
            the new set doesn't list the pin.
        mode: the mode of the policy in the new set. In mode ``report``, clients with this set don't
            refuse the key.
    """
    how = f"is {now.state}" if now else "was removed"
    if mode == "report":
        return "safe", f"{pin} {how}; clients with the new set only report failures of the host"
    if entry.state == "active":
        text = f"{pin} {how} while it was active: new clients refuse a server that still uses it"
        return "breaks", text
    if entry.state == "retiring":
        return "careful", f"{pin} {how}: new clients refuse a server that still uses it"
    return "careful", f"{pin} {how}: it was {entry.state}, and can't be used to go back"


def _pin_state(pin: Pin, before: HostPin, after: HostPin) -> Iterator[Finding]:
    if before.state == after.state:
        return
    text = f"{pin} was {before.state} and is {after.state}"
    if after.state == "active" and before.state in {"generated", "staged", "published"}:
        yield "safe", f"{text}: clients with the old set accept it, too"
    elif before.state == "lost":
        yield "careful", f"{text}: a key that turns up again may have been copied"
    else:
        yield "safe", text


def _pins_compromised(old: HostPolicy, new: HostPolicy) -> Iterator[Finding]:
    """Yield the effect of each pin that was newly marked compromised, or no longer is.

    Each effect has a weight and a text. ``old`` and ``new`` are the policies of one host in the old
    and in the new pin set. Clients refuse a path that contains a compromised key at any position.
    """
    for pin in sorted(new.compromised - old.compromised - old.live_pins.keys(), key=str):
        text = f"{pin} is marked compromised: new clients refuse every path that contains it"
        yield ("careful" if new.mode == "enforce" else "safe"), text
    roles = {entry.pin: entry.role for entry in old.pins}
    others = {entry.role for entry in new.live_pins.values()} & _REACHED[new.match]
    for pin in sorted(old.compromised - new.compromised - new.live_pins.keys(), key=str):
        text = f"{pin} is no longer marked compromised: a path that contains it is accepted again"
        # A path with the key of a leaf has another pin only if that is an authority's.
        can_match = {roles[pin], *others} & _AUTHORITIES and new.mode == "enforce"
        yield ("breaks" if can_match else "careful"), f"{text} if another pin matches"


def _mode(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[Finding]:
    if old.mode == new.mode:
        return
    if new.mode == "report":
        yield "careful", "failures are only reported now: clients refuse no server (weaker)"
    else:
        yield "careful", "it is enforced now: failures that were reported are refused (stronger)"


def _match(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[Finding]:
    if old.match == new.match:
        return
    if new.match == "any":
        text = f"a pin may be anywhere on the path, not only at the {old.match}"
        roles = {entry.role for entry in new.live_pins.values()} - _REACHED[old.match]
        is_weaker = old.mode == "enforce" and roles & _REACHED["any"]
        yield ("careful", f"{text} (weaker)") if is_weaker else ("safe", f"{text} (wider)")
    elif new.mode == "report":
        text = f'match = "{new.match}" instead of "{old.match}": pins elsewhere are excluded'
        yield "safe", f"{text}; clients with the new set only report failures of the host"
    elif _none_can_match(new):
        yield "breaks", f'match = "{new.match}" leaves out every pin by its role: none can match'
    elif out := _left_out(old, new):
        pins = ", ".join(map(str, out))
        text = f'match = "{new.match}" leaves out {pins}, and no other pin is active'
        yield "breaks", f"{text}: new clients refuse a server that still uses it"
    else:
        text = f'match = "{new.match}" instead of "{old.match}": pins elsewhere are excluded'
        yield "careful", f"{text} (narrower)"


_REACHED: dict[str, frozenset[str]] = {  # the roles of the certificates that match compares
    "leaf": frozenset({"leaf"}),
    "ca": frozenset({"intermediate", "root"}),
    "any": frozenset({"leaf", "intermediate", "root"}),
}
_AUTHORITIES = _REACHED["ca"]


def _none_can_match(policy: HostPolicy) -> bool:
    roles = {entry.role for entry in policy.live_pins.values()} - {"backup"}
    return bool(roles) and not roles & _REACHED[policy.match]


def _left_out(old: HostPolicy, new: HostPolicy) -> list[Pin]:
    """Return the pins that clients stop comparing, because ``match`` of the policy has changed.

    ``old`` and ``new`` are the policies of one host. Only pins that are in both policies, and that
    the new policy marks active or retiring, are returned: servers may use their keys. ``match``
    selects the certificates of a path that are compared. But if clients with the new policy still
    compare some active pin that isn't a backup, return an empty list.
    """
    reached = _REACHED[new.match]
    if any(each.role in reached and each.state == "active" for each in new.live_pins.values()):
        return []
    before = {pin for pin, each in old.live_pins.items() if each.role in _REACHED[old.match]}
    used = {pin: each for pin, each in new.live_pins.items() if each.in_service}
    return [pin for pin, each in used.items() if pin in before and each.role not in reached]


def _expiry(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[Finding]:
    if _refuses_all(new, now) and not (_refuses_all(old, now) and old.expires == new.expires):
        yield "breaks", _expired_text(new)
        return
    if old.expires != new.expires:
        yield _expiry_moved(old.expires, new, now)
    if old.expires is None or new.expires is None or old.on_expiry == new.on_expiry:
        return  # without an expiry, on_expiry has no effect
    if new.mode == "report":
        yield "safe", f"on_expiry is {new.on_expiry} now; clients only report failures of the host"
    elif new.on_expiry == "fail-closed":
        yield "careful", "after their expiry clients refuse the host, and no longer accept it"
    else:
        yield "careful", f"after their expiry no server is refused ({new.on_expiry}: weaker)"


def _refuses_all(policy: HostPolicy, now: datetime) -> bool:
    """Return True if clients with this policy refuse every connection at the time ``now``.

    That is so if the pins have expired in mode ``enforce`` with ``on_expiry = "fail-closed"``. A
    new policy of this kind is reported as a change that breaks clients.
    """
    return policy.refuses_from is not None and policy.expired(now)


def _expired_text(policy: HostPolicy) -> str:
    return f"the pins expire on {policy.expires:%Y-%m-%d}, which is past: clients refuse it at once"


def _expiry_moved(before: datetime | None, new: HostPolicy, now: datetime) -> Finding:
    if new.expires is None:
        return (
            "careful",
            "the pins no longer expire: clients that are never updated keep them for ever",
        )
    date = f"{new.expires:%Y-%m-%d}"
    if new.expired(now):  # and clients accept every server: _expiry reports those that refuse
        text = f"the pins expire on {date}, which is past: no server is refused any more"
        return "careful", text
    if before is not None and new.expires > before:
        return "safe", f"the pins expire later, on {date}"
    return "careful", f"the pins expire on {date}, earlier than before"


def _trust(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[Finding]:
    if old.trust is None or new.trust is None:
        if old.trust is not None:
            yield "careful", "the platform's roots are trusted for it again (weaker)"
        if new.trust is not None:
            text = f"only {new.trust.source} is trusted for it: the platform's roots are not"
            yield "careful", text
        return
    before, after = set(old.trust.der), set(new.trust.der)
    if not before & after:
        yield "breaks", f"{new.trust.source} has none of the anchors that were trusted for it"
    elif before != after:
        yield "careful", f"{new.trust.source} contains other anchors than before"
    if old.trust.strict != new.trust.strict:
        yield "careful", _STRICT[new.trust.strict]


def _reports(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[Finding]:
    for address in new.report_to:
        if address not in old.report_to:
            yield "safe", f"failures are reported to {address}"
    for address in old.report_to:
        if address not in new.report_to:
            weight: Weight = "safe" if new.report_to else "careful"
            yield weight, f"failures are no longer reported to {address}"


def _transparency(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[Finding]:
    if old.ct_logs == new.ct_logs:
        return
    if new.ct_logs is None:
        yield "careful", "its certificate need not be in Certificate Transparency (weaker)"
    elif old.ct_logs is None:
        text = "its certificate must be in Certificate Transparency: certpin check shows if it is"
        yield "careful", text
    elif missing := old.ct_logs.by_id.keys() - new.ct_logs.by_id.keys():
        yield "careful", f"the list of logs lacks {len(missing)} logs that the old one has"
    else:
        yield "safe", "the list of logs is another one, and lacks none of the old one"


_STRICT = {
    True: "strict_x509 is true now: clients refuse chains that violate RFC 5280; certpin check "
    "shows if a server presents one (stronger)",
    False: "strict_x509 is false now: clients accept chains that violate RFC 5280 (weaker)",
    None: "strict_x509 is no longer set: clients are as strict as their version of Python",
}

_COMPARISONS: tuple[Comparison, ...] = (_mode, _match, _expiry, _trust, _reports, _transparency)
