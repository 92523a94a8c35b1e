"""The schedule files of ``certpin rotate simulate``: valid ones are read, others are refused."""

from __future__ import annotations

import inspect
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from certpin import Pin
from certpin.cli.choices import DELAYS
from certpin.cli.rotate.simulate import simulate
from certpin.cli.rotate.simulate_input import parse_steps, read_steps
from certpin.errors import ConfigError, PinFileError
from certpin.lab import Authority
from certpin.pinfile.file import Table
from certpin.rotation.simulate_script import MAX_STEPS
from certpin.support.text import LONGEST_DURATION
from tests.cli._rotating import record_signed
from tests.cli._simulating import FEW, NEXT, SERVED, publish, schedule
from tests.cli.conftest import HOST, Run
from tests.documentation._blocks import blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.rotation.simulate_script import DatedStep

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
PIN = f'pin = "{NEXT}"'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def steps(*tables: str) -> tuple[DatedStep, ...]:
    return read_steps(schedule(*tables), NOW)[0]


def test_each_step_has_its_act_key_and_date() -> None:
    found = steps(
        f'act = "stage"\n{PIN}',
        'act = "publish"\nat = 2027-03-02',
        f'act = "serve"\n{PIN}\nat = 2027-04-01T12:00:00+02:00',
        f'act = "remove"\n{PIN}\nafter = "1d12h"',
        'act = "publish"',
    )
    assert [dated.number for dated in found] == [1, 2, 3, 4, 5]
    assert [dated.step.act for dated in found] == ["stage", "publish", "serve", "remove", "publish"]
    assert [dated.step.pin for dated in found] == [NEXT, None, NEXT, NEXT, None]
    assert [dated.at for dated in found] == [
        NOW,
        datetime(2027, 3, 2, tzinfo=UTC),
        datetime(2027, 4, 1, 10, tzinfo=UTC),
        NOW + timedelta(hours=36),
        NOW + timedelta(hours=36),
    ]
    assert all(dated.at.tzinfo is UTC for dated in found)


def test_a_key_may_be_a_file_beside_the_schedule_or_a_new_one() -> None:
    Path("plans").mkdir()
    identity = Authority("Some Root").issue(HOST)
    Path("plans/c.key").write_bytes(identity.key_pem)
    words = ("c.key", "new:2028", "new:2028", "new:2029")
    path = schedule(*(f'act = "stage"\npin = "{word}"' for word in words))
    path = path.rename("plans/steps.toml")
    found, names = read_steps(path, NOW)
    pins = [dated.step.pin for dated in found]
    assert pins[0] == identity.pin
    assert pins[1] == pins[2] != pins[3]
    assert list(names.values()) == ["c.key", "new:2028", "new:2029"]


def example_of_the_page() -> str:
    (example,) = blocks("reference/commands/rotate-simulate.notes.md")
    return example.text


def example_of_the_help_text() -> str:
    text = inspect.cleandoc((simulate.help or "").partition("schedule.toml --clients")[2])
    return text.partition("\b\n")[2].partition("\n\n")[0]


def test_the_documented_example_is_read() -> None:
    Path("steps.toml").write_text(example_of_the_page(), "utf-8")
    Path("old.key").write_bytes(Authority("Some Root").issue(HOST).key_pem)
    found, _ = read_steps(Path("steps.toml"), NOW)
    assert [dated.step.act for dated in found] == ["stage", "publish", "serve", "remove", "publish"]


def test_the_example_of_the_help_text_is_read() -> None:
    Path("steps.toml").write_text(example_of_the_help_text(), "utf-8")
    found, _ = read_steps(Path("steps.toml"), NOW)
    assert [dated.step.act for dated in found] == ["stage", "publish", "serve"]


@pytest.mark.parametrize("text", [example_of_the_page, example_of_the_help_text])
def test_a_documented_schedule_locks_no_client_out(run: Run, text: Callable[[], str]) -> None:
    """It is right on every day, and with the delays that certpin takes by default."""
    publish(run)
    Path("steps.toml").write_text(text().replace("old.key", str(SERVED)), "utf-8")
    usual = [word for name, delay in DELAYS.items() for word in (f"--{name}", delay)]
    done = run("rotate", "simulate", *FEW, "--steps", "steps.toml", *usual)
    assert (done.code, "No client is locked out" in done.out) == (0, True), done.out + done.err


