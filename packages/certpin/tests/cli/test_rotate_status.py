"""``certpin rotate status``: the keys at each server, and the next safe action."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import utc_now
from certpin.rotation import Event, format_journal
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli._rotating import JOURNAL, days_pass
from tests.cli._terminal import on_terminal
from tests.cli.conftest import HOST, Run

if TYPE_CHECKING:
    from certpin.pins import HostPolicy

DAY = timedelta(days=1)
OLD, NEW = Authority("Old").issue(HOST), Authority("New").issue(HOST)


def events(*added: Event) -> None:
    with JOURNAL.open("a", encoding="utf-8") as file:
        file.write(format_journal(added))


def rotating() -> HostPolicy:
    made = kit.policy(HOST, OLD.pin, NEW.pin, kit.NOBODY, expires=utc_now() + 90 * DAY)
    old, new, spare = made.pins
    spare = replace(spare, role="backup", state="published")
    return replace(made, pins=(old, replace(new, role="leaf"), spare))


@pytest.fixture
def halfway(run: Run) -> Run:
    """Prepare a rotation in which servers may use the new key since yesterday.

    One of two regions presents it. Return the function that runs commands.
    """
    write(rotating())
    pins = PinSet.load("pins.toml")
    when = utc_now() - 60 * DAY
    events(
        Event(when, "anna", "publish", version=3, pins=pins, clients=1200),
        Event(utc_now() - DAY, "anna", "activate", HOST, NEW.pin),
    )
    for name, identity in (("eu.pem", OLD), ("us.pem", NEW)):
        Path(name).write_bytes(identity.chain_pem)
    return run


SERVED = ("--offline", "--served", "eu.pem", "--served", "us.pem")


def test_regions_at_different_stages_are_side_by_side(halfway: Run) -> None:
    done = halfway("rotate", "status", *SERVED)
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    first, second = (f"  server {n}  file {name}" for n, name in ((2, "eu.pem"), (3, "us.pem")))
    assert {first, second} <= set(lines)
    start = next(at for at, line in enumerate(lines) if line.startswith("  key "))
    header, old, new, spare = lines[start : start + 4]
    assert header.split() == ["key", "role", "state", "server", "1", "2", "3"]
    assert old.split()[2:] == ["ACTIVE", ".", "x", "."]
    assert new.split()[2:] == ["ACTIVE", ".", ".", "x"]
    assert spare.split()[2:] == ["ADOPTED", ".", ".", "."]


def test_the_next_action_is_first_and_has_its_command(halfway: Run) -> None:
    done = halfway("rotate", "status", *SERVED)
    lines = done.out.splitlines()
    host = lines.index(HOST)
    assert lines[host + 1] == (f"  NEXT, now: install the certificate of {NEW.pin} at file eu.pem")
    everywhere = ("--offline", "--served", "us.pem")
    done = halfway("rotate", "status", *everywhere)
    lines = done.out.splitlines()
    host = lines.index(HOST)
    assert lines[host + 1] == f"  NEXT, now: take {OLD.pin} out of the pin file"
    assert lines[host + 2] == f"      certpin rotate finish {OLD.pin}"


def test_a_refused_action_has_its_reason(halfway: Run) -> None:
    done = halfway("rotate", "status", "--offline")
    assert "  NEXT, not safe yet: take " in done.out
    assert "    refused: it is unknown whether " in done.out


def test_a_version_waits_for_the_servers_of_the_other_hosts(run: Run) -> None:
    """It is for the whole pin file, so it is not safe at one host while another one refuses it."""
    other = "www.bank.example"
    policies = [kit.policy(HOST, OLD.pin), kit.policy(other, NEW.pin)]
    write(*policies)
    events(Event(utc_now() - 60 * DAY, "anna", "publish", version=3, pins=PinSet.load("pins.toml")))
    write(*(replace(each, match="ca") if each is policies[1] else each for each in policies))
    Path("old.pem").write_bytes(OLD.chain_pem)
    Path("new.pem").write_bytes(NEW.chain_pem)
    served = ("--offline", "--served", f"{HOST}=old.pem", "--served", f"{other}=new.pem")
    refused = run("rotate", "shipped", "4", *served, "--json").json["breaches"]
    assert {(each["host"], each["invariant"]) for each in refused} == {(other, "served-chain")}
    for host in run("rotate", "status", *served, "--json").json["hosts"]:
        (breach,) = host["next"]["breaches"]
        assert (host["next"]["act"], breach["invariant"]) == ("publish", "served-chain")
    # With one host named, the chain of the other one is not known.
    (only,) = run("rotate", "status", HOST, *served[:3], "--json").json["hosts"]
    assert only["next"]["breaches"] == []


def test_deadlines_are_announced_and_those_that_passed_too(halfway: Run) -> None:
    assert (
        "  DEADLINE: the pins of version 3 expire on " in halfway("rotate", "status", *SERVED).out
    )
    late = halfway("rotate", "status", *SERVED, "--opened", "200d")
    assert "  TOO LATE: the pins of version 3 expire on " in late.out


def test_what_is_too_late_is_not_announced_if_later_pins_are_out(run: Run) -> None:
    """The rule `expiry` names the forced update."""
    now = utc_now()
    for number, days in ((3, -1), (4, 400)):
        write(kit.policy(HOST, OLD.pin, expires=now + days * DAY))
        text = Path("pins.toml").read_text().replace("version = 3", f"version = {number}")
        Path("pins.toml").write_text(text)
        words = ("--app", "bank", "--release", f"{number}.0", "--offline", "--force")
        assert run("rotate", "shipped", str(number), *words, "--reason", "late").code == 0
    out = run("rotate", "status", "--offline").out
    assert "NOW: the pins of version 3 expire on " in out
    assert "TOO LATE" not in out
    assert "certpin rotate shipped 4 --app bank --release 4.0 --force-update DATE" in out


def test_the_json_has_the_servers_the_action_and_the_deadlines(halfway: Run) -> None:
    facts = halfway("rotate", "status", *SERVED, "--json").json
    _documented.check("rotation status", facts)
    [host] = facts["hosts"]
    assert [server["presents"] for server in host["servers"]] == [
        *([], [str(OLD.pin)], [str(NEW.pin)]),
    ]
    assert (host["next"]["act"], host["next"]["servers"]) == ("install", ["file eu.pem"])
    assert host["deadlines"][0]["version"] == 3


def test_a_stolen_key_leads_to_the_emergency(halfway: Run) -> None:
    events(Event(utc_now(), "anna", "compromise", HOST, OLD.pin))
    done = halfway("rotate", "status", *SERVED)
    assert f"certpin rotate emergency {OLD.pin} --stolen" in done.out
    assert (
        f"  STOLEN: {OLD.pin}: 1200 clients may accept the key; those with version 3 " in done.out
    )
    facts = halfway("rotate", "status", *SERVED, "--json").json
    assert facts["hosts"][0]["exposures"][0]["clients"] == 1200


def test_a_key_that_is_stolen_at_several_hosts_has_one_way_out(run: Run) -> None:
    """A version is for all of them: the path of one host ends with a version that is refused."""
    first, second, third = HOST, "pay.bank.example", "www.bank.example"
    shared = (kit.policy(each, OLD.pin, NEW.pin) for each in (first, second))
    write(*shared, kit.policy(third, NEW.pin))
    pins = PinSet.load("pins.toml")
    events(Event(utc_now() - 60 * DAY, "anna", "publish", version=3, pins=pins))
    assert run("rotate", "emergency", str(OLD.pin), "--stolen", "--offline").code == 0
    facts = run("rotate", "status", "--offline", "--json").json
    assert [each["next"]["act"] for each in facts["hosts"]] == ["emergency", "emergency", "start"]
    command = f"certpin rotate emergency {OLD.pin} --stolen --host {first} --host {second}"
    assert [each["next"]["commands"] for each in facts["hosts"][:2]] == [[command], [command]]


def test_the_command_of_a_switch_names_the_certificate_of_an_authority(run: Run) -> None:
    """By its pin, ``switch`` would take it for a server's key, which replaces the present one."""
    authority = Authority("Next")
    Path("next.pem").write_bytes(authority.pem)
    Path("old.pem").write_bytes(OLD.chain_pem)
    write(kit.policy(HOST, OLD.pin, NEW.pin))
    events(Event(utc_now() - 60 * DAY, "anna", "publish", version=3, pins=PinSet.load("pins.toml")))
    assert run("rotate", "start", "next.pem").code == 0
    served = ("--offline", "--served", "old.pem")
    assert run("rotate", "shipped", "4", *served).code == 0
    assert f"{HOST}\n  NEXT, not before " in run("rotate", "status", *served).out
    (host,) = run("rotate", "status", *served, "--json").json["hosts"]
    assert (host["next"]["pin"], host["next"]["commands"]) == (
        str(authority.pin),
        ["certpin rotate switch next.pem"],
    )


