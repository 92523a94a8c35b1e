"""Every shipped Dart file compiles with the oldest supported and the newest Dart."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certpin.errors import ConfigError
from certpin.formats import SignedSource
from certpin.formats._flutter import PINS_FORMAT
from certpin.formats.flutter import FLUTTER, library
from certpin.formats.flutter_pins import FLUTTER_PINS
from certpin.formats.parsed import pem
from tests.formats._sets import anchors, pin_sets
from tests.formats.flutter import _vm, example
from tests.formats.flutter._bridge import in_dart
from tests.formats.flutter._vm import PACKAGE
from tests.kit import NOBODY, NOBODY_ELSE, pin_set, policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from certpin.formats import File
    from certpin.pins import PinSet
    from scripts.dart import DartVM

pytestmark = pytest.mark.peer("dart")

ON_EACH = pytest.mark.parametrize("vm", _vm.VERSIONS, ids=lambda vm: vm.version)
LEAF = policy("a.example", NOBODY, NOBODY_ELSE, match="leaf")


def errors(
    folder: Path, vm: DartVM, imports: Iterable[str], packages: Mapping[str, Path] | None = None
) -> str:
    """Compile a program that imports all of these Dart files. Return the compiler's errors."""
    lines = [f"import '{each}' as i{at};" for at, each in enumerate(imports)]
    program = folder / "everything.dart"
    program.write_text("\n".join([*lines, "void main() {}"]), encoding="utf-8")
    config = _vm.package_config(folder, packages or {})
    return _vm.compile_kernel(program, config, folder / "program.dill", vm)


PINS = pin_set(LEAF, debug=anchors()[0])
SIGNED = SignedSource("https://pins.bank.example/", b"{}" * 100)


def written(folder: Path, files: Iterable[File]) -> list[str]:
    """Write exported files into a folder. Return their names."""
    for file in files:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).write_text(file.text, encoding="utf-8")
    return sorted(file.path for file in files)


@ON_EACH
def test_every_shipped_file_compiles_that_needs_no_flutter(vm: DartVM, tmp_path: Path) -> None:
    """These are the package, its recipes and examples, an export, and the example app."""
    exported = written(tmp_path, FLUTTER.export(PINS, signed=SIGNED).files)
    assert exported == ["pins.dart", "signed_source.dart"]
    package = [f"package:certpin/{file.path}" for file in library()]
    assert len(package) > 20
    examples = sorted(PACKAGE.glob("example/**/*.dart"))
    assert len([path for path in examples if path.parent.name == "recipes"]) == 9

    texts = {path: path.read_text("utf-8") for path in sorted(example.APP.rglob("*.dart"))}
    plain = [path for path, text in texts.items() if "import 'package:flutter/" not in text]
    assert {path.name for path in texts.keys() - set(plain)} == {
        *("accounts_page_test.dart", "main.dart", "updates.dart"),
    }
    files = [path.as_uri() for path in (*examples, *plain)]
    packages = {"bank_app": example.APP / "lib"}
    assert errors(tmp_path, vm, [*exported, *package, *files], packages) == ""


@ON_EACH
def test_the_vendored_files_compile_without_the_package(vm: DartVM, tmp_path: Path) -> None:
    names = written(tmp_path, FLUTTER.export(PINS, signed=SIGNED, vendored=True).files)
    assert {"pins.dart", "signed_source.dart", "certpin.dart", "updates.dart"} < set(names)
    assert errors(tmp_path, vm, names, {"certpin": tmp_path / "absent"}) == ""


@ON_EACH
def test_another_format_of_pins_is_a_clear_compile_error(vm: DartVM, tmp_path: Path) -> None:
    """It is an error even in a release build, where assertions are off at run time.

    The exported ``pins.dart`` has the number of its format, which the package must support.
    """
    for vendored in (False, True):
        folder = tmp_path / f"vendored_{vendored}"
        folder.mkdir()
        written(folder, FLUTTER.export(PINS, vendored=vendored).files)
        pins = folder / "pins.dart"
        text = pins.read_text(encoding="utf-8")
        assert f"format: {PINS_FORMAT}," in text
        pins.write_text(text.replace(f"format: {PINS_FORMAT},", f"format: {PINS_FORMAT + 1},"))
    problems = errors(tmp_path, vm, ["vendored_False/pins.dart", "vendored_True/pins.dart"])
    for vendored in (False, True):
        problem = said_about(f"vendored_{vendored}/pins.dart", problems)
        assert "pins.dart and package:certpin have different formats" in problem
        assert "run `certpin export flutter` again" in problem


def said_about(file: str, problems: str) -> str:
    """Return those of the compiler's errors that are in one file."""
    parts = re.split(r"^(?=\S+\.dart:\d+:\d+: Error: )", problems, flags=re.MULTILINE)
    return "".join(part for part in parts if part.partition(":")[0].endswith(file))