BROKEN = {
    "no date but a time without a zone": ("at = 2027-04-01T12:00:00", "has no zone", "at"),
    "a date in quotes": ('at = "2027-04-01"', "is not allowed for", "at"),
    "a time of day": ("at = 12:00:00", "is not allowed for", "at"),
    "two dates": ('at = 2027-04-01\nafter = "1d"', "there is a date too", "after"),
    "the end of time": ("at = 9999-12-31T23:59:59-12:00", "not in the years 1 to 9999", "at"),
    "the beginning of time": ("at = 0001-01-01T00:00:00+12:00", "not in the years 1 to 9999", "at"),
    "the next century": ("at = 2200-01-01T00:00:00Z", "too far away", "at"),
    "a delay that is none": ('after = "soon"', "not a duration", "after"),
    "a number for a delay": ("after = 3", "is not allowed for", "after"),
    "a delay of a life": ('after = "9999d"', "too long", "after"),
    "a misspelt key": ('aftre = "1d"', "'aftre' is not a known key", ""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_invalid_date_is_reported_with_its_line(name: str) -> None:
    text, problem, key = BROKEN[name]
    with pytest.raises(PinFileError, match=problem) as caught:
        steps(f'act = "serve"\n{PIN}', f'act = "publish"\n{text}')
    assert caught.value.path == "steps.toml"
    assert caught.value.key == (f"step[1].{key}" if key else "step[1]")
    assert caught.value.line is not None
    assert caught.value.line > 4
    assert caught.value.fix


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "act: it is missing"),
        ('act = "compromise"', "act"),
        ("act = 1", "act"),
        ('act = "serve"', "pin: it is missing"),
        ('act = "serve"\npin = 1', "pin"),
        ('act = "serve"\npin = "sha256/AA"', "names no key"),
        ('act = "serve"\npin = "new:"', "names no key"),
        ('act = "serve"\npin = "a\\u0000b"', "names no key"),
        ('act = "serve"\npin = "steps.toml"', "names no key"),
        ('act = "serve"\npin = "pkcs11:token=t?module-path=/x.so"', "name a key by a URI"),
        ('act = "serve"\npin = "awskms:alias/next"', "name a key by a URI"),
        (f'act = "publish"\n{PIN}', "publish has no pin"),
    ],
)
def test_an_invalid_step_is_reported(text: str, problem: str) -> None:
    with pytest.raises(PinFileError, match=problem):
        steps(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "schema: it is missing"),
        ("schema = 2\n[[step]]", "reads schema 1"),
        ("schema = 1", "there are 0 steps"),
        ("schema = 1\nstep = 3", r"step: a number is not allowed for.*\n.*\[\[step\]\]"),
        ("schema = 1\nstep = [1]", "this must be a table"),
        ("schema = 1\nhost = 1\n[[step]]", "'host' is not a known key"),
        ("schema = 1\n" + "[[step]]\nact='publish'\n" * (MAX_STEPS + 1), "501 steps"),
        ("schema", "it is not TOML"),
        ("a." * 99 + "a = 1", "too many parts"),
    ],
)
def test_an_invalid_schedule_is_reported(text: str, problem: str) -> None:
    Path("steps.toml").write_text(text, encoding="utf-8")
    with pytest.raises(PinFileError, match=problem) as caught:
        read_steps(Path("steps.toml"), NOW)
    assert caught.value.path == "steps.toml"


def test_a_missing_file_is_reported_with_the_place_of_the_example() -> None:
    with pytest.raises(PinFileError, match="cannot be read") as caught:
        read_steps(Path("nothing.toml"), NOW)
    assert caught.value.fix == "certpin help rotate simulate has an example"


def test_removing_a_misspelt_pin_is_an_error(run: Run) -> None:
    publish(run)
    path = schedule(f'act = "remove"\n{PIN}', 'act = "publish"')
    done = run("rotate", "simulate", *FEW, "--steps", path)
    assert (done.code, "which is never in the draft" in done.err) == (2, True)


def test_a_push_without_a_pending_version_is_reported(run: Run) -> None:
    publish(run)
    done = run("rotate", "simulate", *FEW, "--steps", schedule('act = "push"'))
    assert (done.code, "no version to push" in done.err) == (2, True)


def test_a_pending_version_is_pushed(run: Run) -> None:
    publish(run)
    assert run("rotate", "start", str(NEXT)).code == 0
    record_signed()
    path = schedule('act = "push"\nafter = "1d"')
    facts = run("rotate", "simulate", *FEW, "--steps", path, "--json").json
    (step,) = facts["hosts"][0]["steps"]
    assert (step["act"], step["version"], step["locked_out"]) == ("push", 4, 0)
    path = schedule('act = "publish"', 'act = "push"\nafter = "1d"')
    said = run("rotate", "simulate", *FEW, "--steps", path).out
    assert "push a version that no client takes" in said


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.dates()
    | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
STEPS = st.dictionaries(
    st.sampled_from(["act", "pin", "at", "after", "x"]),
    st.sampled_from(["publish", "serve", "stage", str(NEXT), "1d", "9w"]) | VALUES,
)


@pytest.mark.slow
@given(st.fixed_dictionaries({"schema": st.just(1) | VALUES, "step": VALUES | st.lists(STEPS)}))
@example({"schema": 1, "step": [{"act": "publish", "at": datetime.max.replace(tzinfo=UTC)}]})
@example({"schema": 1, "step": [{"act": [], "at": {}}]})
def test_any_toml_is_read_or_a_typed_error(top: Any) -> None:
    try:
        found = parse_steps(Table(top), NOW, Pin.parse)
    except ConfigError:
        return
    assert 1 <= len(found) <= MAX_STEPS
    assert all(abs(dated.at - NOW) <= LONGEST_DURATION for dated in found)


@pytest.mark.medium
@given(st.text() | st.text("[]{}=\"'.\n#act1", max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_read_or_a_typed_error(text: str) -> None:
    Path("steps.toml").write_bytes(text.encode("utf-8", errors="replace"))
    with pytest.raises(PinFileError):
        read_steps(Path("steps.toml"), NOW)


def test_a_file_of_bytes_is_a_typed_error() -> None:
    Path("steps.toml").write_bytes(b"\xff\x00")
    with pytest.raises(PinFileError, match="not UTF-8"):
        read_steps(Path("steps.toml"), NOW)


def test_numbers_of_any_length_are_typed_errors(run: Run) -> None:
    publish(run)
    digits = "9" * (sys.get_int_max_str_digits() + 1)
    for words in (("--move", f"{digits}=1d"), ("--binary", f"{digits}=1%")):
        assert run("rotate", "simulate", *FEW, "--to", str(NEXT), *words).code == 2
