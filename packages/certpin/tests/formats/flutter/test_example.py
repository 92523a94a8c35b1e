"""The example Flutter app contains the current export, and its files are consistent."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from certpin.formats import Source
from certpin.formats.flutter import FLUTTER
from certpin.pinfile import PinSet
from certpin.pins.policy import meaning
from tests.formats.flutter import _vm, example
from tests.formats.flutter._vm import PACKAGE

if TYPE_CHECKING:
    from pathlib import Path

DART = sorted(example.APP.rglob("*.dart"))
TEXTS = {
    str(path.relative_to(example.APP)): path.read_text(encoding="utf-8")
    for path in sorted(example.APP.rglob("*"))
    if path.is_file()
}
_PIN = re.compile(r"sha256/[A-Za-z0-9+/]{43}=")


def test_the_generated_files_are_those_of_the_export() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in example.TARGET.iterdir()}
    assert found == example.generated(), "python -m tests.formats.flutter.example"


@pytest.mark.peer("dart")
def test_the_flavours_of_the_example(tmp_path: Path) -> None:
    program = example.APP / "test/pins_test.dart"
    packages = _vm.package_config(tmp_path, {"bank_app": example.APP / "lib"})
    done = _vm.run(program, packages, cwd=example.APP)
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ended) > 1, done.stderr
    assert [each for each in ended if each["error"]] == []


def test_the_verifier_is_that_of_the_package() -> None:
    ours = PACKAGE / "example/recipes/pointycastle.dart"
    assert TEXTS["lib/pointycastle.dart"] == ours.read_text(encoding="utf-8")


def test_the_failures_of_dio_are_found_as_in_the_recipe() -> None:
    """The app has the function of the recipe for dio, which the quick start says to copy."""
    recipe = (PACKAGE / "example/recipes/dio.dart").read_text(encoding="utf-8")
    start = recipe.index("/// Returns the failure of the connection;")
    assert TEXTS["lib/accounts.dart"].endswith(f"\n\n{recipe[start:]}")


@pytest.mark.parametrize("path", DART, ids=lambda path: str(path.relative_to(example.APP)))
def test_all_relative_imports_exist(path: Path) -> None:
    for named in re.findall(r"^(?:import|export) '([^']+)'", path.read_text("utf-8"), re.MULTILINE):
        scheme, colon, rest = named.partition(":")
        if not colon:
            assert (path.parent / named).is_file(), named
        elif scheme == "package" and rest.startswith("bank_app/"):
            assert (example.APP / "lib" / rest.removeprefix("bank_app/")).is_file(), named


def test_all_imported_packages_are_in_the_pubspec() -> None:
    packages = {
        name
        for path in DART
        for name in re.findall(r"^import 'package:(\w+)/", path.read_text("utf-8"), re.MULTILINE)
    }
    for name in packages - {"bank_app"}:
        assert re.search(rf"^  {name}:", TEXTS["pubspec.yaml"], re.MULTILINE), name


def test_release_pins_contain_no_development_pins() -> None:
    production = set(_PIN.findall(TEXTS["lib/pinning/pins.dart"]))
    development = set(_PIN.findall(TEXTS["lib/pinning/pins_development.dart"]))
    assert production
    assert development
    assert not production & development


def test_the_flavour_is_a_constant_and_not_used_in_releases() -> None:
    text = TEXTS["lib/pins.dart"]
    assert "const bool _isRelease = bool.fromEnvironment('dart.vm.product');" in text
    assert "const bool isDevelopment = !_isRelease && _flavour == 'development';" in text
    assert "const PinSet appPins = isDevelopment ? development.pins : production.pins;" in text


def test_no_file_of_the_example_names_a_registry() -> None:
    for name, text in TEXTS.items():
        assert "hosted" not in text, name
        assert "pub.dev" not in text, name


def test_the_pins_of_the_example_are_read_back() -> None:
    source = Source(TEXTS["lib/pinning/pins.dart"].encode(), lambda path: b"")
    pins = PinSet.load(example.APP / "pins.toml")
    found = FLUTTER.load(source)
    assert meaning(found) == meaning(pins)
    assert (found.name, found.version) == (pins.name, pins.version)


def test_no_note_of_a_pin_is_in_the_app() -> None:
    assert "never exported" in TEXTS["pins.toml"]
    assert not [name for name in TEXTS if name.endswith(".dart") and "never exp" in TEXTS[name]]
