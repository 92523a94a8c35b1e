"""Check the texts of alert messages: wording, length limits, and escaping of active content."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies

from certpin_watch.alerts.message import (
    Format,
    Item,
    Message,
    clients_text,
    command_line,
    harmless,
    render,
)
from certpin_watch.store.alerts import AlertRow
from tests.watch.alerts._findings import HOST, NOW


def alert(summary: str = "it is wrong", **more: object) -> AlertRow:
    values: dict[str, object] = {
        "key": "k",
        "rule": "pin-mismatch",
        "severity": "critical",
        "host": HOST,
    }
    values |= {"pin_set": "bank-app", "summary": summary, "command": "certpin check"}
    values |= {"opened_at": NOW, "last_at": NOW, "id": 7}
    return AlertRow(**values | more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("clients", "text"),
    [
        (None, "The number of affected clients is unknown."),
        (0, "No clients are affected yet."),
        (1, "About 1 client is affected."),
        (1204, "About 1,204 clients are affected."),
    ],
)
def test_the_number_of_clients_agrees_with_its_noun(clients: int | None, text: str) -> None:
    assert clients_text(clients) == text


@given(strategies.text(max_size=300))
def test_no_character_that_a_service_acts_on_is_left(text: str) -> None:
    found = harmless(text, 100)
    assert len(found) <= 100
    assert found.isprintable()
    assert not [sign for sign in ("<", ">", "@", "`", "*", "|", "~", "://", "](") if sign in found]


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_a_digest_fits_into_the_limit_of_a_service(form: Format) -> None:
    items = tuple(Item("opened", alert("x" * 500, id=n)) for n in range(300))
    for room in (1000, 4000):
        assert len(render(Message(items, NOW, "https://watch.bank.example"), form, room)) <= room


def test_html_is_escaped_and_a_command_has_its_own_element() -> None:
    message = Message((Item("opened", alert("a & b", command="certpin check -f 'a&b'")),), NOW)
    text = render(message, "html", 5000)
    assert "<p>a &amp; b</p>" in text
    assert "<pre>certpin check -f &#x27;a&amp;b&#x27;</pre>" in text


def test_a_command_in_markdown_cannot_end_its_fence() -> None:
    message = Message((Item("opened", alert(command="certpin ```\nevil")),), NOW)
    text = render(message, "markdown", 5000)
    assert text.count("```") == 2
    assert "\nevil" not in text


def test_a_command_that_is_too_long_is_left_out() -> None:
    assert command_line("x" * 301) == ""


def test_a_title_is_one_line_of_limited_length() -> None:
    title = Message((Item("opened", alert(host="h\r\n" + "x" * 500)),), NOW).title
    assert len(title) <= 150
    assert title.isprintable()


def test_a_digest_is_sorted_by_severity_and_has_the_worst_kind() -> None:
    items = tuple(Item("opened", alert(s, severity=s)) for s in ("info", "critical", "warning"))
    message = Message(items, NOW)
    assert message.kind == "failure"
    lines = [line for line in render(message, "text", 5000).split("\n") if line.startswith("- ")]
    assert [line[2:].partition(":")[0] for line in lines] == ["critical", "warning", "info"]
