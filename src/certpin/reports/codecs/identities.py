"""What tells a report from every other one, where its format has no name for it.

A digest over what stays the same when a report is sent again. Two clients that say exactly the same
have the same digest: whoever counts adds what he knows of where a report came from.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def digest_of(kind: str, texts: Iterable[str], *chains: tuple[bytes, ...]) -> str:
    """The identity of a report of these texts, which have nothing unprintable, and these chains."""
    # What separates is in no text, and each certificate has its length before it: no two reports
    # run together into the same bytes.
    hashed = sha256("\0".join(texts).encode())
    for chain in chains:
        hashed.update(b"\0chain")
        for der in chain:
            hashed.update(len(der).to_bytes(4, "big"))
            hashed.update(der)
    return f"{kind}:{hashed.hexdigest()}"
