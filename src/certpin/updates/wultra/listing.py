"""A fingerprint list as it is read: hostile, and not believed yet.

What an SDK would read too is kept as it stands, to be looked at; what none reads is refused.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from certpin.errors import FormatError
from certpin.formats.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable

# Some 250 bytes an entry: four thousand certificates. A phone reads it whole.
MAX_LIST_BYTES = 1024 * 1024
DIGEST_BYTES = 32  # SHA-256 (FIPS 180-4)


@dataclass(frozen=True)
class Entry:
    """One certificate: what stands there. ``expires`` is a text where somebody put it in quotes.

    ``depth`` is newer than the signature, which does not cover it: 0 is the server's certificate.
    """

    place: str
    name: str
    fingerprint: str
    expires: int | str
    signature: str | None = None
    depth: int = 0

    @cached_property
    def digest(self) -> bytes | None:
        """The fingerprint, or ``None`` where it is not the base64 of a SHA-256."""
        found = decoded(self.fingerprint)
        return found if found is not None and len(found) == DIGEST_BYTES else None

    @property
    def seconds(self) -> int | None:
        """The moment at which it ends, or ``None`` where that is no number."""
        return self.expires if isinstance(self.expires, int) else None


@dataclass(frozen=True)
class Listing:
    """A list, or the body of an answer, which has a ``timestamp``.

    ``switches`` are the settings (``domainsConfig``) by which a server can turn pinning off.
    """

    entries: tuple[Entry, ...]
    timestamp: int | None = None
    switches: bool = False


def read_list(data: bytes) -> Listing:
    """Read a list. Raises ``FormatError``; no signature is looked at."""
    if len(data) > MAX_LIST_BYTES:
        raise FormatError(f"it has more than {MAX_LIST_BYTES} bytes: no list for a phone")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as exc:
        raise FormatError("it is not UTF-8 text", fix="save it as UTF-8") from exc
    except (ValueError, RecursionError) as exc:  # ValueError: a number of 5000 digits
        raise FormatError(f"it is not JSON: {exc}"[:200]) from exc
    document = Shape(value)
    timestamp = document.get("timestamp")
    return Listing(
        tuple(map(_entry, document.need("fingerprints").items())),
        timestamp.integer() if timestamp else None,
        document.get("domainsConfig") is not None,
    )


def decoded(text: str) -> bytes | None:
    """Base64 as it must be (RFC 4648 section 4), decoded; ``None`` for anything else."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if base64.b64encode(found).decode() == text else None


def _entry(shape: Shape) -> Entry:
    signature, depth = shape.get("signature"), shape.get("depth")
    expires = shape.need("expires")
    return Entry(
        shape.place,
        _text(shape.need("name")),
        _text(shape.need("fingerprint")),
        _text(expires) if expires.is_text else expires.integer(),
        _text(signature) if signature else None,
        depth.integer() if depth else 0,
    )


def _text(shape: Shape) -> str:
    """A text that has bytes: JSON can spell halves of letters (RFC 8259 section 8.2)."""
    text = shape.text()
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise FormatError(f"{shape.place} is not text") from exc
    return text


def _no_constant(name: str) -> Any:
    """``NaN`` and the like are Python's own: an SDK refuses the list."""
    raise ValueError(f"there is no {name} (RFC 8259 section 6)")


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A name that stands twice means one thing to one parser, and another to the next.

    A field that is ``null`` is as good as none, to both SDKs.
    """
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise FormatError(f"{name[:80]!r} stands twice in one object", fix="leave one out")
        found[name] = value
    return {name: value for name, value in found.items() if value is not None}
