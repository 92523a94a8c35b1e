"""The example clients of the documentation, and the pin file that they read."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def example(name: str) -> Any:
    """Return the module of an example."""
    path = EXAMPLES / f"pinned_{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