def test_the_switch_to_an_authority_is_checked_with_its_certificate(run: Run) -> None:
    """With only its pin, it is open whether clients accept it after the theft of a backup."""
    old, new = Authority("Old"), Authority("Next")
    server = old.issue(HOST)
    Path("roots.pem").write_bytes(old.pem + new.pem)
    Path("next.pem").write_bytes(new.pem)
    Path("served.pem").write_bytes(server.chain_pem + old.pem)
    write(kit.policy(HOST, server.pin, NEW.pin, kit.NOBODY), trust=Path("roots.pem"))
    events(Event(utc_now() - 60 * DAY, "anna", "publish", version=3, pins=PinSet.load("pins.toml")))
    served = ("--offline", "--served", "served.pem")
    assert run("rotate", "emergency", str(NEW.pin), "--stolen", *served).code == 0
    assert run("rotate", "start", "next.pem").code == 0
    assert run("rotate", "shipped", "4", *served).code == 0
    days_pass(40)
    (host,) = run("rotate", "status", *served, "--json").json["hosts"]
    assert host["next"]["commands"] == ["certpin rotate switch next.pem"]
    assert host["next"]["breaches"] == []
    assert run("rotate", "switch", str(new.pin), *served).code == 1
    assert run("rotate", "switch", "next.pem", *served).code == 0


