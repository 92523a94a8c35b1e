"""The folder of the documentation's example clients, and the pin file that the examples read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests import kit

if TYPE_CHECKING:
    import pytest

    import certpin

EXAMPLES = Path(__file__).parents[4] / "examples" / "python"

PINS = """\
schema = 1
name = "example"
version = 1

[[host]]
name = "localhost"

[[host.pin]]
pin = "{pin}"

[[host.pin]]
pin = "{backup}"
role = "backup"
"""


def set_pins(folder: Path, pin: certpin.Pin, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "pins.toml"
    file.write_text(PINS.format(pin=pin, backup=kit.NOBODY))
    monkeypatch.setenv("CERTPIN_PINS", str(file))
