"""Read ``pins.toml`` with errors that name the line; edit it with comments and order kept."""

from __future__ import annotations

from certpin.pinfile.file import PinFileWarning
from certpin.pinfile.reader import PINS_VARIABLE, PinSet

__all__ = ["PINS_VARIABLE", "PinFileWarning", "PinSet"]
