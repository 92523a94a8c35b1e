"""A beginning that several incidents share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.incidents._crowd import Crowd

if TYPE_CHECKING:
    from certpin.lab import Authority, Identity
    from tests.incidents._book import Book


def two_leaf_pins(book: Book, clients: int) -> tuple[Authority, Identity, Identity]:
    """Let clients have the pins of ``api.key``, which the server uses, and ``b.key`` for 100 days.

    Returns:
        The authority, and the server's certificates for the two keys.
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
