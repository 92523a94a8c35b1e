"""Pin all roots of a certificate provider, and compare such pins with the provider data.

Pure functions of (policy, data, day). The pins in a policy that name a provider are the provider's
root set. A root set needs no other backup: the provider may issue from any of its roots, and the
user can't lose the key of a root, because only the authority holds it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from certpin.pins import HostPin

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from certpin.pins import HostPolicy, Pin
    from certpin.providers.data import Provider, ProviderData, ProviderRoot


def root_pins(providers: Sequence[Provider], day: date) -> tuple[HostPin, ...]:
    """Return pins for all roots of several providers, each root once.

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
    """The difference between the provider roots that a policy pins and those in the provider data.

    A live pin is one that clients accept. A dead pin is marked removed or compromised.

    Attributes:
        providers: the names of the providers in the policy, in the order of its pins, and then the
            names of the other providers that the caller asked for (``also``).
        added: pins of roots that the policy lacks.
        not_accepted: the dead pins of roots that the providers use, each with its state. The root
            set is incomplete, because clients don't accept these pins.
        relabelled: live pins for which the data names other providers than the policy does. The
            entries are those that the policy should have.
        dropped: live pins of roots that have expired, or from which no provider of the policy
            issues any more.
        unknown: names of providers that the data lacks.
        newer: True if the policy's pins come from a later edition than the data. The data is then
            outdated, and nothing may be concluded from it.
    """

    providers: tuple[str, ...] = ()
    added: tuple[HostPin, ...] = ()
    not_accepted: tuple[HostPin, ...] = ()
    relabelled: tuple[HostPin, ...] = ()
    dropped: tuple[HostPin, ...] = ()
    unknown: tuple[str, ...] = ()
    newer: bool = False

    @property
    def is_change(self) -> bool:
        """True if the pins of the policy differ from the data, and the data is not outdated.

        It is also True if the only difference is in ``not_accepted``.
        """
        return (self.has_edits or bool(self.not_accepted)) and not self.newer

    @property
    def has_edits(self) -> bool:
        """True if some pins are ``added``, ``relabelled`` or ``dropped``.

        These are the changes that ``certpin providers update`` can make in the pin file.
        """
        return bool(self.added or self.relabelled or self.dropped)


def set_change(
    entries: Iterable[HostPin],
    edition: date | None,
    data: ProviderData,
    day: date,
    also: Sequence[str] = (),
) -> SetChange:
    """Compare the pins of a policy with the roots of the providers that the pins name.

    Args:
        entries: the pins of the policy.
        edition: the edition (date) of the provider data from which the pins come; ``None`` if
            unknown.
        data: the provider data to compare with.
        day: today in UTC. Roots that have expired on this day are not needed.
        also: the names of more providers to compare with, as if the policy named them already. The
            result then also has the pins that are missing for them.

    Returns:
        The difference.
    """
    entries = tuple(entries)
    names = [name for each in entries if each.live for name in each.provider]
    named = tuple(dict.fromkeys([*names, *also]))
    known = [data.providers[name] for name in named if name in data.providers]
    wanted = {each.pin: each for each in root_pins(known, day)}
    present = {each.pin: each for each in entries}
    live = [each for each in entries if each.live]
    dead = [each for each in entries if each.pin in wanted and not each.live]
    return SetChange(
        named,
        tuple(each for pin, each in wanted.items() if pin not in present),
        tuple(replace(wanted[each.pin], state=each.state) for each in dead),
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
    """Return the names of the providers whose unexpired roots a policy pins completely.

    Only pins that clients accept count.

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
    """Compare the pins of a policy with the roots of the certificate providers that the pins name.

    Nothing is changed.

    Args:
        policy: the policy.
        data: the provider data, which lists the roots of each provider.
        day: today in UTC. Roots that have expired on this day are not needed.
        also: the names of more providers to compare with, as if the policy named them already. The
            result then also has the pins that are missing for them.

    Returns:
        The difference, such as roots that the policy lacks.
    """
    return set_change(policy.pins, policy.provider_edition, data, day, also)


def change_text(change: SetChange, edition: date) -> str:
    """Describe how the provider data differs from the provider roots that a policy pins.

    Args:
        change: the difference.
        edition: the date of the provider data.

    Returns:
        A clause without a full stop; empty if nothing changed.
    """
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
    if change.not_accepted:
        dead = (f"{each.note} ({each.state})" for each in change.not_accepted)
        parts.append(f"not accepted by clients: {', '.join(dead)}")
    names = ", ".join(change.providers)
    how = "changed" if change.has_edits else "are not all in the set"
    return f"the roots of {names} {how} (data of {edition}): {'; '.join(parts)}"
