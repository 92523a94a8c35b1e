"""Regenerate the pin files of the example app: python -m tests.formats.flutter.example"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.formats import SignedSource
from certpin.formats.flutter import FLUTTER
from certpin.formats.flutter_pins import FLUTTER_PINS
from certpin.pinfile import PinSet
from tests.formats.flutter._vm import ROOT

if TYPE_CHECKING:
    from certpin.formats import Export, Format

APP = ROOT / "examples/flutter_app"
TARGET = APP / "lib/pinning"
URL = "https://api.bank.example/pins/"


def generated() -> dict[str, str]:
    """Export the example app's pin files to Dart. Return the text of each file, by name."""
    library = _export(FLUTTER, "pins.toml", SignedSource(URL, (APP / "root.json").read_bytes()))
    [flavour] = _export(FLUTTER_PINS, "pins.development.toml").files
    files = {file.path: file.text for file in library.files}
    return files | {"pins_development.dart": flavour.text}


def _export(chosen: Format, name: str, signed: SignedSource | None = None) -> Export:
    export = chosen.export(PinSet.load(APP / name), signed=signed)
    assert export.omissions == (), "the example has only settings that Flutter supports"
    return export


if __name__ == "__main__":
    for name, text in generated().items():
        (TARGET / name).write_text(text, encoding="utf-8")
