"""No step of a rotation relies only on this machine's clock. The servers are real nginx processes.

libfaketime moves the clock of certpin. The servers have the right time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab import Authority as LabAuthority
from certpin.lab.client import moved_clock
from certpin.pins import utc_now
from certpin.rotation import format_journal
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli._rotating import (
    DROPS_HOST,
    JOURNAL,
    QUICK,
    all_events,
    days_pass,
    invariants,
    journal,
    next_number,
    states,
    stepped,
)
from tests.cli.conftest import HOST, Run
from tests.servers.listeners import silent
from tests.servers.nginx import Nginx, nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Authority, Identity

pytestmark = [pytest.mark.peer("nginx"), pytest.mark.usefixtures("unconfirmed_clock")]

WHY = ("--reason", "tested")


@pytest.fixture(scope="module")
def lasting(intermediate: Authority) -> Identity:
    """Return a key with a chain that is valid for 1000 days."""
    return intermediate.issue(HOST, "127.0.0.1", days=1000)


@pytest.fixture
def server(lasting: Identity) -> Iterator[Nginx]:
    with nginx({HOST: lasting}) as running:
        yield running


def listed(port: int) -> None:
    """Make the pin file list the server on this local port, and no other."""
    path = Path("pins.toml")
    text = path.read_text(encoding="utf-8").partition("[[host.server]]")[0]
    path.write_text(f'{text}[[host.server]]\naddress = "127.0.0.1:{port}"\n', encoding="utf-8")


@pytest.fixture
def out(run: Run, ca: Path, lasting: Identity, server: Nginx) -> Run:
    """Publish version 3 a month ago, and add a new key to the next version a day ago.

    Return the function that runs commands.
    """
    write(kit.policy(HOST, lasting.pin, kit.NOBODY), trust=ca)
    listed(server.port)
    words = ("rotate", "shipped", "3", *QUICK, "--clients", "1200")
    assert run(*words).code == 0
    days_pass(30)
    assert run("rotate", "start", "--new", "new.key").code == 0
    days_pass(1)
    return run


def moved(by: timedelta, *words: str) -> tuple[int, dict[str, Any], str]:
    """Run certpin in a process with its clock ahead by ``by``, or behind if ``by`` is negative.

    Returns:
        The exit code, the JSON data, and standard error.
    """
    argv = [sys.executable, "-m", "certpin.cli.main", *words, "--json"]
    env = {**os.environ, **moved_clock(by)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.peer("faketime")
def test_a_publish_with_a_clock_that_is_behind_is_refused(out: Run) -> None:
    """The clock is half an hour behind. Only the server's date shows that."""
    before = JOURNAL.read_bytes()
    code, facts, errors = moved(timedelta(minutes=-30), "rotate", "shipped", next_number())
    assert (code, invariants(facts), facts["breaches"][0]["clients"]) == (1, ["clock"], 1200)
    assert "is 30m" in errors
    assert "behind that of" in errors
    assert JOURNAL.read_bytes() == before
    assert out("rotate", "shipped", next_number()).code == 0


@pytest.mark.peer("faketime")
def test_a_step_before_the_newest_entry_is_refused(out: Run) -> None:
    """The clock is 3 days behind, so the served chain is not yet valid and confirms no date."""
    code, facts, errors = moved(timedelta(days=-3), "rotate", "shipped", next_number())
    assert (code, invariants(facts)) == (1, ["clock", "served-chain"])
    assert "it seems to be 3d behind that of" in errors
    code, facts, _ = moved(timedelta(days=-3), "rotate", "finish", "new.key", "--offline")
    assert code == 2
    assert "later than the clock of this machine" in str(facts["error"])
    forced, facts, _ = moved(
        timedelta(days=-3), "rotate", "shipped", next_number(), "--offline", "--force", *WHY
    )
    assert (forced, [event.version for event in journal()[:2]]) == (0, [3, 4])


