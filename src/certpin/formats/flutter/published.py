"""The pins of a signed set for Flutter apps: ``pins.json`` among the targets, beside ``pins.toml``.

Dart has no reader of TOML that certpin would rely on. So whoever signs ``pins.toml`` signs this
beside it: the plain JSON of the pin set as Flutter will have it, without the notes. What
``dart:io`` cannot express is told, or refused, when it is signed; no app has to find it out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats import _flutter
from certpin.formats.fit import fit
from certpin.formats.json import JSON

if TYPE_CHECKING:
    from certpin.formats.fit import Loss
    from certpin.pins import HostPolicy, PinSet

PINS_JSON = "pins.json"


def published(pins: PinSet) -> tuple[bytes, tuple[Loss, ...]]:
    """The bytes of ``pins.json``, and what Flutter apps will not have.

    The same pin set makes the same bytes. Raises ``ConfigError`` where that would be unsafe.
    """
    if pins.debug is not None:
        raise ConfigError("it has a debug section", key="debug", fix="take it out")
    fitted, losses = fit(pins, _flutter.LIMITS)
    plain = replace(fitted, policies=tuple(map(_without_notes, fitted.policies)))
    [file] = JSON.write(plain)
    return file.text.encode(), losses


def _without_notes(policy: HostPolicy) -> HostPolicy:
    return replace(policy, pins=tuple(replace(entry, note="") for entry in policy.pins))
