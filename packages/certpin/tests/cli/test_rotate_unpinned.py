"""Rotations at a host that no version which clients may hold has.

The gate allows each key there: clients without a policy for the host compare no pins, and strict
clients refuse the host with every key. But apps may pin the host in a version that was never
recorded. So no command may say that every client accepts a key there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import HostPin, Pin
from certpin.rotation import contradictions
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli._rotating import history, next_number, record_signed, ship_long_ago, stepped
from tests.cli.conftest import HOST, Run

if TYPE_CHECKING:
    from certpin.pins import HostPolicy

OFFLINE = ("--offline",)
OTHER = "pay.bank.example"
LEAF, BACKUP, SPARE = kit.NOBODY_ELSE, kit.NOBODY, Pin("sha256", bytes(range(7, 39)))
QUESTION = (
    f"which keys installed apps accept at {OTHER}, because no version that clients may hold has "
    "this host: give version 4 to the clients and record it (certpin rotate shipped 4) "
    "before servers switch"
)
CLAIM = "very client accepts"


def draft(*policies: HostPolicy, **fields: Any) -> None:
    """Write version 4, which no client has."""
    write(*policies, **fields)
    text = Path("pins.toml").read_text(encoding="utf-8")
    Path("pins.toml").write_text(text.replace("version = 3", "version = 4"), encoding="utf-8")


@pytest.fixture
def out(run: Run) -> Run:
    """Publish version 3 a hundred days ago, and draft version 4, which adds a host.

    Return the function that runs commands.
    """
    write(kit.policy(HOST, LEAF, BACKUP))
    ship_long_ago(run)
    draft(kit.policy(HOST, LEAF, BACKUP), kit.policy(OTHER, LEAF, SPARE))
    return run


def conclusions(facts: dict[str, Any]) -> dict[int, str]:
    return {each["version"]: each["conclusion"] for each in facts["conclusions"]}


def test_start_asks_for_the_record_of_the_version_with_the_host(out: Run) -> None:
    words = ("rotate", "start", "--new", "new.key", "--host", OTHER)
    done = out(*words)
    assert (done.code, CLAIM in done.out) == (0, False)
    assert f"Not known: {QUESTION}." in done.out
    _, facts = stepped(out, "start", "new.key", "--host", OTHER)
    assert facts["unknown"] == [QUESTION]
    assert facts["next"] == "certpin rotate shipped 4"
    assert facts["later"] == f"certpin rotate switch new.key --host {OTHER}"
    assert facts["later_from"] is None


def test_switch_is_allowed_and_says_that_no_version_has_pins(out: Run) -> None:
    assert out("rotate", "start", "--new", "new.key", "--host", OTHER).code == 0
    words = ("new.key", "--host", OTHER, *OFFLINE)
    done = out("rotate", "switch", *words)
    assert (done.code, CLAIM in done.out) == (0, False)
    assert "is ACTIVE: no recorded pins refuse it." in done.out
    assert f"{OTHER}: version 3 has no pins for it." in done.out
    assert f"Not known: {QUESTION}." in done.out
    assert "Next:  certpin rotate shipped 4\n" in done.out
    assert contradictions(history()) == ()
    again, facts = stepped(out, "switch", *words)
    assert (conclusions(facts), facts["unknown"][-1]) == ({3: "unpinned"}, QUESTION)
    assert CLAIM not in out("rotate", "switch", *words).out
    assert again.err == ""


def test_switch_is_certain_once_a_version_with_the_host_is_recorded(out: Run) -> None:
    assert out("rotate", "shipped", "4", *OFFLINE).code == 0
    words = (str(SPARE), "--host", OTHER, *OFFLINE)
    _, facts = stepped(out, "switch", *words)
    assert conclusions(facts) == {3: "unpinned", 4: "accepted"}
    assert QUESTION not in facts["unknown"]
    done = out("rotate", "switch", *words)
    assert "is ACTIVE already: every client accepts it" in done.out
    assert f"{OTHER}: version 3 has no pins for it." in done.out


def test_a_key_for_a_recorded_host_too_is_not_accepted_by_every_client(out: Run) -> None:
    draft(kit.policy(HOST, LEAF, BACKUP), kit.policy(OTHER, LEAF, BACKUP))
    done = out("rotate", "switch", str(BACKUP), *OFFLINE)
    assert (done.code, CLAIM in done.out) == (0, False)
    assert f"{HOST}: version 3 accepts it." in done.out
    assert f"Not known: {QUESTION}." in done.out


def test_a_key_that_the_pin_file_lacks_is_to_be_started(out: Run) -> None:
    words = (str(Authority("x").pin), "--host", OTHER, *OFFLINE)
    done = out("rotate", "switch", *words)
    assert (done.code, "so it needs no pin" in done.out, CLAIM in done.out) == (0, False, False)
    assert "pins.toml has no pin of it: start it first" in done.out


def test_a_chain_under_the_authority_of_the_draft_needs_no_pin(
    out: Run, trusted_root: Path, root: Authority
) -> None:
    ca = root.intermediate("ca")
    new = kit.policy(OTHER, LEAF, SPARE)
    draft(
        kit.policy(HOST, LEAF, BACKUP),
        replace(new, pins=(HostPin(ca.pin, "intermediate"), HostPin(SPARE, "backup"))),
    )
    Path("fullchain.pem").write_bytes(ca.issue(OTHER).chain_pem)
    done = out("rotate", "switch", "fullchain.pem", *OFFLINE)
    assert (done.code, CLAIM in done.out) == (0, False)
    assert "clients with the next version accept the authorities above it" in done.out


def test_status_and_plan_know_no_version_with_the_key(out: Run) -> None:
    assert out("rotate", "start", "--new", "new.key", "--host", OTHER).code == 0
    shown = out("rotate", "status", OTHER, *OFFLINE, "--json").json
    states = {pin["pin"]: pin["state"] for host in shown["hosts"] for pin in host["pins"]}
    assert states[str(PinSet.load("pins.toml").policies[1].pins[-1].pin)] == "staged"
    planned = out("rotate", "plan", "--to", "new.key", "--host", OTHER, *OFFLINE, "--json")
    _documented.check("rotation plan", planned.json)
    assert planned.json["unknown"][-1] == QUESTION


def test_signed_sets_are_signed_and_pushed(run: Run) -> None:
    write(kit.policy(HOST, LEAF, BACKUP))
    record_signed()
    draft(kit.policy(HOST, LEAF, BACKUP), kit.policy(OTHER, LEAF, SPARE))
    assert next_number() == "4"
    _, facts = stepped(run, "start", str(SPARE), "--host", OTHER)
    assert "record it (certpin publish sign KEY… and certpin publish push)" in facts["unknown"][0]
