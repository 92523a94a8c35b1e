"""``certpin rotate simulate``: simulated plans, mistakes and schedules of a rotation."""

from __future__ import annotations

import itertools
import re
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from certpin.cli.rotate.simulate import script_of_plan
from certpin.lab import Authority
from certpin.rotation import format_journal, parse_duration, plan
from certpin.rotation.fleet import Fleet
from certpin.rotation.simulate import simulate
from scripts import simulation_picture as example
from tests.cli._pinfiles import write
from tests.cli._rotating import JOURNAL, journal, next_number
from tests.cli._simulating import (
    BACKUP,
    FEW,
    NEXT,
    SERVED,
    of_step,
    publish,
    schedule,
    simulated,
)
from tests.cli._terminal import on_terminal
from tests.cli.conftest import HOST, Run
from tests.rotation._situations import pin
from tests.rotation.test_plan_safety import OTHERS, situations

if TYPE_CHECKING:
    from certpin.rotation import Situation

TO_NEXT = ("--to", str(NEXT))
PAGE = Path(__file__).parents[4] / "docs/guides/rotate.md"


@pytest.fixture
def out(run: Run) -> Run:
    publish(run)
    return run


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_plan_locks_no_client_out_and_has_the_steps_of_rotate_plan(out: Run) -> None:
    done, facts = simulated(out, *TO_NEXT)
    (host,) = facts["hosts"]
    assert (done.code, host["locked_out"], host["lockouts"]) == (0, 0, [])
    planned = out("rotate", "plan", *TO_NEXT, "--offline", "--json").json["hosts"][0]["steps"]
    assert [step["act"] for step in host["steps"]] == [step["act"] for step in planned]
    serve = of_step(facts, 4)
    (date,) = [step["not_before"] for step in planned if step["not_before"]]
    assert abs(moment(serve["at"]) - moment(date)) < timedelta(minutes=5)
    assert serve["safe_from"] == serve["at"]
    assert {step["version"] for step in host["steps"]} == {None, 4, 5}


def test_an_early_step_locks_out_clients_without_the_version(out: Run) -> None:
    done, facts = simulated(out, *TO_NEXT, "--move", "4=-5d")
    serve = of_step(facts, 4)
    assert done.code == 1
    assert 20 <= serve["locked_out"] < 200
    assert serve["first"] == serve["at"]
    assert moment(serve["safe_from"]) == moment(serve["at"]) + timedelta(days=5)
    assert serve["last"] == serve["safe_from"]
    (lockout,) = facts["hosts"][0]["lockouts"]
    assert (lockout["event"], lockout["step"]) == ("serve", 4)
    said = out("rotate", "simulate", *FEW, *TO_NEXT, "--move", "4=-5d")
    assert f"{serve['locked_out']} of 2,000 clients (" in said.out
    assert "are locked out by step 4, from " in said.out
    assert "; safe from " in said.out


def test_the_safe_date_is_that_of_the_slowest_client(out: Run) -> None:
    """Few simulated clients need all of T_adopt, and a real fleet may have more such clients."""
    words = (*TO_NEXT, "--move", "4=-5d", "--stragglers", "0%", "--curve", "100%=9d")
    facts = simulated(out, *words)[1]
    serve, published = of_step(facts, 4), of_step(facts, 2)
    adopt = parse_duration(facts["fleet"]["timing"]["adopt"])
    assert moment(serve["safe_from"]) == moment(published["at"]) + adopt
    said = out("rotate", "simulate", *FEW, *words).out
    shown = re.search(r"; safe from (\S+ \S+) UTC", said)
    assert shown is not None
    # The second run is a little later, and the text rounds up to the minute.
    later = moment(f"{shown[1]}+00:00") - moment(serve["safe_from"])
    assert timedelta(0) <= later < timedelta(minutes=5)


def test_a_late_step_locks_no_client_out(out: Run) -> None:
    assert simulated(out, *TO_NEXT, "--move", "4=2d12h", "--move", "7=+3d")[0].code == 0


