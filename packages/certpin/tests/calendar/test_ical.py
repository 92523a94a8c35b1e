"""The calendar in iCalendar format: valid by RFC 5545, as a parser of these tests reads it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.calendar import CalendarEvent, to_ical

NOW = datetime(2026, 11, 28, 12, 0, 1, tzinfo=UTC)
EVENT = CalendarEvent(
    date(2027, 4, 15),
    "root",
    "api.bank.example",
    "scheduled sha256/abc",
    "the pinned root leaves",
    "pin another",
    date(2023, 1, 24),
    "https://a.example/b",
)


def _read(text: str) -> list[tuple[str, str]]:
    """Return the properties of an iCalendar text as (name, unescaped value).

    Fail unless the lines have valid lengths, characters and names.
    """
    assert text.endswith("\r\n")
    raw = text.encode().split(b"\r\n")[:-1]
    assert all(len(line) <= 75 for line in raw)
    assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", b"".join(raw))
    assert all(line.decode() for line in raw)  # no character is split
    lines = text.replace("\r\n ", "").split("\r\n")[:-1]
    found = []
    for line in lines:
        name, colon, value = line.partition(":")
        assert colon, line
        assert re.fullmatch(r"[A-Z-]+(;VALUE=DATE)?", name)
        found.append((name, _unescape(name, value)))
    return found


def _unescape(name: str, value: str) -> str:
    if name not in {"SUMMARY", "DESCRIPTION"}:
        return value
    assert not re.search(r"(?<!\\)(?:\\\\)*[;,]", value), "not escaped"
    assert not re.search(r"(?<!\\)(?:\\\\)*\\[^\\;,n]", value), "no escape of the RFC"
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], value)


def test_an_event_has_the_fields_that_programs_need() -> None:
    lines = _read(to_ical([EVENT], "bank", NOW))
    assert lines[:2] == [("BEGIN", "VCALENDAR"), ("VERSION", "2.0")]
    assert lines[-1] == ("END", "VCALENDAR")
    inside = dict(lines[lines.index(("BEGIN", "VEVENT")) : lines.index(("BEGIN", "VALARM"))])
    assert inside == {
        "BEGIN": "VEVENT",
        "UID": EVENT.uid("bank"),
        "DTSTAMP": "20261128T120001Z",
        "DTSTART;VALUE=DATE": "20270415",
        "SUMMARY": "api.bank.example: the pinned root leaves",
        "DESCRIPTION": (
            "The pinned root leaves\nfix: pin another\nsource: https://a.example/b (2023-01-24)"
        ),
        "CATEGORIES": "root",
        "URL": "https://a.example/b",
        "TRANSP": "TRANSPARENT",
    }


def test_a_certificate_without_an_end_has_an_event() -> None:
    """Its date is the last day of RFC 5280 section 4.1.2.5, 9999-12-31."""
    text = to_ical([replace(EVENT, day=date(9999, 12, 31))], "bank", NOW)
    assert ("DTSTART;VALUE=DATE", "99991231") in _read(text)


def test_the_uid_stays_while_texts_and_dates_change() -> None:
    changed = replace(EVENT, day=date(2028, 1, 1), text="it leaves later", fix="wait")
    assert changed.uid("bank") == EVENT.uid("bank")
    assert EVENT.uid("bank") == "78a73e41-6be1-5963-9f8c-5ae19699d200"
    others = {
        replace(EVENT, **{field: "other"}).uid("bank")  # type: ignore[arg-type]
        for field in ("kind", "host", "subject")
    }
    assert len({*others, EVENT.uid("bank"), EVENT.uid("shop")}) == 5


def test_a_fact_without_a_date_is_left_out() -> None:
    assert ("BEGIN", "VEVENT") not in _read(to_ical([replace(EVENT, day=None)], "bank", NOW))


def test_an_event_of_all_hosts_has_the_name_of_the_pin_set() -> None:
    text = to_ical([replace(EVENT, host="")], "bank", NOW)
    assert ("SUMMARY", "bank: the pinned root leaves") in _read(text)


@pytest.mark.parametrize("text", ["a, b; c\\d", "\\n", "two\nlines", "ü" * 80, "\x00\x1b[31m\x7f"])
def test_special_characters_are_escaped_and_lines_folded(text: str) -> None:
    (summary,) = (
        value
        for name, value in _read(to_ical([replace(EVENT, text=text)], "bank", NOW))
        if name == "SUMMARY"
    )
    expected = text.replace("\x00", "\\x00").replace("\x1b", "\\x1b").replace("\x7f", "\\x7f")
    assert summary == f"api.bank.example: {expected}"


@pytest.mark.medium
@given(text=st.text(max_size=300), fix=st.text(max_size=300), name=st.text(max_size=100))
def test_no_text_breaks_the_syntax(text: str, fix: str, name: str) -> None:
    lines = _read(to_ical([replace(EVENT, text=text, fix=fix)], name, NOW))
    assert [value for key, value in lines if key == "BEGIN"] == ["VCALENDAR", "VEVENT", "VALARM"]
