"""Rotation commands for several hosts, some with servers that do not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import APP, JOURNAL, QUICK, days_pass, invariants, journal, stepped
from tests.cli.conftest import HOST, Run
from tests.servers.nginx import Nginx, nginx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.lab import Authority, Identity

pytestmark = [pytest.mark.peer("nginx")]

DEAD = ("one.bank.example", "two.bank.example")


@pytest.fixture
def server(identity: Identity) -> Iterator[Nginx]:
    """Start the server of ``HOST``. A test can change the key that it presents."""
    with nginx({HOST: identity}) as running:
        yield running


@pytest.fixture
def words(server: Nginx) -> tuple[str, ...]:
    """Return the options with which ``HOST`` answers, and no server of ``DEAD``."""
    addresses = {HOST: server.port} | dict.fromkeys(DEAD, 9)
    connects = (f"--connect={host}=127.0.0.1:{port}" for host, port in addresses.items())
    return (*connects, "--timeout", "1")


@pytest.fixture
def out(run: Run, ca: Path, identity: Identity) -> Run:
    """Publish a pin file with all hosts a month ago. Return the function that runs commands."""
    write(*(kit.policy(host, identity.pin, kit.NOBODY) for host in (HOST, *DEAD)), trust=ca)
    assert run("rotate", "shipped", "3", *QUICK, "--offline").code == 0
    days_pass(30)
    return run


def test_every_server_that_does_not_answer_is_named(out: Run, words: tuple[str, ...]) -> None:
    done = out("rotate", "shipped", "3", *APP, *words)
    assert done.code == 3
    assert all(f"{host}:443: no connection to 127.0.0.1 port 9" in done.err for host in DEAD)
    assert "--offline" in done.err
    assert "--force --reason" in done.err
    error = out("rotate", "shipped", "3", *APP, *words, "--json").error
    assert (error["type"], error["host"]) == ("DialError", DEAD[0])
    assert DEAD[1] in error["message"]


@pytest.mark.parametrize("command", ["plan", "simulate"])
def test_a_command_that_only_reads_names_them_too(
    out: Run, words: tuple[str, ...], command: str
) -> None:
    done = out("rotate", command, "--to", str(kit.NOBODY), *words)
    assert (done.code, all(host in done.err for host in DEAD)) == (3, True)
    assert ("--offline" in done.err, "--force" in done.err) == (True, False)


def test_a_refusal_counts_more_than_a_server_that_does_not_answer(
    out: Run, words: tuple[str, ...], server: Nginx, intermediate: Authority
) -> None:
    server.use(HOST, intermediate.issue(HOST))
    before = JOURNAL.read_bytes()
    done, facts = stepped(out, "shipped", "3", *APP, *words)
    assert (done.code, invariants(facts)) == (1, ["served-chain"])
    assert [each["host"] for each in facts["breaches"]] == [HOST]
    assert all(any(host in each for each in facts["unknown"]) for host in DEAD)
    assert JOURNAL.read_bytes() == before
    text = out("rotate", "shipped", "3", *APP, *words)
    assert (text.code, f"refused: {HOST}: " in text.err) == (1, True)
    assert all(f"which keys {host}" in text.out for host in DEAD)


def test_a_known_server_that_does_not_answer_now_is_no_refusal(
    run: Run, ca: Path, identity: Identity
) -> None:
    """The journal knows it, and the pin file doesn't list it: its answer would settle that."""
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
    with nginx({HOST: identity}) as server:
        words = ("--connect", f"127.0.0.1:{server.port}", "--timeout", "1")
        assert run("rotate", "shipped", "3", *QUICK, *words).code == 0
    before = journal()
    done = run("rotate", "shipped", "3", *APP, *words)
    assert (done.code, "unlisted" in done.err) == (3, False)
    assert journal() == before