def test_the_course_has_the_hours_in_which_something_changes(out: Run) -> None:
    _, facts = simulated(out, *TO_NEXT, "--move", "4=-5d")
    (host,) = facts["hosts"]
    course = host["course"]
    assert course[0]["at"] == host["begin"]
    assert course[0]["held"] == [{"version": 3, "clients": 2000}]
    assert course[-1]["held"] == [{"version": 5, "clients": 2000}]
    assert all(sum(held["clients"] for held in hour["held"]) == 2000 for hour in course)
    assert host["peak"] in course
    assert host["peak"]["locked_out"] == max(hour["locked_out"] for hour in course)
    for before, after in itertools.pairwise(course):
        assert {**before, "at": None} != {**after, "at": None}


def test_the_fleet_follows_the_options(out: Run) -> None:
    words = ("--curve", "50%=1d,100%=4d", "--stragglers", "2.5%", "--poll", "2h")
    _, facts = simulated(out, *TO_NEXT, *words)
    fleet = facts["fleet"]
    assert fleet["curve"] == [{"share": 0.5, "gap": "1d"}, {"share": 1.0, "gap": "4d"}]
    assert (fleet["stragglers"], fleet["timing"]["poll"]) == (0.025, "2h")
    assert fleet["timing"]["adopt"] == "10d3h"
    said = out("rotate", "simulate", *FEW, *TO_NEXT, *words).out
    assert "2,000 clients; T_adopt 10d3h: cdn 0s + " in said
    assert "opened by 50% within 1d, 100% within 4d" in said
    assert "for 2.5%." in said


def test_the_number_of_clients_is_that_of_the_last_publish(run: Run) -> None:
    publish(run, "--clients", "321")
    facts = run("rotate", "simulate", *TO_NEXT, "--offline", "--json").json
    assert facts["fleet"]["clients"] == 321


def test_clients_of_a_binary_are_locked_out_to_the_end(out: Run) -> None:
    binary = replace(journal()[-1], bundled=True, clients=None)  # of an unknown app
    JOURNAL.write_text(format_journal([*journal(), binary]), encoding="utf-8")
    impossible = out("rotate", "simulate", *FEW, *TO_NEXT)
    assert (impossible.code, "there is no plan to" in impossible.err) == (2, True)
    assert "certpin rotate shipped 3 --ended" in " ".join(impossible.err.split())
    steps = schedule(
        f'act = "stage"\npin = "{NEXT}"',
        'act = "publish"',
        f'act = "serve"\npin = "{NEXT}"\nafter = "40d"',
    )
    _, usual = simulated(out, "--steps", steps)
    assert usual["fleet"]["binaries"] == [{"version": 3, "share": 0.01}]
    _, more = simulated(out, "--steps", steps, "--binary", "3=25%")
    serve = of_step(more, 3)
    assert 450 < serve["locked_out"] < 550
    assert serve["safe_from"] is None
    assert serve["last"] == more["hosts"][0]["end"]
    said = out("rotate", "simulate", *FEW, "--steps", steps).out
    assert "no date makes that safe" in said
    assert "to the end of the simulation (" in said
    assert simulated(out, "--steps", steps, "--binary", "3=0%")[0].code == 0


def test_a_binary_has_the_clients_of_its_publish(run: Run) -> None:
    publish(run, "--clients", "500")
    binary = replace(journal()[0], bundled=True)
    JOURNAL.write_text(format_journal([binary]), encoding="utf-8")
    assert run("rotate", "start", str(NEXT)).code == 0
    assert run("rotate", "shipped", next_number(), "--offline").code == 0
    _, facts = simulated(run, "--steps", schedule('act = "publish"'))
    assert facts["fleet"]["binaries"] == [{"version": 3, "share": 0.25}]


@pytest.mark.medium
def test_in_a_wrong_order_the_publish_is_the_cause(out: Run) -> None:
    steps = schedule(
        f'act = "stage"\npin = "{NEXT}"',
        'act = "publish"',
        f'act = "serve"\npin = "{NEXT}"\nafter = "40d"',
        f'act = "remove"\npin = "{SERVED}"\nafter = "20d"',
        'act = "publish"',
    )
    _, facts = simulated(out, "--steps", steps)
    assert facts["schedule"] == "steps.toml"
    assert [step["number"] for step in facts["hosts"][0]["steps"]] == [1, 2, 4, 5, 3]
    late = of_step(facts, 5)
    assert late["locked_out"] > 1900
    assert late["safe_from"] == of_step(facts, 3)["at"]
    assert (late["version"], of_step(facts, 4)["noticed"]) == (5, False)


