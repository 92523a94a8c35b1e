"""Whether two pieces of metadata are the same to whoever signs and reads them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuf.api.serialization import SerializationError
from tuf.api.serialization.json import CanonicalJSONSerializer

if TYPE_CHECKING:
    from tuf.api.metadata import Signed


def same_bytes(one: Signed, other: Signed) -> bool:
    """Whether the signed bytes are the same (canonical JSON, TUF 1.0.31, 4.2).

    Python's own ``==`` takes true for 1, which other languages do not.
    """
    serializer = CanonicalJSONSerializer()
    try:
        return serializer.serialize(one) == serializer.serialize(other)
    except SerializationError:  # a number with a fraction, say
        return False
