"""docs/flutter.md: its Dart compiles, and its terms match the code."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from certpin.formats import FORMATS
from tests.formats.flutter import _vm, example

if TYPE_CHECKING:
    from pathlib import Path

ROOT = example.APP.parents[1]
PAGE = (ROOT / "docs/flutter.md").read_text(encoding="utf-8")
BLOCKS = dict(enumerate(re.findall(r"```dart\n(.*?)```", PAGE, re.DOTALL)))


# The code around a block in an app: imports, and names that the guide does not define.
_AROUND = """
import 'dart:io';
import 'dart:isolate';
import 'package:dio/dio.dart';
import 'pinning/pinned_dio.dart';
import 'pinning/pin_updates.dart';
import 'pinning/pinning.dart';
import 'pinning/signed_source.dart';
final anyDio = Dio();
void offerAnotherTry() {}
void log(String message) {}
void show(String message) {}
Future<String> fetchInBackground() async => '';
Future<Directory> getApplicationSupportDirectory() async => Directory.current;
"""


@pytest.mark.peer("dart")
def test_dart_that_the_guide_recommends_compiles(tmp_path: Path) -> None:
    shutil.copytree(example.TARGET, tmp_path / "pinning")
    names = []
    for number, block in BLOCKS.items():
        if "// wrong" in block:
            continue
        imports = re.findall(r"^import .*;$", block, re.MULTILINE)
        rest = re.sub(r"^import .*;\n", "", block, flags=re.MULTILINE)
        if "const " in rest and "final " not in rest:
            text = "\n".join([*imports, rest])  # a file of its own
        else:
            dio = "" if "final dio" in rest else "final dio = anyDio;\n"
            more = [each for each in imports if each not in _AROUND]
            body = f"Future<void> f() async {{\n{dio}{rest}\n}}\n"
            text = "\n".join([*more, _AROUND, body])
        names.append(f"block_{number}.dart")
        (tmp_path / names[-1]).write_text(text, encoding="utf-8")
    assert len(names) > 7
    lines = [f"import '{name}' as {name.removesuffix('.dart')};" for name in names]
    program = tmp_path / "guide.dart"
    program.write_text("\n".join([*lines, "void main() {}"]), encoding="utf-8")
    packages = _vm.package_config(tmp_path, {})
    assert _vm.compile_kernel(program, packages, tmp_path / "guide.dill") == ""


def test_the_flavours_of_the_guide_are_those_of_the_example() -> None:
    [block] = [block for block in BLOCKS.values() if "fromEnvironment('FLAVOUR')" in block]
    code = (example.APP / "lib/pins.dart").read_text(encoding="utf-8")
    for line in filter(None, block.splitlines()):
        assert line in code, line


def test_every_exception_has_its_line_in_the_guide() -> None:
    source = (example.TARGET / "exceptions.dart").read_text(encoding="utf-8")
    kinds = set(re.findall(r"^final class (\w+Exception)\b", source, re.MULTILINE))
    table = PAGE.partition("## Errors")[2].partition("```")[0]
    assert len(kinds) == 5
    assert kinds == set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


def test_every_exception_has_both_messages() -> None:
    source = (example.TARGET / "exceptions.dart").read_text(encoding="utf-8")
    for kind in source.split("final class ")[1:]:
        assert kind.count("String get userMessage") == 1, kind[:40]
        assert kind.count("String get logMessage") == 1, kind[:40]


def test_the_prove_command_of_the_guide_is_valid() -> None:
    tool = (example.APP / "tool/prove.dart").read_text(encoding="utf-8")
    words = "{host} {port} {ca} {pin} {backup} {canary}"
    assert f"dart run tool/prove.dart {words}" in PAGE
    assert f"dart run tool/prove.dart {words}" in tool
    assert f"words.length != {len(words.split())}" in tool
    assert "final [host, port, anchors, pin, backup, canary] = words;" in tool


def test_the_formats_of_the_guide_are_formats_of_certpin() -> None:
    named = re.findall(r"certpin (?:export|import) ([a-z-]+)\b", PAGE)
    assert {name for name in named if not name.startswith("-")} == {"flutter", "flutter-pins"}
    assert set(named) - {"--release"} <= FORMATS.keys()


@pytest.mark.parametrize(
    "mistake",
    [
        "The callback that switches off the checks",
        "`cert.sha256`",
        "The root's fingerprint in a list for leaves",
        "The interceptor that checks another connection",
        "The debug branch that returns true",
        "The development pin in production",
        "The leaf pin alone",
        "Errors found by searching a string",
    ],
)
def test_the_guide_has_a_fix_for_every_common_mistake(mistake: str) -> None:
    section = PAGE.partition(f"**{mistake}")[2].partition("\n\n**")[0]
    assert "*Cure:*" in section


def test_the_guide_lists_untested_parts() -> None:
    section = PAGE.partition("## What was not run")[2]
    assert "**Later releases of Dart\nwere not run**" in section
    for vm in _vm.VERSIONS:
        assert vm.version in section


def test_the_oldest_dart_version_is_consistent() -> None:
    oldest = _vm.PROMISED
    assert _vm.VERSIONS[0].version.startswith(f"{oldest}.")
    assert f"sdk: '>={oldest}.0 <4.0.0'" in PAGE
    pubspec = (example.APP / "pubspec.yaml").read_text(encoding="utf-8")
    assert f"sdk: '>={oldest}.0 <4.0.0'" in pubspec
    assert f"Dart {oldest} (Flutter 3.24)" in " ".join(FORMATS["flutter"].needs)
    pages = [PAGE, (ROOT / "docs/formats.md").read_text("utf-8"), pubspec]
    for page in (*pages, (example.APP / "README.md").read_text("utf-8")):
        assert set(re.findall(r"Dart (3\.\d+)\b", page)) <= {oldest, "3.7"}


def test_the_guide_lists_every_update_refusal_reason() -> None:
    table = PAGE.partition("| `reason` |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([a-z-]+)`", table)) | {"unexpected"}
    source = (example.TARGET / "signed_exception.dart").read_text(encoding="utf-8")
    assert named == set(re.findall(r"`([a-z-]+)`", source.partition("programs:")[2]))
    thrown = {
        reason
        for path in example.TARGET.iterdir()
        for reason in re.findall(r"PinUpdateException\(\s*'([a-z-]+)'", path.read_text("utf-8"))
    }
    assert thrown == named
