"""The last known good set as the bytes of one file: pure.

One file, so that it is whole or not there: metadata, pin file and trust files that were written one
by one could be of two versions after a crash. What is read here is not believed before
``trust.verify`` did.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from certpin.errors import UpdateError
from certpin.updates.trust import CachedSet, SignedMetadata

if TYPE_CHECKING:
    from certpin.updates.settings import Limits
    from certpin.updates.trust import SignedSet

_SCHEMA = 1


def encode(signed_set: SignedSet) -> bytes:
    """Return the bytes of the cache file."""
    verified = signed_set.verified
    data = {
        "schema": _SCHEMA,
        "root": verified.root,
        "metadata": {name: _text(each) for name, each in verified.signed._asdict().items()},
        "files": {name: _text(each) for name, each in signed_set.files.items()},
    }
    return json.dumps(data, indent=1).encode()


def decode(data: bytes) -> CachedSet:
    """Parse the bytes of a cache file. The result is not verified.

    Raises:
        UpdateError: the bytes don't have the format that ``encode`` writes.
    """
    try:
        top = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise _damaged("it is not JSON") from exc
    if not isinstance(top, dict) or top.get("schema") != _SCHEMA:
        raise _damaged(f"it is not of schema {_SCHEMA}, which this certpin reads")
    root, metadata = top.get("root"), _table(top.get("metadata"))
    if type(root) is not int or metadata.keys() != set(SignedMetadata._fields):
        raise _damaged("something is missing in it")
    return CachedSet(root, SignedMetadata(**metadata), _table(top.get("files")))


def max_size(limits: Limits) -> int:
    """Return the maximum size of a cache file in bytes; base64 takes four bytes for three."""
    held = limits.timestamp + limits.snapshot + limits.targets + limits.total
    return held * 4 // 3 + limits.targets


def _table(value: Any) -> dict[str, bytes]:
    if not isinstance(value, dict):
        raise _damaged("something is missing in it")
    return {name: _bytes(each) for name, each in value.items()}


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _bytes(text: Any) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (ValueError, TypeError) as exc:
        raise _damaged("it is not base64") from exc


def _damaged(what: str) -> UpdateError:
    return UpdateError(
        f"the last known good set cannot be read: {what}",
        reason="cache",
        fix="nothing: it is fetched again; if it happens again, look at the disk",
    )