@pytest.mark.peer("faketime")
def test_a_clock_that_is_400_days_ahead_lets_no_version_end(out: Run) -> None:
    """Clients still use version 3, which refuses the new key."""
    assert out("rotate", "shipped", next_number()).code == 0
    code, facts, errors = moved(timedelta(days=400), "rotate", "switch", "new.key")
    assert (code, invariants(facts)) == (1, ["clock", "clock"])
    assert "ahead of that of" in errors
    code, facts, errors = moved(timedelta(days=400), "rotate", "switch", "new.key", "--offline")
    assert (code, invariants(facts)) == (1, ["clock"])
    assert "no client holds version 3 any more: no server confirmed the time" in errors
    assert "active" not in states()[2:]
    status = moved(timedelta(days=400), "rotate", "status", "--offline")[1]
    (new,) = (each for each in status["hosts"][0]["pins"] if each["state"] == "adopted"
              and each["role"] == "backup" and each["steps"][0]["breaches"])  # fmt: skip
    assert new["steps"][0]["breaches"][0]["invariant"] == "clock"


@pytest.mark.peer("faketime")
def test_an_entry_of_a_clock_that_was_ahead_is_repaired_by_one_step(out: Run) -> None:
    forced = ("--offline", "--force", *WHY)
    assert moved(timedelta(days=400), "rotate", "shipped", next_number(), *forced)[0] == 0
    refused, facts = stepped(out, "switch", "new.key")
    assert (refused.code, invariants(facts)[0]) == (1, "clock")
    assert "certpin rotate clock" in facts["breaches"][0]["fix"]

    [host] = out("rotate", "status", "--json").json["hosts"]
    assert (host["next"]["act"], host["next"]["commands"]) == ("clock", ["certpin rotate clock"])
    assert "correct the journal, because the newest entry" in host["next"]["text"]
    listed = out("rotate", "clock", "--json")
    _documented.check("rotation clock", listed.json)
    assert (listed.code, [each["version"] for each in listed.json["ahead"]]) == (1, [4])
    before = len(all_events())
    done = out("rotate", "clock", "--reason", "ada's laptop was a year ahead")
    assert (done.code, len(all_events())) == (0, before + 1)
    assert "They count as written on" in done.out

    [host] = out("rotate", "status", "--json").json["hosts"]
    assert host["next"]["act"] != "clock"
    refused, facts = stepped(out, "switch", "new.key")
    assert invariants(facts) == ["adopted"], "version 4 went out just now, so clients hold 3"
    assert out("rotate", "clock").code == 0
    lines = out("rotate", "history").out
    assert "reason: ada's laptop was a year ahead" in lines
    assert "(recorded as 20" in lines


@pytest.mark.peer("faketime")
def test_a_clock_that_no_server_confirms_repairs_nothing(out: Run) -> None:
    forced = ("--offline", "--force", *WHY)
    assert moved(timedelta(days=400), "rotate", "shipped", next_number(), *forced)[0] == 0
    before = JOURNAL.read_bytes()
    done = out("rotate", "clock", "--offline", *WHY)
    assert (done.code, "no server confirmed the time" in done.err) == (1, True)
    # The chain is valid half an hour ago: the server contradicts the clock.
    code, facts, _ = moved(timedelta(minutes=-30), "rotate", "clock", *WHY, "--force")
    assert (code, facts["corrected"], "behind that of" in facts["problem"]) == (1, False, True)
    assert JOURNAL.read_bytes() == before
    assert out("rotate", "clock", "--offline", *WHY, "--force").code == 0


def test_a_switch_that_depends_on_an_end_needs_a_date_or_force(
    out: Run, lasting: Identity, server: Nginx, tmp_path: Path
) -> None:
    """The servers don't speak HTTP, as with STARTTLS, so that no date confirms the clock."""
    assert out("rotate", "shipped", next_number()).code == 0
    days_pass(12)
    certificate, key = lasting.write(tmp_path, "server")
    with silent(certificate, key) as port:
        listed(port)
        gone = ("rotate", "gone", f"127.0.0.1:{server.port}", *WHY, "--force")
        assert out(*gone).code == 0
        assert out("rotate", "switch", str(lasting.pin)).code == 0, "nothing ended for it"
        refused, facts = stepped(out, "switch", "new.key")
        assert (refused.code, invariants(facts)) == (1, ["clock"])
        assert "such as that of fetch_url in publish/publish.toml" in facts["breaches"][0]["fix"]
        forced, _ = stepped(out, "switch", "new.key", "--force", *WHY)
        assert (forced.code, journal()[-1].reason) == (0, "tested")


def test_a_date_of_a_server_is_enough(out: Run) -> None:
    assert out("rotate", "shipped", next_number()).code == 0
    days_pass(12)
    assert out("rotate", "switch", "new.key", "--offline").code == 1
    assert out("rotate", "switch", "new.key").code == 0
    assert journal()[-1].reason == ""