def test_the_command_of_a_switch_names_the_chain_after_the_theft_of_a_backup(run: Run) -> None:
    """It may be the key of an authority, so the gate needs the chain of the new key."""
    Path("old.pem").write_bytes(OLD.chain_pem)
    write(kit.policy(HOST, OLD.pin, NEW.pin, kit.NOBODY))
    events(Event(utc_now() - 60 * DAY, "anna", "publish", version=3, pins=PinSet.load("pins.toml")))
    served = ("--offline", "--served", "old.pem")
    assert run("rotate", "emergency", str(NEW.pin), "--stolen", *served).code == 0
    assert run("rotate", "start", "--new", "next.key").code == 0
    assert run("rotate", "shipped", "4", *served).code == 0
    done = run("rotate", "status", *served)
    assert ": name the file of the new chain\n    " in done.out
    assert "    certpin rotate switch fullchain.pem\n" in done.out
    days_pass(40)
    (host,) = run("rotate", "status", *served, "--json").json["hosts"]
    assert (host["next"]["not_before"], host["next"]["breaches"]) == (None, [])
    assert host["next"]["commands"] == ["certpin rotate switch fullchain.pem"]


def test_a_lost_key_is_shown_as_such(halfway: Run) -> None:
    events(Event(utc_now(), "anna", "lose", HOST, kit.NOBODY))
    done = halfway("rotate", "status", *SERVED)
    assert "    LOST: no server can use it; clients may still accept it" in done.out


def test_many_servers_are_a_list(halfway: Run) -> None:
    tables = [
        f'\n[[host.server]]\naddress = "192.0.2.{n}"\nregion = "region-{n}"\n' for n in range(1, 9)
    ]
    with Path("pins.toml").open("a", encoding="utf-8") as file:
        file.writelines(tables)
    done = halfway("rotate", "status", "--offline")
    assert "  server 8  region-8: 192.0.2.8:443  (never seen)" in done.out.splitlines()
    assert not any(line.startswith("  key ") for line in done.out.splitlines())


def test_an_observation_of_the_journal_is_marked_as_old(halfway: Run) -> None:
    seen: dict[str, Any] = {"server": f"{HOST}:443"}
    events(Event(utc_now() - DAY, "anna", "observe", HOST, OLD.pin, **seen))
    done = halfway("rotate", "status", "--offline")
    assert f"  server 1  {HOST}:443  (? = last seen " in done.out
    row = next(line for line in done.out.splitlines() if str(OLD.pin)[:19] in line and " ?" in line)
    assert row.split()[-1] == "?"


@pytest.mark.medium
def test_a_usual_rotation_is_one_screen_of_80_columns(halfway: Run) -> None:
    code, out = on_terminal("rotate", "status", *SERVED, columns=80)
    lines = click.unstyle(out).splitlines()
    assert code == 0
    assert [line for line in lines if len(line) > 80 and "certpin " not in line] == []
    assert len(lines) < 40
