"""The provider data: from which roots each provider of certificates issues, on a date.

That date is the edition of the data. ``providers.toml`` is made by ``scripts/providers.py`` from
the providers' own pages, the releases of certifi and Debian's ca-certificates. It is no promise of
a provider, and nothing is downloaded: a newer edition comes with a newer certpin.
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
        status: ``active`` if the newest release of certifi has it. ``removed`` if only older ones
            have it: devices keep such a root for years. ``pending`` if the provider publishes it
            and no release has it yet.
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
        url: the address.
        dated: the date that the page itself shows; None if it shows none.
        looked_up: the day on which it was read.
    """

    url: str
    dated: date | None
    looked_up: date


@dataclass(frozen=True)
class Provider:
    """A provider of certificates, and all roots from which its certificates may come.

    Attributes:
        name: the name in the pin file and on the command line.
        title: the name for people.
        kind: an ``authority`` operates its roots. A ``service`` (a CDN, a cloud) gets certificates
            from authorities.
        uses: the names of these authorities, if the service lists them.
        note: the limits of the entry, as sentences; empty if none are known.
        changed: the last day on which certifi got or lost one of its roots, or a page was changed.
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
        public_roots: the keys of all roots in any release of certifi.
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
        """Return the providers with certificates from a root: authorities first, then services.

        Empty if no known provider uses the root.

        Args:
            pin: the pin of the root's key.
        """
        found = [each for each in self.providers.values() if pin in {r.pin for r in each.roots}]
        return tuple(sorted(found, key=lambda each: each.kind == "service"))

    def is_public(self, pin: Pin) -> bool:
        """Return True if a root with this key is public: in certifi, or in a provider's set.

        Old releases of certifi count too.
        """
        return pin in self.public_roots or pin in self.roots

    def require_clock(self, today: date) -> None:
        """Check that this machine's date is not before the date of the data.

        Raises:
            ConfigError: it is before, so that dates of expiry and of removals would be judged
                wrongly.
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
    """Return the provider data of this installation, which is read from the package once."""
    text = files("certpin.providers").joinpath("providers.toml").read_text("utf-8")
    return parse_providers(text, load_data().roots)


def parse_providers(text: str, public_roots: Iterable[Pin] = ()) -> ProviderData:
    """Return the provider data that a TOML text contains.

    Args:
        text: the text, as ``scripts/providers.py`` writes it.
        public_roots: the pin of the key of each public root.

    Raises:
        ConfigError: a provider has a root that the data lacks, or fewer than two roots.
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