def test_the_update_repository_confirms_the_clock(
    out: Run, server: Nginx, trusted_root: Path
) -> None:
    """The host's server sends no date. The HTTPS server of the signed pin sets does."""
    assert out("rotate", "shipped", next_number()).code == 0
    days_pass(12)
    folder = Path("publish")
    folder.mkdir()
    settings = folder / "publish.toml"
    assert out("rotate", "gone", f"127.0.0.1:{server.port}", *WHY, "--force").code == 2, "listed"
    listed(9)
    assert out("rotate", "gone", f"127.0.0.1:{server.port}", *WHY, "--force").code == 0
    for text in ('fetch_url = "https://127.0.0.1:9/"', "not TOML"):
        settings.write_text(text, encoding="utf-8")
        facts = stepped(out, "switch", "new.key")[1]
        assert invariants(facts) == ["clock"]
        silent_host = "127.0.0.1, the host of fetch_url, gave none over a verified connection"
        assert (silent_host in facts["breaches"][0]["fix"]) == ("https" in text)
    settings.write_text(f'fetch_url = "https://127.0.0.1:{server.port}/"\n', encoding="utf-8")
    assert invariants(stepped(out, "switch", "new.key", "--offline")[1]) == ["clock"]
    assert stepped(out, "switch", "new.key")[0].code == 0


def test_a_step_records_the_servers_that_it_contacted(
    out: Run, server: Nginx, lasting: Identity
) -> None:
    (first,) = (event for event in all_events() if event.step == "observe")
    assert (first.server, first.pin) == (f"127.0.0.1:{server.port}", lasting.pin)
    before = JOURNAL.read_bytes()
    for words in (("status",), ("plan", "--to", "new.key"), ("clock",)):
        assert out("rotate", *words).code == 0
    refused, _ = stepped(out, "switch", "new.key")
    assert (refused.code, JOURNAL.read_bytes() == before) == (1, True), "nothing was changed"
    server.use(HOST, LabAuthority("Stranger").issue(HOST))
    assert stepped(out, "shipped", next_number(), "--force", *WHY)[0].code == 0
    last = [event for event in all_events() if event.step == "observe"][-1]
    assert last.problem
    assert last.pin != lasting.pin


def test_a_wrong_clock_does_not_hide_the_way_out_of_an_emergency(
    out: Run, lasting: Identity
) -> None:
    (begun,) = (event for event in journal() if event.step == "generate")
    ahead = replace(begun, time=utc_now() + timedelta(days=400), who="eve")
    with JOURNAL.open("a", encoding="utf-8") as file:
        file.write(format_journal([ahead]))
    refused = out("rotate", "finish", "new.key")
    assert (refused.code, "later than the clock of this machine" in refused.err) == (2, True)
    done = out("rotate", "emergency", str(lasting.pin), "--stolen", "--json")
    assert (done.json["recorded"], done.json["problem"]) == (True, None)
    assert "clock" not in str(done.json["hosts"])


@pytest.mark.peer("faketime")
@pytest.mark.parametrize("days", [-20, 400])
def test_with_a_wrong_clock_an_emergency_is_recorded_and_judges_nothing(
    out: Run, lasting: Identity, days: int
) -> None:
    """Behind, no version seems to be out yet. Ahead, the pins of all clients seem to be expired."""
    words = ("rotate", "emergency", str(lasting.pin), "--stolen")
    code, facts, _ = moved(timedelta(days=days), *words)
    assert (code, facts["recorded"], journal()[-1].step) == (1, True, "compromise")
    assert (facts["hosts"], facts["safe"], facts["problem"]) == ([], False, facts["clock"])
    argv = [sys.executable, "-m", "certpin.cli.main", *words]
    env = {**os.environ, **moved_clock(timedelta(days=days))}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    first, second, *_ = done.stdout.splitlines()
    assert first.startswith("RECORDED: ")
    assert second.startswith("SET THE CLOCK of this machine, and run this again: ")
    for text in ("accept the key", "No published version", "shipped", "rotate switch", "in order"):
        assert text not in done.stdout
    assert out("rotate", "clock", *WHY).code == 0
    right = out(*words, "--json")
    assert (right.code, right.json["clock"], len(right.json["hosts"])) == (0, None, 1)


