"""Hostile Dart files: for any bytes, the reader ends with results or with a named problem."""

from __future__ import annotations

import re
import sys
from functools import cache
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.apps import syntax
from certpin.apps.dart import code as dart_code
from certpin.apps.dart.reader import read_dart
from certpin.apps.model import FileFindings
from certpin.apps.rules import RULES
from certpin.errors import MissingExtraError
from tests._marks import unmarked
from tests.apps._dart import HEX, KEY, NEEDS_PARSER, read

pytestmark = NEEDS_PARSER

EXAMPLES = [
    unmarked(text)[0]
    for rule in RULES.values()
    for example in rule.examples
    for text in (example.bad, example.good)
]
REAL = f"""\
import 'dart:io';

/// The pins of the app.
const Map<String, List<String>> pins = {{
  'api.bank.example': ['sha256/{KEY}', "{HEX}"],
}};

class Client {{
  static const fp = String.fromEnvironment('PIN', defaultValue: kDebugMode ? '{HEX}' : '''x''');
  final client = HttpClient(context: SecurityContext(withTrustedRoots: false))
    ..badCertificateCallback = (X509Certificate cert, host, port) => cert.sha256 == fp;

  Future<void> load() async {{
    assert(pins.containsKey('a') && fp == '${{pins['a']}}');
    await HttpCertificatePinning.check(serverURL: 'http://a.example', pins: [fp, ...pins]);
  }}
}}
"""


def checked(data: bytes) -> FileFindings:
    """Read bytes as a Dart file, and return what the reader finds.

    Fails if a place is not a line of the file, or if a message is long or not printable.
    """
    found = read(data)
    lines = len(re.split(rb"\n|\r(?!\n)", data))
    places = [
        *(each.place for each in found.pins),
        *(each.place for each in found.mistakes),
        *(each.place for each in found.unknown),
        *(each.place for each in found.unread),
        *(place for _, place in found.hosts),
    ]
    assert all(each and 1 <= each.line <= lines and each.file == "lib/a.dart" for each in places)
    texts = [
        *(each.message for each in found.mistakes),
        *(each.question for each in found.unknown),
        *(each.problem for each in found.unread),
        *(each.name for each in found.pins),
    ]
    assert all(text.isprintable() and len(text) < 500 for text in texts)
    return found


@pytest.mark.parametrize("text", [REAL, *EXAMPLES])
def test_a_carriage_return_ends_a_line(text: str) -> None:
    """As in Dart: the code behind a comment runs."""
    text = f"// a comment\n{text}"
    expected = read(text)
    assert read(text.replace("\n", "\r")) == expected
    assert read(text.replace("\n", "\r\n")) == expected


@given(st.binary(max_size=400))
def test_any_bytes_are_read(data: bytes) -> None:
    checked(data)
    checked(b"const pins = '" + data + b"';")


@given(st.sampled_from([REAL, *EXAMPLES]), st.data())
def test_a_truncated_file_is_read(text: str, data: st.DataObject) -> None:
    whole = text.encode()
    start = data.draw(st.integers(0, len(whole)))
    checked(whole[start:])
    checked(whole[:start])


@given(st.sampled_from([REAL, *EXAMPLES]), st.data())
def test_a_changed_file_is_read(text: str, data: st.DataObject) -> None:
    changed = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(changed)))
        end = data.draw(st.integers(at, min(len(changed), at + 20)))
        changed[at:end] = data.draw(
            st.sampled_from(
                [b"", b"(", b")", b"{", b"}", b"'", b'"""', b"$", b"${", b"\0", b"\xff"]
            )
            | st.binary(max_size=4)
        )
    checked(bytes(changed))


@given(st.lists(st.sampled_from(REAL.split()), max_size=60))
def test_words_of_dart_in_any_order_are_read(words: list[str]) -> None:
    checked(" ".join(words).encode())


