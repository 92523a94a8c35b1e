"""Which certificates of a path ``match`` admits, and the roles of pins that stand for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.pins import pins_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins import Pin
    from certpin.x509 import Certificate

ADMITTED = {
    "leaf": frozenset({"leaf"}),
    "ca": frozenset({"intermediate", "root"}),
    "any": frozenset({"leaf", "intermediate", "root"}),
}


def admitted(path: tuple[Certificate, ...], match: str) -> Iterator[Pin]:
    """Both pins of each certificate of a verified path, leaf first, that ``match`` admits."""
    chosen = {"leaf": path[:1], "ca": path[1:]}.get(match, path)
    return (pin for certificate in chosen for pin in pins_of(certificate))
