"""Root sets in policies: the pins of a provider, what is complete, and what changed since.

Pure functions of (policy, data, day). A policy's set of a provider are its pins with that
provider's name. The set is its own backup: the provider may move to any of its roots, and none of
them is a key that the user could lose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.pins import HostPin

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from certpin.pins import HostPolicy, Pin
    from certpin.providers.data import Provider, ProviderData, ProviderRoot


def root_pins(providers: Sequence[Provider], day: date) -> tuple[HostPin, ...]:
    """Return the pins of all roots of several providers, each root once.

    Args:
        providers: the providers.
        day: today in UTC. Roots that have expired are left out.

    Returns:
        The pins, in the order of the providers. All are active: the provider may use any of them at
        any time.
    """
    found: dict[Pin, ProviderRoot] = {}
    names: dict[Pin, tuple[str, ...]] = {}
    for provider in providers:
        for root in provider.roots_at(day):
            found.setdefault(root.pin, root)
            names[root.pin] = (*names.get(root.pin, ()), provider.name)
    return tuple(
        HostPin(pin, "root", "active", root.name, names[pin], root.not_after)
        for pin, root in found.items()
    )


@dataclass(frozen=True)
class SetChange:
    """How the pins of a policy differ from the root sets of its providers.

    Attributes:
        providers: the names of the policy's providers, in the order of its pins, and of those that
            it should have too.
        added: pins of roots that the policy lacks.
        relabelled: pins that the policy has, with other providers.
        dropped: live pins of the policy that no provider of the policy issues from any more.
        unknown: names of providers that the data lacks.
        newer: the edition in the policy is later than that of the data, so that the data is
            outdated and nothing may be concluded from it.
    """

    providers: tuple[str, ...] = ()
    added: tuple[HostPin, ...] = ()
    relabelled: tuple[HostPin, ...] = ()
    dropped: tuple[HostPin, ...] = ()
    unknown: tuple[str, ...] = ()
    newer: bool = False

    @property
    def is_change(self) -> bool:
        """True if the policy should be updated from this data."""
        return bool(self.added or self.relabelled or self.dropped) and not self.newer


def set_change(
    entries: Iterable[HostPin],
    edition: date | None,
    data: ProviderData,
    day: date,
    also: Sequence[str] = (),
) -> SetChange:
    """Compare the pins of a policy with the root sets of the providers that they name.

    Args:
        entries: the pins of the policy.
        edition: its ``provider_edition``.
        data: the provider data.
        day: today in UTC.
        also: names of other providers: the policy should have their sets too.
    """
    entries = tuple(entries)
    names = [name for each in entries if each.live for name in each.provider]
    named = tuple(dict.fromkeys([*names, *also]))
    known = [data.providers[name] for name in named if name in data.providers]
    wanted = {each.pin: each for each in root_pins(known, day)}
    present = {each.pin: each for each in entries}
    live = [each for each in entries if each.live]
    return SetChange(
        named,
        tuple(each for pin, each in wanted.items() if pin not in present),
        tuple(
            wanted[each.pin]
            for each in live
            if each.pin in wanted and each.provider != wanted[each.pin].provider
        ),
        tuple(
            each
            for each in live
            if each.pin not in wanted and set(each.provider) & {*data.providers}
        ),
        tuple(name for name in named if name not in data.providers),
        newer=edition is not None and edition > data.edition,
    )


def complete_sets(entries: Iterable[HostPin], data: ProviderData, day: date) -> tuple[str, ...]:
    """Return each provider that has all of its unexpired roots among the live pins of a policy.

    Args:
        entries: the pins of the policy.
        data: the provider data.
        day: today in UTC.
    """
    live = {each.pin for each in entries if each.live}
    return tuple(
        provider.name
        for provider in data.providers.values()
        if {root.pin for root in provider.roots_at(day)} <= live
    )


def policy_change(
    policy: HostPolicy, data: ProviderData, day: date, also: Sequence[str] = ()
) -> SetChange:
    """Return ``set_change`` of a policy."""
    return set_change(policy.pins, policy.provider_edition, data, day, also)


def change_text(change: SetChange, edition: date) -> str:
    """Return the differences as a clause without a full stop; empty if there are none."""
    if not change.is_change:
        return ""
    parts = [
        f"{word} {', '.join(each.note or str(each.pin) for each in entries)}"
        for word, entries in (
            ("new:", change.added),
            ("no longer used:", change.dropped),
            ("used by others:", change.relabelled),
        )
        if entries
    ]
    names = ", ".join(change.providers)
    return f"the roots of {names} changed (data of {edition}): {'; '.join(parts)}"