@pytest.mark.peer("faketime")
def test_a_clock_after_the_end_of_all_certificates_is_doubted(out: Run, lasting: Identity) -> None:
    """No chain verifies then, so that the servers' dates prove nothing; but they are a hint."""
    ahead = timedelta(days=2000)
    words = ("rotate", "emergency", str(lasting.pin), "--stolen")
    code, facts, _ = moved(ahead, *words)
    hint = next(each for each in facts["unknown"] if "clock" in each)
    assert hint.startswith("whether the clock of this machine is right: it seems to be ")
    assert "2000d ahead of that of " in hint
    argv = [sys.executable, "-m", "certpin.cli.main", *words]
    env = {**os.environ, **moved_clock(ahead)}
    text = subprocess.run(argv, env=env, capture_output=True, text=True, check=False).stdout
    assert "CHECK THE CLOCK of this machine first" in text.partition("LOCKED OUT")[0]
    code, facts, _ = moved(ahead, "rotate", "status")
    assert (code, hint in facts["unknown"]) == (1, True)
    code, facts, _ = moved(timedelta(0), "rotate", "status")
    assert not [each for each in facts["unknown"] if "clock" in each]


def test_a_host_that_only_an_ended_version_has_needs_a_date(
    run: Run, ca: Path, lasting: Identity, intermediate: Authority, server: Nginx
) -> None:
    """The certificate is also for a host that version 4 dropped; version 3 refuses it there."""
    api = kit.policy(HOST, lasting.pin, kit.NOBODY)
    write(api, kit.policy("www.bank.example", kit.NOBODY, kit.NOBODY_ELSE), trust=ca)
    assert run("rotate", "shipped", "3", *QUICK, "--offline").code == 0
    days_pass(30)
    write(api, trust=ca)
    text = Path("pins.toml").read_text(encoding="utf-8").replace("version = 3", "version = 4")
    Path("pins.toml").write_text(text, encoding="utf-8")
    assert run("rotate", "shipped", "4", "--offline", *DROPS_HOST).code == 0
    days_pass(12)
    names = (HOST, "www.bank.example")
    chain = intermediate.issue(*names, key=lasting.key)
    Path("fullchain.pem").write_bytes(chain.chain_pem)
    refused, facts = stepped(run, "switch", "fullchain.pem", "--offline")
    assert (refused.code, invariants(facts)) == (1, ["clock"])
    assert facts["breaches"][0]["host"] == "www.bank.example"
    listed(server.port)
    assert stepped(run, "switch", "fullchain.pem")[0].code == 0


def test_a_dropped_host_has_not_expired_only_by_the_clock_of_this_machine(
    run: Run, ca: Path, lasting: Identity, intermediate: Authority, server: Nginx
) -> None:
    """If this machine's clock is ahead, clients still compare the pins of the dropped host."""
    api = kit.policy(HOST, lasting.pin, kit.NOBODY)
    expired = {"expires": utc_now() - timedelta(hours=2), "on_expiry": "fail-open"}
    www = kit.policy("www.bank.example", kit.NOBODY, kit.NOBODY_ELSE, **expired)
    write(api, www, trust=ca)
    assert run("rotate", "shipped", "3", *QUICK, "--offline").code == 0
    days_pass(1)
    write(api, trust=ca)
    chain = intermediate.issue(HOST, "www.bank.example", key=lasting.key)
    Path("fullchain.pem").write_bytes(chain.chain_pem)
    refused, facts = stepped(run, "switch", "fullchain.pem", "--offline")
    assert (refused.code, invariants(facts)) == (1, ["clock"])
    assert "only the clock of this machine says that the pins of version 3 have expired" in (
        refused.err
    )
    listed(server.port)
    assert stepped(run, "switch", "fullchain.pem")[0].code == 0


def test_a_wrong_clock_is_reported_once_for_all_hosts(
    run: Run, ca: Path, lasting: Identity
) -> None:
    hosts = (HOST, "www.bank.example")
    write(*(kit.policy(host, lasting.pin, kit.NOBODY) for host in hosts), trust=ca)
    assert run("rotate", "shipped", "3", "--offline").code == 0
    days_pass(-2)
    done, facts = stepped(run, "start", "--new", "new.key")
    assert (done.code, invariants(facts), Path("new.key").exists()) == (1, ["clock"] * 2, False)
    assert done.err.count("later than the clock of this machine") == 1
    assert f"refused: {HOST}, www.bank.example: the newest entry" in done.err
