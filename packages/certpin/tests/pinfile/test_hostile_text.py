"""Any text gives a pin set, or a PinFileError with a line."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest
import tomlkit
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from certpin.errors import PinFileError
from certpin.pinfile import PinFileWarning, PinSet
from certpin.pinfile.places import line_of
from tests.pinfile._files import FULL, ONE, THREE, TWO, WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable


def _reads_or_says_where(text: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PinFileWarning)
            PinSet.parse(text, path="no-such-folder/pins.toml")
    except PinFileError as exc:
        error = exc
    else:
        return
    assert str(error).startswith("no-such-folder/pins.toml:")
    assert error.line is None or 1 <= error.line <= text.count("\n") + 1
    assert len(str(error)) < 2000


@pytest.mark.medium
@given(st.text())
@example("a = " + "{a=" * 500)
@example("a = " + "[" * 5000)
@example("schema=1\nx" + ".x" * 100_000 + "=1")
@example('schema=1\n"x"' + " . 'x'" * 100_000 + "=1")
@example("[x" + ".x" * 100_000 + "]")
@example("schema=1\nname=1\n" * 2)
@example("schema=" + "1" * 100_000)
@example("schema=0x" + "f" * 100_000)
@example("schema=1\nname=0x" + "f" * 100_000)
@example("schema=1e999\n")
@example("x=1979-05-27T00:32:00+99:99")
def test_any_text_is_read_or_refused(text: str) -> None:
    _reads_or_says_where(text)


LINES = FULL.splitlines(keepends=True)


@given(st.lists(st.sampled_from(LINES) | st.text("[]host.pin= \n\"'#{}", max_size=12), max_size=30))
def test_any_mixture_of_valid_lines_is_read_or_refused(lines: list[str]) -> None:
    _reads_or_says_where("".join(lines))


@st.composite
def damaged_files(draw: st.DrawFn) -> str:
    text = FULL
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(text) - 1))
        taken = draw(st.integers(0, 3))
        text = text[:place] + draw(st.text(max_size=3)) + text[place + taken :]
    return text


@given(damaged_files())
def test_a_damaged_file_is_read_or_refused(text: str) -> None:
    _reads_or_says_where(text)


# Values of each kind that TOML has, some of them right for some key.
SCALARS = st.one_of(
    st.text(max_size=20),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.booleans(),
    st.dates(),
    st.datetimes(),
    st.times(),
    st.sampled_from(
        ["enforce", "report", "any", "leaf", "backup", "active", "system", "a.example", "**.com"]
    ),
    st.sampled_from([str(pin) for pin in (ONE, TWO, THREE, WHOLE)]),
)
KEYS = st.sampled_from(
    [
        *("schema", "name", "version", "host", "debug", "mode", "match", "expires", "on_expiry"),
        *(
            "trust",
            "report_to",
            "pin",
            "role",
            "state",
            "note",
            "anchors",
            "other",
            "two words",
            "",
        ),
    ]
)
TABLES = st.recursive(
    st.dictionaries(KEYS, SCALARS, max_size=4),
    lambda inner: st.dictionaries(KEYS, SCALARS | inner | st.lists(inner | SCALARS, max_size=3)),
    max_leaves=20,
)


@pytest.mark.slow
@given(TABLES, st.sampled_from([{}, {"schema": 1}, {"schema": 1, "name": "n", "version": 1}]))
@settings(max_examples=200)
def test_any_tables_are_read_or_refused(table: dict[str, Any], head: dict[str, Any]) -> None:
    try:
        text = tomlkit.dumps({**table, **head})
    except (TypeError, ValueError):  # what tomlkit cannot write
        assume(False)
    _reads_or_says_where(text)


def _good() -> dict[str, Any]:
    hosts = [
        {
            "name": name,
            "mode": "enforce",
            "match": "any",
            "on_expiry": "report",
            "pin": [{"pin": str(ONE), "role": "leaf"}, {"pin": str(TWO), "note": "safe"}],
        }
        for name in ("a.example", "b.example")
    ]
    return {"schema": 1, "name": "n", "version": 1, "host": hosts}


# Each place of a good file for a wrong value, and the key that the error names.
PLACES: dict[str, Callable[[dict[str, Any]], tuple[dict[str, Any], str]]] = {
    "name": lambda data: (data, "name"),
    "version": lambda data: (data, "version"),
    "host[0].mode": lambda data: (data["host"][0], "mode"),
    "host[1].name": lambda data: (data["host"][1], "name"),
    "host[1].match": lambda data: (data["host"][1], "match"),
    "host[1].on_expiry": lambda data: (data["host"][1], "on_expiry"),
    "host[0].pin[0].pin": lambda data: (data["host"][0]["pin"][0], "pin"),
    "host[0].pin[1].note": lambda data: (data["host"][0]["pin"][1], "note"),
    "host[1].pin[0].role": lambda data: (data["host"][1]["pin"][0], "role"),
}
MARK = "mark-of-the-wrong-line"


@given(st.sampled_from(sorted(PLACES)), st.integers(0, 3), st.sampled_from(["\n", "\r\n"]))
def test_the_line_of_a_wrong_value_is_found(key: str, blank: int, newline: str) -> None:
    data = _good()
    table, name = PLACES[key](data)
    table[name] = [MARK]
    text = tomlkit.dumps(data).replace("\n", newline + newline * blank + "# x" + newline)
    (marked,) = [at for at, line in enumerate(text.split("\n"), 1) if MARK in line]
    with pytest.raises(PinFileError) as caught:
        PinSet.parse(text)
    assert (caught.value.key, caught.value.line) == (key, marked)


@given(st.text(max_size=200), st.text("host[0].pin1\"' ", max_size=20))
def test_line_of_never_raises(text: str, key: str) -> None:
    line = line_of(text, key)
    assert line is None or 1 <= line <= text.count("\n") + 1
