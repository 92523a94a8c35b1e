"""Helpers to import hand-written files of platforms, and to export small pin sets."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import CertpinError, FormatError
from certpin.formats import FORMATS, ImportOptions, Source
from certpin.pins import Pin
from tests.kit import pin_set, policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from certpin.pins import HostPolicy, PinSet

DAY = datetime(2027, 6, 1, tzinfo=UTC)
PINS = tuple(Pin("sha256", bytes(range(n, n + 32))) for n in range(6))
A, B, C, D, E, F = (base64.b64encode(pin.digest).decode() for pin in PINS)


def load(name: str, text: str | bytes, beside: Mapping[str, bytes] = {}, **options: Any) -> PinSet:
    """Import a hand-written file of the format ``name``, and return its pin set.

    Args:
        name: the format.
        text: the content of the file.
        beside: the other files in its folder, by path.
        options: the fields of ``ImportOptions``.
    """

    def read(path: str) -> bytes:
        if path not in beside:
            raise FormatError(f"{path} is not there")
        return beside[path]

    data = text if isinstance(text, bytes) else text.encode()
    return FORMATS[name].load(Source(data, read), ImportOptions(**options))


def refusal(name: str, text: str | bytes, **options: Any) -> CertpinError:
    """Import a file of the format ``name``, which must be refused. Return the error."""
    with pytest.raises(CertpinError) as caught:
        load(name, text, **options)
    return caught.value


def text_of(name: str, *policies: HostPolicy, **fields: Any) -> str:
    """Export policies to the format ``name``. Return the text of the first file."""
    return FORMATS[name].export(pin_set(*policies, **fields)).files[0].text


def two(host: str, **fields: Any) -> HostPolicy:
    """Return a policy for a host with the first two of ``PINS``."""
    return policy(host, *PINS[:2], **fields)


def digests(pins: PinSet) -> dict[str, set[Pin]]:
    """Return the pins of each policy that are in use, by the policy's host pattern."""
    return {str(each.pattern): set(each.live_pins) for each in pins.policies}
