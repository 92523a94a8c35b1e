"""Whether two pieces of metadata are the same to whoever signs and reads them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuf.api.serialization import SerializationError
from tuf.api.serialization.json import CanonicalJSONSerializer

if TYPE_CHECKING:
    from tuf.api.metadata import Signed


def same_bytes(one: Signed, other: Signed) -> bool:
    """Return True if the signed bytes are equal (canonical JSON, TUF 1.0.31, 4.2).

    ``==`` is not enough: Python treats true and 1 as equal, other languages don't.
    """
    serializer = CanonicalJSONSerializer()
    try:
        return serializer.serialize(one) == serializer.serialize(other)
    except SerializationError:  # a number with a fraction, say
        return False
