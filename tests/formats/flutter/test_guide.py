"""docs/flutter.md: its Dart parses, its words are those of the code."""

from __future__ import annotations

import re

import pytest

from certpin.formats import FORMATS
from tests.formats.flutter import _dart, _syntax, example

ROOT = example.APP.parents[1]
PAGE = (ROOT / "docs/flutter.md").read_text(encoding="utf-8")
BLOCKS = dict(enumerate(re.findall(r"```dart\n(.*?)```", PAGE, re.DOTALL)))


@pytest.mark.parametrize("number", [n for n, block in BLOCKS.items() if "// wrong" not in block])
def test_dart_that_the_guide_recommends_parses(number: int) -> None:
    block = BLOCKS[number]
    statements = f"Future<void> f() async {{\n{block}\n}}\n"
    assert not _syntax.errors(block) or not _syntax.errors(statements)


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


def test_the_line_that_proves_the_library_gives_the_client_the_words_that_it_takes() -> None:
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
def test_every_common_mistake_stands_next_to_its_cure(mistake: str) -> None:
    section = PAGE.partition(f"**{mistake}")[2].partition("\n\n**")[0]
    assert "*Cure:*" in section


def test_what_was_not_run_is_said() -> None:
    section = PAGE.partition("## What was not run")[2]
    assert "not compiled and not run here" in section
    for name in _dart.FILES:
        assert f"`{name}`" in section


def test_every_reason_of_a_refused_update_is_one_that_the_guide_names() -> None:
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