# The fields of a constant policy that would compare nothing, or refuse nothing, and the error.
MISTAKES = {
    "mode": ("mode: 'Enforce', match: 'leaf'", 'mode is "enforce" or "report"'),
    "match": ("mode: 'enforce', match: 'Leaf', trust: ''", 'match is "leaf", "ca" or "any"'),
    "no_trust": ("mode: 'enforce', match: 'any'", 'only match: "leaf" compares pins'),
    "on_expiry": ("mode: 'enforce', match: 'leaf', onExpiry: 'open'", "onExpiry is"),
    "none": ("mode: 'enforce', match: 'ca', trust: ''", ""),
}


def test_a_mistake_in_a_constant_policy_is_a_compile_error(tmp_path: Path) -> None:
    for name, (fields, _) in MISTAKES.items():
        (tmp_path / f"{name}.dart").write_text(
            "import 'package:certpin/certpin.dart';\n"
            f"const policy = HostPolicy(pattern: 'a.example', pins: ['x'], {fields});\n",
            encoding="utf-8",
        )
    problems = errors(tmp_path, _vm.NEWEST, [f"{name}.dart" for name in MISTAKES])
    for name, (_, problem) in MISTAKES.items():
        found = said_about(f"/{name}.dart", problems)
        assert problem in found
        assert bool(found) == bool(problem)


def test_the_package_and_the_export_have_the_same_format() -> None:
    policy = next(file for file in library() if file.path == "src/policy.dart")
    assert f"const int pinsFormat = {PINS_FORMAT};" in policy.text


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        ("final int a = 'b';", "can't be assigned"),
        ("void f() => g();", "Method not found"),
        ("void f() {", "Can't find '}'"),
    ],
)
def test_compile_errors_are_detected(slip: str, message: str, tmp_path: Path) -> None:
    """``errors`` returns the compiler's message for a Dart file with a mistake."""
    (tmp_path / "slip.dart").write_text(slip, encoding="utf-8")
    assert message in errors(tmp_path, _vm.NEWEST, ["slip.dart"])


def dumped(folder: Path, made: Sequence[PinSet], *defines: str) -> list[dict[str, Any]]:
    """Export pin sets to Dart, and run the result. Return the fields of each set as Dart has them.

    Args:
        folder: where to write the files.
        made: the pin sets.
        defines: constants of the build, as ``NAME=value``.
    """
    for at, pins in enumerate(made):
        text = FLUTTER_PINS.export(pins).files[0].text
        (folder / f"pins_{at}.dart").write_text(text, encoding="utf-8")
    lines = [
        "import 'dart:convert';",
        f"import '{(_vm.HERE / 'dump.dart').as_uri()}';",
        *(f"import 'pins_{at}.dart' as i{at};" for at in range(len(made))),
        "void main() {",
        *(f"  print(jsonEncode(dumpOf(i{at}.pins)));" for at in range(len(made))),
        "}",
    ]
    program = folder / "program.dart"
    program.write_text("\n".join(lines), encoding="utf-8")
    config = _vm.package_config(folder, {})
    done = _vm.run(program, config, defines=defines)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@settings(max_examples=2, suppress_health_check=list(HealthCheck), deadline=None)
@given(drawn=st.lists(pin_sets(), min_size=16, max_size=16))
def test_dart_reads_the_exported_pins(
    drawn: list[PinSet], tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = list(filter(_expressible, drawn))
    found = dumped(tmp_path_factory.mktemp("pins"), made)
    wanted = [FLUTTER_PINS.export(each).pins for each in made]
    for ours, theirs in zip(wanted, found, strict=True):
        assert (theirs["version"], theirs["debugAnchors"]) == (ours.version, None)
        assert theirs["policies"] == [in_dart(each) for each in ours.policies]


def _expressible(pins: PinSet) -> bool:
    try:
        FLUTTER_PINS.export(pins)
    except ConfigError:
        return False
    return True


HOSTILE = ('*/ --> " \\ %>', "');void main(){}//", "$x ${y}", "'''", "\n\nvoid f() {}", "\u2028x")


def test_a_hostile_name_cannot_leave_its_comment_or_string(tmp_path: Path) -> None:
    made = [replace(pin_set(LEAF), name=name) for name in HOSTILE]
    found = dumped(tmp_path, made)
    assert [each["policies"] for each in found] == [[in_dart(LEAF)]] * len(HOSTILE)
    for pins, each in zip(made, found, strict=True):
        assert len(str(each["name"])) == len(pins.name)


def test_only_debug_override_builds_contain_proxy_anchors(tmp_path: Path) -> None:
    pins = pin_set(LEAF, debug=anchors()[0])
    [off] = dumped(tmp_path, [pins])
    [on] = dumped(tmp_path, [pins], "CERTPIN_DEBUG=true")
    [product] = dumped(tmp_path, [pins], "CERTPIN_DEBUG=true", "dart.vm.product=true")
    assert off["debugAnchors"] is None
    assert on["debugAnchors"] == pem(anchors()[0])
    assert product["debugAnchors"] is None
