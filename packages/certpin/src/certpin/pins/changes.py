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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from certpin.pins.policy import (
        HostPin,
        HostPolicy,
        Pin,
        PinSet,
    )

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
        now: the current time with a time zone. A new expiry that has passed at this time may make
            clients refuse their server at once.

    Returns:
        The changes of the pin set itself, then those of each host, with the hosts in the order of
        the new set.
    """
    found = [*_hosts(old, new, now)]
    return (*_set(old, new, changed=bool(found)), *found)


def _set(old: PinSet, new: PinSet, *, changed: bool) -> Iterator[Change]:
    if old.name != new.name:
        text = f"the pin set is called {new.name!r} and was {old.name!r}: reports use the new name"
        yield Change("careful", "", text)
    yield from _debug(old, new)
    if new.version < old.version:
        text = (
            f"the version fell from {old.version} to {new.version}: no client accepts the new set"
        )
        yield Change("breaks", "", text)
    elif new.version == old.version and (changed or old.debug != new.debug):
        text = f"the version is still {new.version}: clients take it for their current set"
        yield Change("breaks", "", text)


def _debug(old: PinSet, new: PinSet) -> Iterator[Change]:
    if new.debug is not None and old.debug != new.debug:
        word = "added" if old.debug is None else "changed"
        text = f"a debug section was {word}: with CERTPIN_DEBUG=1 its anchors need no pin"
        yield Change("careful", "", text)
    elif old.debug is not None and new.debug is None:
        yield Change("safe", "", "the debug section was removed")


def _hosts(old: PinSet, new: PinSet, now: datetime) -> Iterator[Change]:
    before = {str(policy.pattern): policy for policy in old.policies}
    after = {str(policy.pattern): policy for policy in new.policies}
    for pattern, policy in after.items():
        if pattern in before:
            yield from _policy(before[pattern], policy, now)
        else:
            yield _added(pattern, policy, old)
    for pattern, policy in before.items():
        if pattern not in after:
            yield _removed(pattern, policy, new)


def _added(pattern: str, policy: HostPolicy, old: PinSet) -> Change:
    wider = old.policy_for(policy.pattern.name)
    if wider is None:
        text = "it is new: strict clients refuse it until they have the new set"
        return Change("safe", pattern, text)
    if wider.live_pins.keys() & policy.live_pins.keys():
        text = f"it has its own policy now, and was covered by {wider.pattern}"
        return Change("careful", pattern, text)
    text = f"it has its own policy now, without any pin of {wider.pattern}, which covered it"
    return Change("breaks", pattern, text)


def _removed(pattern: str, policy: HostPolicy, new: PinSet) -> Change:
    wider = new.policy_for(policy.pattern.name)
    if wider is None:
        text = "it was removed: strict clients refuse it, and others no longer pin it"
        return Change("breaks", pattern, text)
    if wider.live_pins.keys() & policy.live_pins.keys():
        text = f"its policy was removed, and {wider.pattern} covers it now"
        return Change("careful", pattern, text)
    text = f"its policy was removed, and {wider.pattern}, which covers it now, has none of its pins"
    return Change("breaks", pattern, text)


def _policy(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[Change]:
    host = str(new.pattern)
    for weight, text in _pins(old, new):
        yield Change(weight, host, text)
    for compare in _COMPARISONS:
        for weight, text in compare(old, new, now):
            yield Change(weight, host, text)


def _pins(old: HostPolicy, new: HostPolicy) -> Iterator[Finding]:
    """Yield a finding for each pin that was added, was removed, or changed its state.

    A finding is a weight (``safe``, ``careful`` or ``breaks``) and its explanation.
    """
    before, after = old.live_pins, new.live_pins
    enforced = "enforce" in {old.mode, new.mode}
    if enforced and not before.keys() & after.keys():
        yield "breaks", "no pin is in both sets: no key satisfies old and new clients"
    for pin, entry in after.items():
        if pin in before:
            yield from _pin_state(pin, before[pin], entry)
        else:
            yield _pin_added(pin, entry, old)
    dead = {entry.pin: entry for entry in new.pins if not entry.live}
    for pin, entry in before.items():
        if pin not in after:
            yield _pin_removed(pin, entry, dead.get(pin), old.mode)
    yield from _pins_compromised(old, new)


def _pin_added(pin: Pin, entry: HostPin, old: HostPolicy) -> Finding:
    dead = next((known for known in old.pins if known.pin == pin), None)
    if dead is not None:
        weight: Weight = "breaks" if dead.state == "compromised" else "careful"
        return weight, f"{pin} is accepted again, and was {dead.state}"
    if entry.in_service and old.mode == "enforce":
        text = f"{pin} is new and {entry.state}: old clients refuse a server that uses it"
        return "careful", f"{text}; {_NOT_YET}"
    return "safe", f"{pin} is new ({entry.role}, {entry.state})"


def _pin_removed(pin: Pin, entry: HostPin, now: HostPin | None, mode: str) -> Finding:
    how = f"is {now.state}" if now else "was removed"
    if mode == "report":
        return "safe", f"{pin} {how}; failures of the host were only reported"
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
        yield "careful", f"{text}: clients with an older set still refuse it; {_NOT_YET}"
    elif before.state == "lost":
        yield "careful", f"{text}: a key that turns up again may have been copied"
    else:
        yield "safe", text


def _pins_compromised(old: HostPolicy, new: HostPolicy) -> Iterator[Finding]:
    """Yield a finding for each pin that was newly marked compromised, or no longer is.

    A finding is a weight (``safe``, ``careful`` or ``breaks``) and its explanation. Clients refuse
    a path that contains a compromised key at any position.
    """
    for pin in sorted(new.compromised - old.compromised - old.live_pins.keys(), key=str):
        text = f"{pin} is marked compromised: new clients refuse every path that contains it"
        yield ("careful" if new.mode == "enforce" else "safe"), text
    for pin in sorted(old.compromised - new.compromised - new.live_pins.keys(), key=str):
        text = f"{pin} is no longer marked compromised: a path that contains it is accepted again"
        yield "careful", f"{text} if another pin matches"


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
        yield "safe", f"a pin may be anywhere on the path, not only at the {old.match} (wider)"
    elif _out_of_reach(new):
        yield "breaks", f'match = "{new.match}" leaves out every pin by its role: none can match'
    else:
        text = f'match = "{new.match}" instead of "{old.match}": pins elsewhere are excluded'
        yield "careful", f"{text} (narrower)"


def _out_of_reach(policy: HostPolicy) -> bool:
    roles = {entry.role for entry in policy.live_pins.values()} - {"backup"}
    reached = {"leaf"} if policy.match == "leaf" else {"intermediate", "root"}
    return bool(roles) and not roles & reached


def _expiry(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[Finding]:
    if old.expires != new.expires:
        yield _expiry_moved(old.expires, new, now)
    if old.on_expiry != new.on_expiry:
        if new.on_expiry == "fail-closed":
            yield "careful", "after their expiry clients refuse the host, and no longer accept it"
        else:
            yield "careful", f"after their expiry no server is refused ({new.on_expiry}: weaker)"


def _expiry_moved(before: datetime | None, new: HostPolicy, now: datetime) -> Finding:
    if new.expires is None:
        return (
            "careful",
            "the pins no longer expire: clients that are never updated keep them for ever",
        )
    date = f"{new.expires:%Y-%m-%d}"
    if new.expired(now):
        closed = new.refuses_from is not None
        effect = "clients refuse it at once" if closed else "no server is refused any more"
        return (
            "breaks" if closed else "careful"
        ), f"the pins expire on {date}, which is past: {effect}"
    if before is not None and new.expires > before:
        return "safe", f"the pins expire later, on {date}"
    return "careful", f"the pins expire on {date}, earlier than before"


def _trust(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[Finding]:
    if old.trust == new.trust:
        return
    if new.trust is None:
        yield "careful", "the platform's roots are trusted for it again (weaker)"
    elif old.trust is None:
        yield "careful", f"only {new.trust.source} is trusted for it: the platform's roots are not"
    elif not set(old.trust.der) & set(new.trust.der):
        yield "breaks", f"{new.trust.source} has none of the anchors that were trusted for it"
    else:
        yield "careful", f"{new.trust.source} contains other anchors than before"


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


_COMPARISONS: tuple[Comparison, ...] = (_mode, _match, _expiry, _trust, _reports, _transparency)