@cache
def deep() -> dict[str, bytes]:
    """Return long or deeply nested Dart files, by a name for what they repeat."""
    pin = f"const pins = 'sha256/{KEY}';\n".encode()
    return {
        "parentheses": pin + b"var x = " + b"(" * 20000 + f"'{HEX}'".encode() + b")" * 20000 + b";",
        "lists": pin + b"var x = " + b"[" * 20000 + f"'{HEX}'".encode() + b"]" * 20000 + b";",
        "blocks": pin + b"void f() " + b"{" * 20000 + b"assert(pins.contains(x));" + b"}" * 20000,
        "ifs": pin + b"void f() { " + b"if (kDebugMode) " * 5000 + b"return true; }",
        "conditions": pin + b"var pins = " + b"kDebugMode ? [1] : " * 300 + b"[];",
        "negations": pin + b"bool f(cert) { if (" + b"!" * 9000 + b"kDebugMode) return true; }",
        "sums": pin + b"var pin = 'a'" + b" + 'a'" * 20000 + b";",
        "interpolations": pin + b"var pin = " + b"'${" * 9000 + b"}'" * 9000 + b";",
        "closures": pin + b"var x = " + b"() => " * 9000 + b"a.badCertificateCallback = y;",
        "callbacks": pin + b"f() { " + b"x.badCertificateCallback = y;" * 5000 + b" }",
        "calls": pin + b"var x = a" + b"(b" * 9000,
        "maps": pin + b"var pins = " + b"{'a': " * 9000 + f"'{HEX}'".encode() + b"}" * 9000,
        "names": pin
        + b"const a0 = 'x';"
        + b"".join(b"const a%d = '${a%d}${a%d}';" % (at + 1, at, at) for at in range(3000)),
        "circle": pin + b"const a = '$b'; const b = '$a'; const pin = 'sha256/$a$b';",
        "one name": pin + b"const pins = '%s';" % HEX.encode() + b"f(pins);" * 9000,
        "one constant": b"".join(b"const p = '%064x';" % at for at in range(3000)) + b"f(p);" * 900,
        "long string": pin + b"const pins = '" + b"A" * 3_000_000 + b"';",
        "long spaces": pin + b"const pins = '" + b" " * 3_000_000 + b"';",
        "long name": pin + b"const " + b"P" * 1_000_000 + b" = '" + HEX.encode() + b"';",
        "long url": pin + b"const u = 'https://" + b"a." * 500_000 + b"';",
        "nul": pin + b"\0" * 100_000,
        "latin": pin + b"// \xe4\xf6\xfc\nconst pins = '\xe4\xf6\xfc';",
        "utf-16": pin.decode().encode("utf-16"),
        "bom": b"\xef\xbb\xbf" + pin,
    }


@pytest.mark.medium
@pytest.mark.parametrize("name", deep())
def test_a_hostile_file_is_read_within_the_limits(name: str) -> None:
    found = checked(deep()[name])
    if name not in {"one constant", "utf-16"}:
        assert [str(each.pin) for each in found.pins][:1] == [f"sha256/{KEY}"]


@pytest.mark.medium
def test_a_file_that_takes_too_long_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syntax, "MAX_SECONDS", 0.2)
    found = read(b"const pins = 1;" + b"/*" * 100_000)
    assert [str(each.place) for each in found.unread] == ["lib/a.dart:1"]
    assert "takes more than" in found.unread[0].problem


def test_what_reads_the_tree_has_a_deadline_too(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = syntax.parse(dart_code.GRAMMAR, REAL.encode())
    monkeypatch.setattr(tree, "deadline", 0.0)
    with pytest.raises(syntax.ReadTimeoutError):
        list(islice(iter(lambda: tree.children(tree.root), None), 2000))


def test_a_search_upwards_ends_after_some_levels() -> None:
    data = b"var x = " + b"(" * 5000 + b"'a'" + b")" * 5000 + b";"
    tree = syntax.parse(dart_code.GRAMMAR, data)
    assert len(list(tree.ancestors(tree.strings[0]))) == syntax.MAX_LEVELS


def test_a_file_with_too_many_nodes_is_read_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syntax, "MAX_NODES", 1000)
    code = f"const pin = 'sha256/{KEY}';\nvar x = [{'a,' * 1000}'sha256/{KEY}'];\n"
    found = checked(code.encode())
    assert ["only its first part was read" in each.problem for each in found.unread] == [True]
    assert len(found.pins) == 1


def test_a_syntax_error_is_named_and_the_rest_is_read() -> None:
    found = read(f"const pin = 'sha256/{KEY}';\nclass {{ ( =;\nconst fingerprint = '{HEX}';\n")
    assert [str(each.place) for each in found.unread] == ["lib/a.dart:2"]
    assert len(found.pins) == 2


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tree_sitter_dart", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'certpin\[apps\]'"):
        read(f"const pin = '{KEY}';")


def test_a_file_without_pins_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tree_sitter", None)
    found = read("class Screen extends Widget { build(context) => Text('Keeping it simple'); }")
    assert found == FileFindings()


@pytest.mark.medium
def test_every_dart_file_of_this_repository_is_understood() -> None:
    root = Path(__file__).parents[4]
    files = [*root.glob("packages/**/*.dart"), *root.glob("examples/**/*.dart")]
    assert len(files) > 50
    for file in files:
        assert checked(file.read_bytes()).unread == [], file


def test_the_reader_is_documented() -> None:
    assert "MissingExtraError" in (read_dart.__doc__ or "")