def test_expired_pins_are_reported_with_a_fix(out: Run) -> None:
    path = Path("pins.toml")
    from certpin.pins import utc_now

    text = path.read_text(encoding="utf-8")
    end = f"{utc_now() + timedelta(days=60):%Y-%m-%d}"
    path.write_text(text.replace("on_expiry", f"expires = {end}\non_expiry"), encoding="utf-8")
    steps = schedule('act = "publish"', 'act = "publish"\nafter = "70d"')
    done = out("rotate", "simulate", *FEW, "--steps", steps)
    assert done.code == 1
    assert "(100 %) are locked out by the expiry of the pins of version 4" in done.out
    assert "publish a version with a later expires" in done.out


def test_clients_that_are_locked_out_already_are_reported(out: Run) -> None:
    identity = Authority("Some Root").issue(HOST)
    Path("chain.pem").write_bytes(identity.chain_pem)
    steps = schedule('act = "publish"')
    done = out("rotate", "simulate", *FEW, "--steps", steps, "--served", "chain.pem")
    assert (done.code, "locked out by the keys that are served already" in done.out) == (1, True)
    assert "assumed to be" not in done.out


def test_assumptions_are_reported(out: Run) -> None:
    done = out("rotate", "simulate", *FEW, *TO_NEXT)
    assert "Not known: which keys are served now, because no server was contacted." in done.out
    assert "assumed to be the keys that are ACTIVE in the file" in done.out
    text = Path("pins.toml").read_text(encoding="utf-8")
    Path("pins.toml").write_text(text.replace('"active"', '"published"'), encoding="utf-8")
    done = out("rotate", "simulate", *FEW, *TO_NEXT)
    assert "no client is refused before a step installs a key" in done.out


def test_nothing_is_written(out: Run) -> None:
    before = {path: path.read_bytes() for path in Path().iterdir()}
    simulated(out, *TO_NEXT)
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_each_host_has_its_result(run: Run) -> None:
    publish(run, hosts=(HOST, "other.example"))
    words = ("--to", str(BACKUP))
    _, facts = simulated(run, *words)
    assert [host["host"] for host in facts["hosts"]] == [HOST, "other.example"]
    picture = run("rotate", "simulate", *FEW, *words, "--plot", "x.svg")
    assert (picture.code, "--host" in picture.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "--to"),
        ((*TO_NEXT, "--steps", "steps.toml"), "not both"),
        ((*TO_NEXT, "--move", "9=1d"), "there is no step 9"),
        ((*TO_NEXT, "--move", "3=1d"), "clients don't notice step 3"),
        ((*TO_NEXT, "--move", "4=-11d"), "before the beginning of the simulation"),
        ((*TO_NEXT, "--move", "4=1d", "--move", "4=2d"), "--move"),
        ((*TO_NEXT, "--move", "4"), "--move"),
        ((*TO_NEXT, "--move", "4=soon"), "--move"),
        ((*TO_NEXT, "--move", "4=3650d"), "would take more than 3650d"),
        ((*TO_NEXT, "--clients", "0"), "--clients"),
        ((*TO_NEXT, "--stragglers", "101%"), "--stragglers"),
        ((*TO_NEXT, "--stragglers", "1"), "--stragglers"),
        ((*TO_NEXT, "--curve", "50%=1d"), "end it with 100%"),
        ((*TO_NEXT, "--curve", "50%=2d,100%=1d"), "does not rise"),
        ((*TO_NEXT, "--curve", "50%"), "--curve"),
        ((*TO_NEXT, "--curve", "100%=99d"), "slower than the delays allow"),
        ((*TO_NEXT, "--binary", "3=1%"), "no binary with version 3 is recorded"),
        ((*TO_NEXT, "--binary", "3"), "--binary"),
        ((*TO_NEXT, "--binary", "x=1%"), "--binary"),
        ((*TO_NEXT, "--binary", "3=1%", "--binary", "3=2%"), "--binary"),
        (("--to", "no-such-file"), "names no key"),
    ],
)
def test_meaningless_options_are_refused(out: Run, words: tuple[str, ...], problem: str) -> None:
    done = out("rotate", "simulate", *FEW, *words)
    assert (done.code, problem in done.err) == (2, True), done.err


