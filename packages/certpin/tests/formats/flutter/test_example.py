"""The example app contains the current export, and its parts are consistent."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from certpin.formats import Source
from certpin.formats.flutter import FLUTTER
from certpin.pinfile import PinSet
from certpin.pins.policy import meaning
from tests.formats.flutter import _vm, example
from tests.formats.flutter._bridge import library

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.dart import DartVM

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


CONNECTIONS = "test/pinning/pinned_http_client_test.dart"
WITHOUT_WIDGETS = [
    str(path.relative_to(example.APP))
    for path in DART
    if path.name.endswith("_test.dart") and path.name != "accounts_page_test.dart"
]
ON_EACH = pytest.mark.parametrize("vm", _vm.VERSIONS, ids=lambda vm: vm.version)


def outcomes(folder: Path, vm: DartVM, tests: list[str]) -> dict[str, str | None]:
    """Run tests of the example with the current library. Return the errors of each."""
    shutil.copytree(example.APP / "lib", folder / "lib")
    shutil.copytree(library(), folder / "lib" / "pinning", dirs_exist_ok=True)
    imports = [f"import '{(example.APP / path).as_uri()}' as i{n};" for n, path in enumerate(tests)]
    calls = [f"  group('{path}', i{n}.main);" for n, path in enumerate(tests)]
    lines = ["import 'package:flutter_test/flutter_test.dart';", *imports]
    program = folder / "all_tests.dart"
    program.write_text("\n".join([*lines, "void main() {", *calls, "}"]), encoding="utf-8")
    packages = _vm.package_config(folder, {"bank_app": folder / "lib"})
    done = _vm.run(program, packages, vm=vm, cwd=example.APP)
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    assert ended, done.stderr
    assert done.returncode == int(any(each["error"] for each in ended)), done.stderr
    return {each["test"]: each["error"] for each in ended}


@pytest.mark.slow
@pytest.mark.peer("dart")
@ON_EACH
def test_connections_of_the_library_on_real_servers(vm: DartVM, tmp_path: Path) -> None:
    ended = outcomes(tmp_path, vm, [CONNECTIONS])
    assert {name: error for name, error in ended.items() if error} == {}
    assert len(ended) > 25


@pytest.mark.slow
@pytest.mark.peer("dart")
@ON_EACH
def test_the_other_tests_of_the_example_pass(vm: DartVM, tmp_path: Path) -> None:
    """Run the tests without widgets."""
    others = [path for path in WITHOUT_WIDGETS if path != CONNECTIONS]
    ended = outcomes(tmp_path, vm, others)
    assert {name: error for name, error in ended.items() if error} == {}
    assert {name.split()[0] for name in ended} == set(others)
    assert len(ended) > 170


@pytest.mark.peer("dart")
def test_failing_dart_tests_are_detected(tmp_path: Path) -> None:
    """Test the check itself, also for a failing future that is not awaited."""
    program = tmp_path / "failing_test.dart"
    program.write_text(
        """
        import 'package:flutter_test/flutter_test.dart';
        void main() {
          test('one', () => expect(1, 2));
          test('two', () { expect(Future.value(1), completion(2)); });
          test('three', () => expect(() => 1, throwsA(isA<Exception>())));
          test('four', () {
            Future<void>.error('lost');
            return Future<void>.delayed(const Duration(seconds: 1));
          });
          test('five', () => expect([1], isNot(contains(1))));
          test('good', () => expect([1], [1]));
        }
        """,
        encoding="utf-8",
    )
    done = _vm.run(program, _vm.package_config(tmp_path, {}))
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["test"] for each in ended if each["error"]] == [
        *("one", "two", "three", "four", "five"),
    ]
    assert done.returncode == 1


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
