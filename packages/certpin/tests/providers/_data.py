"""Small provider data: two authorities, and a service that uses both."""

from __future__ import annotations

from datetime import date

from certpin.pins import Pin
from certpin.providers import Provider, ProviderData, ProviderRoot, ProviderSource

EDITION = date(2026, 11, 28)
TODAY = date(2027, 1, 1)


def pin(number: int) -> Pin:
    """Return the pin of a made-up key."""
    return Pin("sha256", bytes(range(number, number + 32)))


def root(number: int, not_after: date = date(2040, 1, 1)) -> ProviderRoot:
    """Return a root with the made-up pin ``pin(number)``."""
    return ProviderRoot(pin(number), f"Root {number}", not_after, "active", None, "certifi 1")


def provider(name: str, *roots: ProviderRoot, **fields: object) -> Provider:
    """Return a provider with these roots: an authority, unless ``fields`` has another kind."""
    source = ProviderSource(f"https://{name}.example/roots", None, EDITION)
    filled = {"kind": "authority", "title": name.title(), "changed": EDITION} | fields
    return Provider(name, roots=roots, sources=(source,), **filled)  # type: ignore[arg-type]  # any field


def data(*providers: Provider, edition: date = EDITION) -> ProviderData:
    """Return provider data. By default: ``one`` (roots 1, 2), ``two`` (3, 4), and ``cdn`` (all)."""
    found = providers or (
        provider("cdn", root(1), root(2), root(3), root(4), kind="service"),
        provider("one", root(1), root(2)),
        provider("two", root(3), root(4)),
    )
    return ProviderData(edition, {each.name: each for each in found}, frozenset({pin(9)}))
