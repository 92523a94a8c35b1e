"""``pins.json``: the file beside ``pins.toml`` in a signed publication, for Flutter apps.

No Dart library for TOML is well enough maintained to rely on. ``pins.toml`` is therefore signed
together with ``pins.json``: the pin set in plain JSON, reduced to what ``dart:io`` can express, and
without notes and providers. Signing reports or refuses settings that ``dart:io`` can't express, so
that no app fails because of them at run time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats import _flutter
from certpin.formats.json import JSON
from certpin.formats.projection import project

if TYPE_CHECKING:
    from certpin.formats.projection import Omission
    from certpin.pins import HostPolicy, PinSet

PINS_JSON = "pins.json"


def published(pins: PinSet) -> tuple[bytes, tuple[Omission, ...]]:
    """Return the content of ``pins.json`` for a pin set, and the settings that it omits.

    Equal pin sets give equal bytes.

    Raises:
        ConfigError: the reduced pin set would be unsafe, or the pin set has a debug section.
    """
    if pins.debug is not None:
        raise ConfigError("the pin set has a debug section", key="debug", fix="remove it")
    projected, omissions = project(pins, _flutter.LIMITS)
    plain = replace(projected, policies=tuple(map(_without_notes, projected.policies)))
    [file] = JSON.write(plain)
    return file.text.encode(), omissions


def _without_notes(policy: HostPolicy) -> HostPolicy:
    pins = (replace(entry, note="", provider=(), not_after=None) for entry in policy.pins)
    return replace(policy, pins=tuple(pins), provider_edition=None)
