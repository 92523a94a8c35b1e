"""The pages about Flutter and the README of the Dart package: their code, commands and terms."""

from __future__ import annotations

import re
import shlex
import shutil
from typing import TYPE_CHECKING, cast

import click
import pytest

from certpin.apps.rules import RULES
from certpin.cli.main import cli
from certpin.errors import ConfigError
from certpin.formats import FORMATS
from scripts.docs import pages
from tests.documentation._blocks import blocks
from tests.formats.flutter import _vm, example, test_mistakes
from tests.formats.flutter._vm import PACKAGE, ROOT
from tests.kit import pin_set, policy

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.dart import DartVM

PAGES = {
    path.stem: path.read_text(encoding="utf-8")
    for path in (*sorted(ROOT.glob("docs/guides/flutter*.md")), PACKAGE / "README.md")
}
_FENCED = {
    "flutter": blocks("guides/flutter.md"),
    "flutter-debugging": blocks("guides/flutter-debugging.md"),
    "flutter-moving": blocks("guides/flutter-moving.md"),
    "flutter-updates": blocks("guides/flutter-updates.md"),
    "README": blocks("packages/certpin-dart/README.md"),
}
BLOCKS = {
    f"{name.lower().replace('-', '_')}_{number}": block.text
    for name, found in _FENCED.items()
    for number, block in enumerate(each for each in found if each.language == "dart")
}
ON_EACH = pytest.mark.parametrize("vm", _vm.VERSIONS, ids=lambda vm: vm.version)


def test_there_are_four_pages_and_the_readme() -> None:
    pages = {"flutter", "flutter-debugging", "flutter-moving", "flutter-updates"}
    assert PAGES.keys() == {*pages, "README"}


# The code around a block in an app: imports, and names that the pages do not define.
_IMPORTS = """
import 'dart:io';
import 'dart:isolate';
import 'package:certpin/certpin.dart';
import 'package:certpin/updates.dart';
import 'package:dio/dio.dart';
import 'package:dio/io.dart';
import 'package:http/io_client.dart';
import 'dio_recipe.dart';
import 'pinning/pins.dart';
import 'pinning/signed_source.dart';
import 'pointycastle.dart';
"""
_AROUND = """
void offerAnotherTry() {}
void log(String message) {}
void show(String message) {}
Future<String> fetchInBackground() async => '';
const appPins = pins;
Future<Directory> getApplicationSupportDirectory() async => Directory.current;
"""
_NAMES = {"dio": "final dio = Dio();", "client": "final client = PinnedHttpClient(pins);"}


def _program(block: str) -> str:
    """Return a Dart library with a code block of a page.

    A complete library is unchanged; any other block becomes the body of a function.
    """
    imports = re.findall(r"^import [^;]*;$", block, re.MULTILINE)
    rest = re.sub(r"^import [^;]*;\n?", "", block, flags=re.MULTILINE)
    if not rest.strip() or re.search(r"^const PinSet ", rest, re.MULTILINE):
        return block  # a complete library
    names = [text for name, text in _NAMES.items() if f"final {name} " not in rest]
    more = [each for each in imports if each not in _IMPORTS]
    body = "\n".join([*names, rest])
    return "\n".join([_IMPORTS, *more, _AROUND, f"Future<void> f() async {{\n{body}\n}}\n"])


def _app(folder: Path) -> None:
    """Copy the files that the pages' code imports into a folder: exported pins, and recipes."""
    shutil.copytree(example.TARGET, folder / "pinning")
    shutil.copy(folder / "pinning/pins.dart", folder / "pinning/pins_debug.dart")
    vendored = "export 'package:certpin/certpin.dart';"
    (folder / "pinning/certpin.dart").write_text(vendored, encoding="utf-8")
    recipes = PACKAGE / "example/recipes"
    shutil.copy(recipes / "dio.dart", folder / "dio_recipe.dart")
    shutil.copy(recipes / "pointycastle.dart", folder)
    for name in ("client_web.dart", "client_pinned.dart"):
        (folder / name).write_text("", encoding="utf-8")


def _errors(folder: Path, programs: dict[str, str], vm: DartVM) -> str:
    _app(folder)
    for name, text in programs.items():
        (folder / f"{name}.dart").write_text(text, encoding="utf-8")
    lines = [f"import '{name}.dart' as {name};" for name in programs]
    program = folder / "program.dart"
    program.write_text("\n".join([*lines, "void main() {}"]), encoding="utf-8")
    packages = _vm.package_config(folder, {})
    return _vm.compile_kernel(program, packages, folder / "program.dill", vm)


