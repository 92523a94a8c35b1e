"""Code that checks pins correctly has no mistake: certpin's own library, export and example app."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.apps._dart import NEEDS_PARSER, read

pytestmark = NEEDS_PARSER

ROOT = Path(__file__).parents[4]
FOLDERS = ("packages/certpin-dart", "examples/flutter_app/lib")


def _files() -> list[Path]:
    return [file for folder in FOLDERS for file in sorted(ROOT.joinpath(folder).rglob("*.dart"))]


@pytest.mark.medium
def test_certpins_own_code_has_no_mistake() -> None:
    files = [file for file in _files() if "test" not in file.relative_to(ROOT).parts]
    assert len(files) > 30
    found = {
        f"{file.relative_to(ROOT)}:{each.place.line}": each.rule
        for file in files
        for each in read(file.read_bytes()).mistakes
    }
    assert found == {}


@pytest.mark.medium
def test_certpins_own_code_has_no_pins_but_those_of_its_export() -> None:
    exports = []
    for file in _files():
        found = read(file.read_bytes())
        assert not found.pins, file
        if "flutter_app" in file.parts:
            exports += [file.name for each in found.unknown if "own export" in each.question]
    assert exports == ["pins.dart", "pins_development.dart"]
