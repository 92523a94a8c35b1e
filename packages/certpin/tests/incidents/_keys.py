"""The initial situation that several incidents about keys share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.incidents._crowd import Crowd

if TYPE_CHECKING:
    from certpin.lab import Authority, Identity
    from tests.incidents._book import Book


def two_leaf_pins(book: Book, clients: int) -> tuple[Authority, Identity, Identity]:
    """Give the clients two leaf pins, ``api.key`` (in use) and ``b.key``, and wait 100 days.

    Args:
        book: the world of the incident.
        clients: how many clients fetch the pins.

    Returns:
        The authority, and the server's chain and key for ``api.key`` and for ``b.key``.
    """
    issuer = book.authority("i1")
    used, spare = book.key("api", issuer), book.key("b", issuer)
    book.install(used)
    book.crowd = Crowd(clients, seed="two leaf pins")
    book.pin_file((used.pin, "leaf"), (spare.pin, "backup"))
    book.certpin(f"certpin rotate shipped 1 --clients {clients}")
    book.fetched()
    book.days(100)
    return issuer, used, spare