@pytest.mark.slow
@pytest.mark.peer("dart")
@ON_EACH
def test_dart_that_the_pages_recommend_compiles(vm: DartVM, tmp_path: Path) -> None:
    programs = {name: _program(text) for name, text in BLOCKS.items() if "// wrong" not in text}
    assert {name.rpartition("_")[0] for name in programs} == {
        *("flutter", "flutter_debugging", "flutter_updates", "readme"),
    }
    assert len(programs) > 12
    assert _errors(tmp_path, programs, vm) == ""


@pytest.mark.slow
@pytest.mark.peer("dart")
def test_an_app_with_a_damaged_stored_set_starts_with_the_code_of_the_page(tmp_path: Path) -> None:
    _app(tmp_path)
    [block] = [block for block in BLOCKS.values() if "PinUpdates(" in block]
    program = tmp_path / "app.dart"
    started = "Future<void> main() => f().then((_) => print('started'));\n"
    program.write_text(_program(block) + started, encoding="utf-8")
    (tmp_path / "pins.signed.json").write_text("damaged", encoding="utf-8")
    done = _vm.run(program, _vm.package_config(tmp_path, {}), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "started\n"), done.stderr


@pytest.mark.slow
@pytest.mark.peer("dart")
@ON_EACH
def test_the_replacements_in_the_table_of_moving_compile(vm: DartVM, tmp_path: Path) -> None:
    table = PAGES["flutter-moving"].partition("| before | after |")[2].partition("\n\n")[0]
    after = [line.split("|")[2] for line in table.splitlines() if line.count("|") == 3]
    codes = [code for cell in after for code in re.findall(r"`([^`]*appPins[^`]*)`", cell)]
    assert len(codes) > 5
    lines = [f"  {code.replace('…', 'fetchInBackground')};" for code in codes]
    names = "const appPins = pins; const host = 'api.bank.example'; const port = 443;"
    body = "\n".join([names, _NAMES["dio"], *lines])
    text = "\n".join([_IMPORTS, _AROUND, f"Future<void> f() async {{\n{body}\n}}\n"])
    assert _errors(tmp_path, {"moving": text}, vm) == ""


def in_shell_blocks(page: str) -> list[str]:
    """Return the certpin commands in the shell blocks of a page."""
    text = "\n".join(block.text for block in _FENCED[page] if block.language == "sh")
    return re.findall(r"^(certpin .*)$", re.sub(r"\\\n\s*", "", text), re.MULTILINE)


def _commands(page: str) -> list[list[str]]:
    """Return the words of each certpin command of a page, from its blocks and code spans."""
    spans = [
        " ".join(each.split())
        for each in re.findall(r"`(certpin [^`]+)`", PAGES[page])
        if " --" in each
    ]
    return [shlex.split(each) for each in (*in_shell_blocks(page), *spans)]


