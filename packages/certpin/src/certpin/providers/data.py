"""The provider data: a dated list of the roots from which each certificate provider issues.

A provider is a certificate authority, such as Let's Encrypt, or a service that gets certificates
for its customers, such as a CDN. The date of the list is its edition. ``scripts/providers.py``
makes ``providers.toml`` from the providers' own pages, the releases of certifi and Debian's
ca-certificates. The providers have not promised to use only these roots. Nothing is downloaded: a
newer edition comes with a newer certpin.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from certpin.errors import ConfigError
from certpin.pins import Pin
from certpin.roots import load_data

if TYPE_CHECKING:
    from collections.abc import Iterable

RootStatus = Literal["active", "removed", "pending"]
ProviderKind = Literal["authority", "service"]

_CLOCK_TOLERANCE = timedelta(days=1)  # the edition is a day in the zone of its author


@dataclass(frozen=True)
class ProviderRoot:
    """A root from which a provider issues certificates.

    Attributes:
        pin: the pin of its key (SPKI).
        name: the common name in its certificate.
        not_after: the day (UTC) on which its certificate expires.
        status: ``active`` if the newest release of certifi contains the root; ``removed`` if only
            older releases contain it, and devices keep such a root for years; ``pending`` if the
            provider publishes it and no release contains it yet.
        removed: the date of the first release without it; ``None`` unless it was removed.
        certificate: the source of the certificate: a package and its release, or an address.
    """

    pin: Pin
    name: str
    not_after: date
    status: RootStatus
    removed: date | None
    certificate: str


@dataclass(frozen=True)
class ProviderSource:
    """A web page of a provider that lists its roots.

    Attributes:
        url: the address of the page.
        dated: the date that the page itself shows; None if it shows no date.
        looked_up: the day on which the page was read for the provider data.
    """

    url: str
    dated: date | None
    looked_up: date


@dataclass(frozen=True)
class Provider:
    """A provider of certificates, and all roots from which its certificates may come.

    Attributes:
        name: the name in the pin file and on the command line, such as ``letsencrypt``.
        title: the name to show to people, such as "Let's Encrypt".
        kind: an ``authority`` operates its roots. A ``service`` (a CDN, a cloud) gets certificates
            from authorities.
        roots: the roots, including expired ones.
        sources: the pages of the provider from which the roots come.
        changed: the last day on which certifi added or removed one of the provider's roots, or on
            which a page of the provider was changed.
        uses: the names of the authorities that a service uses; empty if it lists none.
        note: the limits of the entry, as sentences; empty if none are known.
    """

    name: str
    title: str
    kind: ProviderKind
    roots: tuple[ProviderRoot, ...]
    sources: tuple[ProviderSource, ...]
    changed: date
    uses: tuple[str, ...] = ()
    note: str = ""

    def roots_at(self, day: date) -> tuple[ProviderRoot, ...]:
        """Return the provider's roots that have not expired on a day (UTC)."""
        return tuple(root for root in self.roots if root.not_after >= day)


@dataclass(frozen=True)
class ProviderData:
    """All providers with their roots, and the keys of every public root of the last decade.

    Attributes:
        edition: the date of the data.
        providers: the providers, by name.
        public_roots: the pins of the keys of all roots in any release of certifi.
    """

    edition: date
    providers: dict[str, Provider]
    public_roots: frozenset[Pin] = field(repr=False)

    @cached_property
    def roots(self) -> dict[Pin, ProviderRoot]:
        """The roots of all providers, by the pins of their keys."""
        return {root.pin: root for each in self.providers.values() for root in each.roots}

    def provider(self, name: str) -> Provider:
        """Return the provider with this name.

        Raises:
            ConfigError: the data has no such provider. The error suggests a similar name.
        """
        from difflib import get_close_matches

        if name in self.providers:
            return self.providers[name]
        near = get_close_matches(name[:40], self.providers, n=1)
        known = ", ".join(self.providers)
        raise ConfigError(
            f"the provider data of {self.edition} has no {name[:40]!r}",
            key="provider",
            fix=f"did you mean {near[0]}? `certpin providers` lists all"
            if near
            else f"one of: {known}",
        )

    def owners(self, pin: Pin) -> tuple[Provider, ...]:
        """Return the providers with certificates that a root issues (directly or by intermediates).

        Args:
            pin: the pin of the root's key.

        Returns:
            The providers: authorities first, then services. Empty if no known provider uses the
            root.
        """
        found = [each for each in self.providers.values() if pin in {r.pin for r in each.roots}]
        return tuple(sorted(found, key=lambda each: each.kind == "service"))

    def is_public(self, pin: Pin) -> bool:
        """Return True if the root with this pin is public.

        A root is public if a release of certifi, also an old one, or a provider's set contains it.
        """
        return pin in self.public_roots or pin in self.roots

    def require_clock(self, today: date) -> None:
        """Check the clock of this machine: its date must not be earlier than the date of the data.

        A difference of one day is accepted, because of time zones.

        Args:
            today: the date of this machine.

        Raises:
            ConfigError: ``today`` is earlier than the date of the data. With such a clock, expired
                and removed roots would count as valid.
        """
        if today < self.edition - _CLOCK_TOLERANCE:
            raise ConfigError(
                f"the clock of this machine says {today}, and the provider data is of "
                f"{self.edition}: one of them is wrong",
                key="provider",
                fix="set the clock of this machine",
            )


@cache
def load_providers() -> ProviderData:
    """Return the provider data that this installation of certpin contains. It is read only once."""
    text = files("certpin.providers").joinpath("providers.toml").read_text("utf-8")
    return parse_providers(text, load_data().roots)


def parse_providers(text: str, public_roots: Iterable[Pin] = ()) -> ProviderData:
    """Return the provider data that a TOML text contains.

    Args:
        text: the text, as ``scripts/providers.py`` writes it.
        public_roots: the pins of the keys of all public roots.

    Raises:
        ConfigError: a provider names a root that the text doesn't define, or fewer than two roots.
        KeyError: a key of the TOML tables is missing.
    """
    import tomli  # only needed to read a file

    data = tomli.loads(text)
    roots = {table["name"]: _root(table) for table in data["root"]}
    providers = {table["name"]: _provider(table, roots) for table in data["provider"]}
    return ProviderData(data["edition"], providers, frozenset(public_roots))


def _root(table: dict[str, Any]) -> ProviderRoot:
    return ProviderRoot(
        Pin.parse(table["pin"]),
        table["name"],
        table["not_after"],
        table["status"],
        table.get("removed"),
        table["certificate"],
    )


def _provider(table: dict[str, Any], roots: dict[str, ProviderRoot]) -> Provider:
    missing = [name for name in table["roots"] if name not in roots]
    if missing or len(table["roots"]) < 2:  # an enforced host needs two pins
        raise ConfigError(
            f"{table['name']} has an unknown root, or only one",
            key="provider",
            fix="write it again",
        )
    return Provider(
        table["name"],
        table["title"],
        table["kind"],
        tuple(roots[name] for name in table["roots"]),
        tuple(
            ProviderSource(each["url"], each.get("dated"), each["looked_up"])
            for each in table["source"]
        ),
        table["changed"],
        tuple(table.get("uses", ())),
        table.get("note", ""),
    )
