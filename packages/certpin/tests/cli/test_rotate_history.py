"""``certpin rotate history``: prints the events of the journal as text and as JSON."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from certpin.pins import PinSet
from certpin.rotation import Event, format_journal
from certpin.rotation.journal import StepName
from tests import kit
from tests.cli import _documented
from tests.cli._rotating import JOURNAL
from tests.cli._terminal import on_terminal
from tests.rotation._situations import HOST, pin, pin_set

if TYPE_CHECKING:
    from certpin.pins import State
    from tests.cli.conftest import Run

BEGIN = datetime(2027, 3, 1, 9, 0, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
AB: dict[str, State] = {"a": "active", "b": "published"}
PUBLISHED = Event(BEGIN, "anna", "publish", version=1, pins=pin_set(AB), clients=1200)
STAGED = Event(BEGIN + HOUR, "bert", "stage", HOST, pin("c"), note="key file c.key")
NEXT = Event(
    BEGIN + 2 * HOUR,
    "anna",
    "publish",
    version=2,
    signed=True,
    pins=pin_set({**AB, "c": "published"}, 2),
)
FORCED = Event(BEGIN + 3 * HOUR, "bert", "activate", HOST, pin("c"), reason="the old key is lost")


def write(*events: Event) -> None:
    JOURNAL.write_text(format_journal(events), encoding="utf-8")


def test_each_event_is_a_line_and_the_newest_is_last(run: Run) -> None:
    write(FORCED, PUBLISHED, STAGED, NEXT)
    done = run("rotate", "history")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "2027-03-01 09:00:05 UTC  anna  version 1 published (fetched, 1200 clients); "
        f"{HOST}: +{pin('a')} +{pin('b')}\n"
        f"2027-03-01 10:00:05 UTC  bert  {HOST}: STAGED {pin('c')} (key file c.key)\n"
        "2027-03-01 11:00:05 UTC  anna  version 2 published (signed, to be pushed); "
        f"{HOST}: +{pin('c')}\n"
        f"2027-03-01 12:00:05 UTC  bert  {HOST}: ACTIVE {pin('c')}, forced: the old key is lost\n"
    )


def test_the_json_has_every_field(run: Run) -> None:
    write(PUBLISHED, STAGED, FORCED)
    done = run("rotate", "history", "--json")
    _documented.check("rotation history", done.json)
    assert [event["step"] for event in done.json["events"]] == ["publish", "stage", "activate"]
    assert done.json["events"][2]["reason"] == "the old key is lost"


def test_an_invalid_pin_file_is_not_read(run: Run) -> None:
    write(PUBLISHED)
    Path("pins.toml").write_text("not TOML", encoding="utf-8")
    assert run("rotate", "history").code == 0
    JOURNAL.unlink()
    done = run("rotate", "history")
    assert (done.code, done.out) == (0, "pins.journal.jsonl has no event.\n")


def test_only_the_events_of_a_host_are_printed(run: Run) -> None:
    other = Event(BEGIN, "anna", "stage", "*.shops.example", pin("d"))
    write(PUBLISHED, STAGED, other)
    steps = [
        event["pin"] for event in run("rotate", "history", "--host", HOST, "--json").json["events"]
    ]
    assert steps == [None, str(pin("c"))]
    covered = run("rotate", "history", "--host", "www.shops.example", "--json").json["events"]
    assert [event["pin"] for event in covered] == [str(pin("d"))]
    none = run("rotate", "history", "--host", "www.bank.example")
    assert none.out == "pins.journal.jsonl has no event of www.bank.example.\n"


def test_a_version_with_another_pattern_is_compared_with_the_policies_of_its_hosts(
    run: Run,
) -> None:
    old = kit.policy("*.bank.example", pin("a"), pin("b"))
    new = kit.policy("**.bank.example", pin("a"), pin("c"))
    write(
        replace(PUBLISHED, pins=PinSet("bank", 1, (old,))),
        replace(NEXT, pins=PinSet("bank", 2, (new,))),
    )
    _, second = run("rotate", "history").out.splitlines()
    assert second.endswith(f"**.bank.example: +{pin('c')} -{pin('b')}")
    versions = [
        event["version"]
        for event in run("rotate", "history", "--host", "**.bank.example", "--json").json["events"]
    ]
    assert versions == [1, 2]


def test_contradictions_are_marked_at_their_events(run: Run) -> None:
    write(PUBLISHED, Event(BEGIN + HOUR, "bert", "retire", HOST, pin("b")))
    done = run("rotate", "history")
    first, event, mark = done.out.splitlines()
    assert done.code == 1
    assert "CONTRADICTION" not in first + event
    assert mark == (f"  CONTRADICTION: {HOST}: bert made {pin('b')} RETIRING, but it was PUBLISHED")
    assert run("rotate", "history", "--json").json["events"][1]["contradictions"]


@pytest.mark.parametrize("field", ["who", "note", "reason"])
def test_hostile_texts_are_escaped(run: Run, field: str) -> None:
    text = "\x1b[2Jall is well\n2027-03-01 09:00:05 UTC  eve\u202e"
    write(replace(STAGED, **{field: text}))  # type: ignore[arg-type]  # a text field
    done = run("rotate", "history")
    assert len(done.out.splitlines()) == 1
    assert "\\x1b[2Jall is well\\n2027" in done.out
    assert "\x1b" not in done.out
    assert "\u202e" not in done.out


@pytest.mark.parametrize("step", get_args(StepName))
def test_every_step_has_a_text(run: Run, step: StepName) -> None:
    write(
        Event(
            BEGIN,
            "anna",
            step,
            HOST,
            pin("b"),
            version=1,
            pins=pin_set(AB) if step == "publish" else None,
            server="192.0.2.7:443" if step in {"observe", "gone"} else "",
            lines=("a" * 64,) if step == "clock" else (),
        )
    )
    done = run("rotate", "history", "--json")
    assert done.json["events"][0]["text"]
    assert "None" not in done.json["events"][0]["text"]


@pytest.mark.medium
def test_a_terminal_shows_short_pins_and_folds_lines(run: Run) -> None:
    write(PUBLISHED, STAGED)
    code, out = on_terminal("rotate", "history", columns=80)
    assert f"{str(pin('c'))[:16]}…" in out
    assert (code, str(pin("c")) in out) == (0, False)
    assert all(len(line) <= 80 for line in out.splitlines())