COMMANDS = {
    f"{name} {number} {words[1]}": words
    for name in PAGES
    for number, words in enumerate(_commands(name))
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_the_commands_of_the_pages_are_valid(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parse each command, with its files present, without running it."""
    monkeypatch.chdir(tmp_path)
    for word in words:
        if word.endswith((".toml", ".json", ".dart", ".pem")) and not word.startswith("-"):
            (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / word).write_text("", encoding="utf-8")
    rest = words[1:]
    command = cast("click.Command", cli)
    context = click.Context(cli, **cli.context_settings)
    while isinstance(command, click.Group):
        name = rest.pop(0)
        found = command.get_command(context, name)
        assert found is not None, name
        command = found
    command.make_context(command.name, list(rest))
    if command.name == "export":
        assert rest[0] in FORMATS


def test_the_commands_of_the_pages_are_found() -> None:
    first = {" ".join(words[1:3]) for words in COMMANDS.values()}
    assert {"pin api.bank.example", "add api.bank.example", "export flutter"} <= first
    assert {"export android", "export flutter-pins"} <= first


def test_the_flavours_of_the_page_are_those_of_the_example() -> None:
    [block] = [block for block in BLOCKS.values() if "fromEnvironment('FLAVOUR')" in block]
    code = (example.APP / "lib/pins.dart").read_text(encoding="utf-8")
    for line in filter(None, block.splitlines()):
        assert line in code, line


def test_every_exception_has_its_line_in_the_readme() -> None:
    source = (PACKAGE / "lib/src/exceptions.dart").read_text(encoding="utf-8")
    kinds = set(re.findall(r"^final class (\w+Exception)\b", source, re.MULTILINE))
    table = PAGES["README"].partition("## Errors")[2].partition("\n## ")[0]
    assert len(kinds) == 5
    assert kinds == set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


def test_every_exception_has_both_messages() -> None:
    source = (PACKAGE / "lib/src/exceptions.dart").read_text(encoding="utf-8")
    for kind in source.split("final class ")[1:]:
        assert kind.count("String get userMessage") == 1, kind[:40]
        assert kind.count("String get logMessage") == 1, kind[:40]


def test_every_public_class_is_in_the_readme() -> None:
    table = PAGES["README"].partition("| name | |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", table))
    exports = (PACKAGE / "lib/certpin.dart").read_text(encoding="utf-8")
    files = re.findall(r"^export '(src/\w+\.dart)'(?: show ([\w, ]+))?;", exports, re.MULTILINE)
    assert len(files) > 7
    public: set[str] = set()
    for name, shown in files:
        source = (PACKAGE / "lib" / name).read_text(encoding="utf-8")
        defined = re.findall(
            r"^(?:abstract |final |sealed |interface )*(?:class|typedef) (\w+)",
            source,
            re.MULTILINE,
        )
        public |= set(shown.split(", ")) & set(defined) if shown else set(defined)
    errors = {name for name in public if name.endswith("Exception")} - {"ConnectionException"}
    assert public - errors - {"FindProxy"} <= named


def test_the_prove_command_of_the_page_is_valid() -> None:
    tool = (example.APP / "tool/prove.dart").read_text(encoding="utf-8")
    words = "{host} {port} {ca} {pin} {backup} {canary}"
    assert f"dart run tool/prove.dart {words}" in PAGES["flutter"]
    assert f"dart run tool/prove.dart {words}" in tool
    assert f"words.length != {len(words.split())}" in tool
    assert "final [host, port, anchors, pin, backup, canary] = words;" in tool


MISTAKES = PAGES["flutter-moving"].partition("## Mistakes, and their proof")[2]


@pytest.mark.parametrize("mistake", test_mistakes.MISTAKES)
def test_each_mistake_has_its_proof_and_its_fix(mistake: str) -> None:
    section = MISTAKES.partition(f"**{mistake}")[2].partition("\n\n**")[0]
    assert "*Proof:*" in section
    named = re.search(r"\(\.\./reference/mistakes/([\w-]+)\.md\)", section)
    assert "*Cure:*" in section or (named and RULES[named[1]].fix)
    for proof in test_mistakes.MISTAKES[mistake]:
        assert hasattr(test_mistakes, proof), proof


def test_each_mistake_of_the_page_is_listed() -> None:
    titles = re.findall(r"^\*\*(.+?)\.?\*\*", MISTAKES, re.MULTILINE)
    assert titles == list(test_mistakes.MISTAKES)


def test_in_report_mode_no_native_export_is_possible() -> None:
    """The exports for Android and Apple refuse a policy in report mode.

    So the page recommends them only after the trial in report mode.
    """
    pins = pin_set(policy("api.bank.example", match="leaf", mode="report"))
    assert FORMATS["flutter"].export(pins).omissions == ()
    for name in ("android", "apple"):
        with pytest.raises(ConfigError, match="report"):
            FORMATS[name].export(pins)
        assert FORMATS[name].export(pin_set(policy("api.bank.example", match="leaf"))).files
    order = PAGES["flutter-moving"].partition("## The order")[2].partition("\n## ")[0]
    assert order.index('mode = "enforce"') < order.index("\ncertpin export android")


def test_the_readme_lists_untested_parts() -> None:
    section = PAGES["README"].partition("## Tests that were not run")[2]
    assert "**Later releases of Dart were not run**" in " ".join(section.split())
    for vm in _vm.VERSIONS:
        assert vm.version in section


def test_the_oldest_dart_version_is_consistent() -> None:
    oldest = _vm.PROMISED
    assert _vm.VERSIONS[0].version.startswith(f"{oldest}.")
    pubspecs = [(each / "pubspec.yaml").read_text("utf-8") for each in (example.APP, PACKAGE)]
    for text in (PAGES["flutter"], *pubspecs):
        assert f"sdk: '>={oldest}.0 <4.0.0'" in text
    assert f"Dart {oldest} (Flutter 3.24)" in " ".join(FORMATS["flutter"].needs)
    formats = (text for name, text in pages().items() if name.startswith("reference/formats/"))
    for page in (
        *PAGES.values(),
        *formats,
        *pubspecs,
        (example.APP / "README.md").read_text("utf-8"),
    ):
        assert set(re.findall(r"Dart (3\.\d+)\b", page)) <= {oldest, "3.7"}


def test_the_page_of_updates_lists_every_refusal_reason() -> None:
    table = PAGES["flutter-updates"].partition("| `reason` |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([a-z-]+)`", table)) | {"unexpected"}
    folder = PACKAGE / "lib/src/updates"
    source = (folder / "exception.dart").read_text(encoding="utf-8")
    assert named == set(re.findall(r"`([a-z-]+)`", source.partition("programs:")[2]))
    thrown = {
        reason
        for path in folder.iterdir()
        for reason in re.findall(r"PinUpdateException\(\s*'([a-z-]+)'", path.read_text("utf-8"))
    }
    assert thrown == named
