"""What a change of the pin set means for installed clients: pure, over two pin sets.

Clients change from the old set to the new one each at its own time, and some never do. So a
change is judged for both: those that have the new set while the servers are as they were, and
those that still have the old one while the servers go on.

    safe      no client notices, or it protects more without refusing anybody
    careful   it holds if it is done in the right order, or it protects less
    breaks    some clients refuse their own server, never take the new set, or trust a key again
              that was compromised
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.pins.changes_of_pins import Weight, about_pins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from certpin.pins.pinset import PinSet
    from certpin.pins.policy import HostPolicy

    About = Callable[[HostPolicy, HostPolicy, datetime], Iterator[tuple[Weight, str]]]

WEIGHTS: tuple[Weight, ...] = ("breaks", "careful", "safe")  # the worst first


@dataclass(frozen=True)
class Change:
    """One change. ``host`` is the pattern that it is about, or empty for the set itself."""

    weight: Weight
    host: str
    text: str


def changes(old: PinSet, new: PinSet, now: datetime) -> tuple[Change, ...]:
    """Every change that clients notice, the set's own first, then by host in the new order.

    Not compared: notes, and roles, which are for people.
    """
    found = [*_hosts(old, new, now)]
    return (*_set(old, new, changed=bool(found)), *found)


def _set(old: PinSet, new: PinSet, *, changed: bool) -> Iterator[Change]:
    if old.name != new.name:
        text = f"the pin set is called {new.name!r} and was {old.name!r}: reports change with it"
        yield Change("careful", "", text)
    yield from _debug(old, new)
    if new.version < old.version:
        text = f"the version fell from {old.version} to {new.version}: no client takes the new set"
        yield Change("breaks", "", text)
    elif new.version == old.version and (changed or old.debug != new.debug):
        text = f"the version is still {new.version}: clients take it for the set that they have"
        yield Change("breaks", "", text)


def _debug(old: PinSet, new: PinSet) -> Iterator[Change]:
    if new.debug is not None and old.debug != new.debug:
        word = "added" if old.debug is None else "changed"
        text = f"a debug section was {word}: with CERTPIN_DEBUG=1 its anchors pass without a pin"
        yield Change("careful", "", text)
    elif old.debug is not None and new.debug is None:
        yield Change("safe", "", "the debug section is gone")


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
        text = "it is new: strict clients with the old set refuse it until they have the new one"
        return Change("safe", pattern, text)
    if wider.live_pins.keys() & policy.live_pins.keys():
        text = f"it has a policy of its own, and was covered by {wider.pattern}"
        return Change("careful", pattern, text)
    text = f"it has a policy of its own, without any pin of {wider.pattern}, which covered it"
    return Change("breaks", pattern, text)


def _removed(pattern: str, policy: HostPolicy, new: PinSet) -> Change:
    wider = new.policy_for(policy.pattern.name)
    if wider is None:
        text = "it is gone: strict clients refuse it, and others no longer pin it"
        return Change("breaks", pattern, text)
    if wider.live_pins.keys() & policy.live_pins.keys():
        return Change("careful", pattern, f"its policy is gone, and {wider.pattern} covers it now")
    text = f"its policy is gone, and {wider.pattern}, which covers it now, has none of its pins"
    return Change("breaks", pattern, text)


def _policy(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[Change]:
    host = str(new.pattern)
    for weight, text in about_pins(old, new):
        yield Change(weight, host, text)
    for about in _ABOUT:
        for weight, text in about(old, new, now):
            yield Change(weight, host, text)


def _mode(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[tuple[Weight, str]]:
    if old.mode == new.mode:
        return
    if new.mode == "report":
        yield "careful", "it is only reported on now: clients no longer refuse anybody (weaker)"
    else:
        yield "careful", "it is enforced now: what was only reported is refused (stronger)"


def _match(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[tuple[Weight, str]]:
    if old.match == new.match:
        return
    if new.match == "any":
        yield "safe", f"a pin may be anywhere on the path, not only at the {old.match} (wider)"
    elif _out_of_reach(new):
        yield "breaks", f'match = "{new.match}" leaves out every pin, by their roles: none matches'
    else:
        text = f'match = "{new.match}" instead of "{old.match}": pins elsewhere on the path are out'
        yield "careful", f"{text} (narrower)"


def _out_of_reach(policy: HostPolicy) -> bool:
    roles = {entry.role for entry in policy.live_pins.values()} - {"backup"}
    reached = {"leaf"} if policy.match == "leaf" else {"intermediate", "root"}
    return bool(roles) and not roles & reached


def _expiry(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[tuple[Weight, str]]:
    if old.expires != new.expires:
        yield _moved(old.expires, new, now)
    if old.on_expiry != new.on_expiry:
        if new.on_expiry == "fail-closed":
            yield "careful", "after their expiry the pins refuse everybody, and no longer let pass"
        else:
            yield "careful", f"after their expiry nobody is refused ({new.on_expiry}: weaker)"


def _moved(before: datetime | None, new: HostPolicy, now: datetime) -> tuple[Weight, str]:
    if new.expires is None:
        return (
            "careful",
            "the pins no longer end: clients that are never updated keep them for ever",
        )
    date = f"{new.expires:%Y-%m-%d}"
    if new.expired(now):
        closed = new.on_expiry == "fail-closed" and new.mode == "enforce"
        effect = "clients refuse it at once" if closed else "nothing is refused any more"
        return (
            "breaks" if closed else "careful"
        ), f"the pins end on {date}, which is past: {effect}"
    if before is not None and new.expires > before:
        return "safe", f"the pins hold longer, until {date}"
    return "careful", f"the pins end on {date}, earlier than they did"


def _trust(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[tuple[Weight, str]]:
    if old.trust == new.trust:
        return
    if new.trust is None:
        yield "careful", "the roots of the machine may vouch for it again (weaker)"
    elif old.trust is None:
        yield "careful", f"{new.trust.source} alone may vouch for it: no root of the machine does"
    elif not set(old.trust.der) & set(new.trust.der):
        yield "breaks", f"{new.trust.source} has none of the anchors that vouched for it"
    else:
        yield "careful", f"{new.trust.source} holds other anchors than before"


def _reports(old: HostPolicy, new: HostPolicy, now: datetime) -> Iterator[tuple[Weight, str]]:
    for address in new.report_to:
        if address not in old.report_to:
            yield "safe", f"failures are reported to {address}"
    for address in old.report_to:
        if address not in new.report_to:
            weight: Weight = "safe" if new.report_to else "careful"
            yield weight, f"failures are no longer reported to {address}"


_ABOUT: tuple[About, ...] = (_mode, _match, _expiry, _trust, _reports)
