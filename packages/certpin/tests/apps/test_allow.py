"""Comments that allow a mistake in the source of an app."""

from __future__ import annotations

import pytest

from certpin.apps.allow import with_allowances
from certpin.apps.model import Mistake, Place, SourceFile


def _allowed(text: str, line: int, rule: str = "plain-http") -> str:
    file = SourceFile("lib/a.dart", text.encode(), text)
    [mistake] = with_allowances(file, [Mistake(rule, Place("lib/a.dart", line), "m")])
    return mistake.allowed


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("get(x); // certpin: allow plain-http because it is local", 1),
        ("// certpin: allow plain-http because it is local\nget(x);", 2),
        ("// certpin: allow plain-http because it is local\r\nget(x);\r\n", 2),
        ("// certpin: allow plain-http because it is local\rget(x);\r", 2),
        ("// certpin: allow plain-http because it is local\n// more\nget(x);", 3),
        ("  //certpin: allow no-anchors, plain-http because it is local.\nget(x);", 2),
        ("// certpin: allow plain-http: because: it is local\nget(x);", 2),
        ("x('//certpin:1'); // certpin: allow plain-http because it is local", 1),
        ("# certpin: allow plain-http because it is local\nx:", 2),
        (
            "// certpin: allow plain-http\nx(); // certpin: allow plain-http because it is local",
            2,
        ),
        ("<!-- certpin: allow plain-http because it is local -->\n<a/>", 2),
    ],
)
def test_a_comment_with_a_reason_allows_the_mistake(text: str, line: int) -> None:
    assert _allowed(text, line) == "it is local"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("// certpin: allow plain-http\nget(x);", 2),
        ("// certpin: allow plain-http because \nget(x);", 2),
        ("// certpin: allow no-anchors because it is local\nget(x);", 2),
        ("// certpin: allow plain-http because it is local\n\nget(x);", 3),
        ("// certpin: allow plain-http because it is local\na();\nget(x);", 3),
        ("get(x);\n// certpin: allow plain-http because it is local", 1),
        ("var a = 'certpin: allow plain-http because it is local';", 1),
        ("// certpin: allow plain-http because it is local", 9),
    ],
)
def test_other_comments_have_no_effect(text: str, line: int) -> None:
    assert _allowed(text, line) == ""


@pytest.mark.timeout(20)
def test_hostile_comments_take_linear_time() -> None:
    line = "// certpin: allow " + "a " * 200_000
    assert _allowed(f"{line}\nx", 2) == ""
    assert _allowed("// certpin: allow " * 50_000 + "\nx", 2) == ""


@pytest.mark.medium
@pytest.mark.timeout(20)
def test_many_mistakes_on_one_line_take_linear_time() -> None:
    text = "x // certpin: allow plain-http because it is local" + " x" * 1_000_000
    file = SourceFile("a.dart", text.encode(), text)
    mistakes = [Mistake("plain-http", Place("a.dart", 1), str(each)) for each in range(50_000)]
    assert all(each.allowed for each in with_allowances(file, mistakes))


@pytest.mark.parametrize(
    "comment", ["// certpin: allow plain-http", "// certpin: allow plain-http: x"]
)
def test_a_comment_without_a_reason_is_named_in_the_message(comment: str) -> None:
    text = f"{comment}\nfinal url = 1;\n"
    file = SourceFile("a.dart", text.encode(), text)
    mistakes = [Mistake(rule, Place("a.dart", 2), "x") for rule in ("plain-http", "other")]
    named, other = with_allowances(file, mistakes)
    assert named.allowed == other.allowed == ""
    assert "has no reason" in named.message
    assert other.message == "x"