def test_a_simulation_needs_a_published_version(run: Run) -> None:
    from tests import kit

    write(kit.policy(HOST, SERVED, BACKUP))
    done = run("rotate", "simulate", *FEW, *TO_NEXT)
    assert (done.code, "has no published version" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("package", "words"), [("numpy", ()), ("matplotlib", ("--plot", "picture.svg"))]
)
def test_a_missing_package_is_named_before_any_work(
    out: Run, monkeypatch: pytest.MonkeyPatch, package: str, words: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    done = out("rotate", "simulate", *FEW, *TO_NEXT, *words)
    assert (done.code, f"needs the package {package}" in done.err) == (2, True)
    assert "pip install 'certpin[simulate]'" in done.err


@pytest.mark.slow
@given(situations(), st.sampled_from(OTHERS), st.integers(0, 100))
@settings(suppress_health_check=[HealthCheck.filter_too_much])
def test_no_plan_of_the_planner_locks_a_client_out(
    situation: Situation, to: str, percent: int
) -> None:
    made = plan(situation, pin(to))
    assume(made.possible and not made.broken)  # else clients may be locked out before it
    script = script_of_plan(situation, made, {}, {})
    ends = [release.end for release in (*script.releases, *script.binaries) if release.end]
    script = replace(script, until=min([script.until, *ends]))  # a plan ends there
    fleet = Fleet(9, situation.timing, stragglers=Fraction(percent, 100))
    assert simulate(script, fleet).lockouts == ()


@pytest.mark.medium
def test_the_documented_example_matches_the_output(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(*example.example().policies)
    text = Path("pins.toml").read_text(encoding="utf-8").replace("version = 3", "version = 11")
    Path("pins.toml").write_text(text, encoding="utf-8")
    _publish_at(example.OUT)
    Path("c.key").write_bytes(Authority("c").issue(HOST).key_pem)
    monkeypatch.setattr("certpin.pins.utc_now", lambda: example.BEGIN)
    block = PAGE.read_text(encoding="utf-8").partition("$ certpin rotate simulate")[2]
    block = block.partition("```")[0]
    command, _, expected = block.partition("\n")
    done = run("rotate", "simulate", *command.split(), "--offline")
    lines = [line.rstrip() for line in done.out.splitlines() if not line.startswith("Not known")]
    assert done.code == 1, done.err
    shown = [line.rstrip() for line in expected.strip().splitlines()]
    assert shown.count("…") == 4
    at = iter(lines)  # the page leaves lines out
    assert [line for line in shown if line != "…" and line not in at] == []
    assert b"22,271 of 1,000,000 clients" in Path("early.svg").read_bytes()


def _publish_at(moment: datetime) -> None:
    from certpin.rotation import AdoptionDelays, Event, format_journal

    pins = example.example()
    event = Event(moment, "ada", "publish", version=11, timing=AdoptionDelays(), pins=pins)
    Path("pins.journal.jsonl").write_text(format_journal([event]), encoding="utf-8")


@pytest.mark.slow
def test_only_a_wide_terminal_gets_a_chart(out: Run) -> None:
    words = ("rotate", "simulate", "--offline", "--clients", "1100000", *TO_NEXT, "--move", "4=-5d")
    code, wide = on_terminal(*words, columns=100)
    assert code == 1
    assert "simulating" in wide  # the progress bar of a large fleet
    lines = wide.splitlines()
    (bars,) = [line for line in lines if line.startswith("locked out  ")]
    assert "█" in bars
    (marks,) = [line for line in lines if line.startswith("steps ")]
    assert marks.split()[1:] == ["2", "4", "7"]
    assert all(len(line) <= 100 for line in lines if line.startswith("version "))
    assert "its highest bar is " in wide
    _, narrow = on_terminal(*words, columns=50)
    assert "highest bar" not in narrow
