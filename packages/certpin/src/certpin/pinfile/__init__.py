"""Read ``pins.toml`` with errors that name the line; edit it without losing comments or order."""

from __future__ import annotations

from certpin.pinfile.file import PinFileWarning
from certpin.pinfile.reader import PINS_VARIABLE, PinSet

__all__ = ["PINS_VARIABLE", "PinFileWarning", "PinSet"]
