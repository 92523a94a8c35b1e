"""The reader of the table of policies in exported source code, whatever code is around it."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certpin.errors import FormatError
from certpin.formats import Source, _languages
from certpin.formats._languages import DART, JAVA
from certpin.formats.code import read_table
from certpin.formats.parsed import read_timestamp, row
from certpin.pins import Pin
from tests.formats._sets import KEYS, REPORTS, anchors
from tests.kit import policy

if TYPE_CHECKING:
    from certpin.formats._languages import Language
    from certpin.formats.parsed import ParsedFile

GO = f"""\
// certpin pin set "bank", version 7
type policy struct {{
	pattern string
	pins    []string
}}
var policies = []policy{{
	{{
		pattern: "api.bank.example", // "not this"
		match:   "leaf",
		pins: []string{{"{KEYS[0]}", "{KEYS[1]}"}},
	}},
	{{pattern: "**.pay.example", mode: "report", pins: []string{{"{KEYS[2]}"}},
		expires: "2027-06-01T00:00:00Z", onExpiry: "fail-open",
		reportTo: []string{{"{REPORTS[0]}"}}}},
}}
func find(host string) string {{ pins := "nothing"; return p.pattern + "expires" + pins }}
"""


def read(text: str, language: Language = _languages.GO) -> ParsedFile:
    return read_table(Source(text.encode(), lambda path: path.encode()), language)


def test_only_the_rows_of_the_table_are_read() -> None:
    found = read(GO)
    assert (found.name, found.version) == ("bank", 7)
    first, second = found.hosts
    assert (first.pattern, first.match, first.mode, first.pins) == (
        *("api.bank.example", "leaf", "enforce"),
        KEYS[:2],
    )
    assert (second.pattern, second.match, second.mode) == ("**.pay.example", "any", "report")
    assert (second.expires, second.on_expiry) == (datetime(2027, 6, 1, tzinfo=UTC), "fail-open")
    assert (second.pins, second.report_to) == ((KEYS[2],), (REPORTS[0],))


def test_a_comment_of_dart_can_contain_comments() -> None:
    row = f"pattern: 'x.example', pins: ['{KEYS[0]}']"
    text = f"/* /* old */ ({row}); */ ({row.replace('x.', 'y.')});"
    assert [each.pattern for each in read(text, DART).hosts] == ["y.example"]
    assert [each.pattern for each in read(text, JAVA).hosts] == ["x.example", "y.example"]


@pytest.mark.parametrize(
    "spelling", ["Pattern = 'x.example', Pins = ['{}']", 'pattern:"x.example",pins:["{}"]']
)
def test_case_and_separator_of_fields_are_ignored(spelling: str) -> None:
    [found] = read("(" + spelling.replace("{}", str(KEYS[0])) + ")").hosts
    assert (found.pattern, found.pins) == ("x.example", (KEYS[0],))


def test_a_row_omits_empty_fields() -> None:
    full = policy(
        "a.example", expires=datetime(2027, 6, 1, tzinfo=UTC), trust=anchors()[0], report_to=REPORTS
    )
    assert list(row(policy("a.example"))) == ["pattern", "mode", "match", "pins"]
    assert list(row(full)) == [
        *("pattern", "mode", "match", "pins", "expires", "onExpiry", "trust", "reportTo")
    ]


@pytest.mark.parametrize(
    ("row_of", "problem"),
    [
        ('pattern: "a.example", pins: ["md5/x"]', "is not a pin"),
        ('pattern: "a.example", mode: "lax"', "'lax' is not a valid mode"),
        ('pattern: "a.example", match: "root"', "'root' is not a valid match"),
        ('pattern: "a.example", expires: "soon"', "'soon' is not a date"),
        ('pattern: "a.example", trust: "no certificate"', "trust anchors cannot be read"),
    ],
)
def test_invalid_fields_are_refused(row_of: str, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        read("{" + row_of + "}")


def test_a_date_without_zone_is_utc() -> None:
    assert read_timestamp("2027-06-01") == datetime(2027, 6, 1, tzinfo=UTC)
    assert read_timestamp("2027-06-01T02:00:00+02:00") == datetime(2027, 6, 1, tzinfo=UTC)
    with pytest.raises(FormatError):
        read_timestamp("0001-01-01T00:00:00+14:00")


def test_other_pin_notations_are_read() -> None:
    text = f'{{pattern: "a.example", pins: ["{str(KEYS[0]).replace("/", "//", 1)}"]}}'
    assert read(text).hosts[0].pins == (Pin.parse(str(KEYS[0])),)


@pytest.mark.parametrize("computed", [f"{KEYS[0]}\\n", "${pin}"])
def test_computed_fields_are_refused(computed: str) -> None:
    with pytest.raises(FormatError, match=r"line 10: the string .* is computed"):
        read(GO.replace(str(KEYS[0]), computed))
    # Strings of other code have no effect.
    [first, _] = read(f'{GO}log("{computed}")').hosts
    assert first.pins == KEYS[:2]


def parts(text: str) -> list[tuple[int, int]]:
    """Return the start and the end of each string and each word of the table in a Go file."""
    table = text.index("{", text.index("[]policy"))
    end = text.index("func find")
    found = re.finditer(r'"[^"]*"|[a-zA-Z]+:', text[table:end])
    return [(table + each.start(), table + each.end()) for each in found if "not" not in each[0]]


def test_no_value_of_a_policy_is_skipped() -> None:
    """A skipped pin locks clients out, and a skipped compromised key is accepted again."""
    for start, end in parts(GO):
        part = GO[start:end]
        computed = ("x", "x()", "a.b", "1", f"x + {part}", f"{part} + x", f'{part} "b"')
        for instead in (*computed, f"{part}, x"):
            with pytest.raises(FormatError, match=r"^line \d+: .* is not written literally"):
                read(GO[:start] + instead + GO[end:])


@pytest.mark.parametrize("entry", ["more...,", "...more,", "policyOf(x),", "x, ", "#if DEBUG\n"])
def test_a_computed_policy_in_the_list_is_refused(entry: str) -> None:
    """The client accepts its pins, too."""
    for at in (GO.index("{\n\t\tpattern"), GO.index('{pattern: "**')):
        with pytest.raises(FormatError, match=r"^line \d+: an entry of the list of policies"):
            read(GO[:at] + entry + GO[at:])


@pytest.mark.parametrize("end", ["", "}", "}, x", "}, {", "}, {pattern: 'b.example'"])
def test_a_list_that_is_not_closed_is_refused(end: str) -> None:
    with pytest.raises(FormatError, match="line 2: the bracket is not closed"):
        read(f"\n[{{pattern: 'a.example', pins: ['{KEYS[0]}']{end}")


def test_the_order_of_the_fields_is_ignored() -> None:
    text = f'[{{pins: ["{KEYS[0]}"], mode: "report", Pattern: "a.example"}}]'
    [found] = read(text).hosts
    assert (found.pattern, found.pins, found.mode) == ("a.example", KEYS[:1], "report")


@pytest.mark.parametrize(
    "value",
    [
        "new[] {{{}}}",
        "new string[] {{ {}, }}",
        "new List<string> {{{}}}",
        "const <String>[{}]",
        "[]string{{{}}}",
    ],
)
def test_the_type_of_a_list_may_precede_it(value: str) -> None:
    pins = value.format(f'"{KEYS[0]}"')
    [found] = read(f'{{pattern: "a.example", pins: {pins}}}').hosts
    assert found.pins == KEYS[:1]


@pytest.mark.parametrize(
    "code",
    [
        "if (x) {{ string pattern = 'a.example'; string pins = '{}'; }}",
        "func f() {{ pattern := 'a.example'; use({}) }}",
        "new Error({{host: host, pattern: policy.pattern, chain: ['{}']}})",
        "type Policy = {{pattern: string; pins: string[]}}; // {}",
    ],
)
def test_other_code_is_no_policy(code: str) -> None:
    with pytest.raises(FormatError, match=r"^the file contains no pins of a certpin export"):
        read(code.format(KEYS[0]))


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["{", "{pattern: 'a',", "[{pattern: 'a'}", "(pins: [", "['a',"])
def test_deep_brackets_take_linear_time(piece: str) -> None:
    with suppress(FormatError):
        read(piece * 100_000)
