"""A server that was observed once blocks a rotation until it is recorded as gone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority as LabAuthority
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import (
    JOURNAL,
    QUICK,
    all_events,
    days_pass,
    history,
    invariants,
    stepped,
)
from tests.cli.conftest import HOST, Run
from tests.servers._run import free_port
from tests.servers.listeners import silent
from tests.servers.nginx import Nginx, nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Identity

pytestmark = [pytest.mark.peer("nginx")]

WHY = ("--reason", "region us is shut down")


@pytest.fixture
def eu(identity: Identity) -> Iterator[Nginx]:
    with nginx({HOST: identity}) as running:
        yield running


def servers(*ports: int) -> None:
    """Make the pin file list the local servers on these ports, and no others."""
    path = Path("pins.toml")
    text = path.read_text(encoding="utf-8").partition("[[host.server]]")[0]
    text += "".join(f'[[host.server]]\naddress = "127.0.0.1:{port}"\n' for port in ports)
    path.write_text(text, encoding="utf-8")


def begin(run: Run, ca: Path, identity: Identity, *ports: int) -> None:
    """Publish version 3 with a server on each port, then list only the first in the pin file."""
    write(kit.policy(HOST, identity.pin, kit.NOBODY, kit.NOBODY_ELSE), trust=ca)
    servers(*ports)
    assert run("rotate", "shipped", "3", *QUICK, "--clients", "1200").code == 0
    days_pass(30)
    servers(ports[0])


def test_a_forgotten_region_blocks_until_it_is_gone(
    run: Run, ca: Path, identity: Identity, eu: Nginx
) -> None:
    with nginx({HOST: identity}) as us:
        begin(run, ca, identity, eu.port, us.port)
        region = f"127.0.0.1:{us.port}"
        steps = (
            ("finish", str(kit.NOBODY)),
            ("shipped", "3", "--app", "com.bank.app", "--release", "1"),
        )
        for step, clients in zip(steps, (1200, None), strict=True):
            refused, facts = stepped(run, *step)
            assert (refused.code, set(invariants(facts))) == (1, {"unlisted"})
            assert (facts["breaches"][0]["clients"], region in refused.err) == (clients, True)
        status = run("rotate", "status").out
        assert f"server 2  {region}  (? = last seen" in status

        still, facts = stepped(run, "gone", region, *WHY)
        assert (still.code, invariants(facts)) == (1, ["still-served"])
        assert str(identity.pin) in still.err
    done, facts = stepped(run, "gone", region, *WHY)
    assert (done.code, facts["hosts"], facts["next"]) == (0, [HOST], "certpin rotate status")
    last = all_events()[-1]
    assert (last.step, last.server, last.reason) == ("gone", region, "region us is shut down")
    assert f"server {region} is gone, reason: region us" in run("rotate", "history").out
    for step in steps[:1]:
        assert stepped(run, *step)[0].code == 0


def test_a_server_that_is_seen_again_is_back(
    run: Run, ca: Path, identity: Identity, eu: Nginx
) -> None:
    with nginx({HOST: identity}) as us:
        begin(run, ca, identity, eu.port, us.port)
        region = f"127.0.0.1:{us.port}"
        assert run("rotate", "gone", region, *WHY, "--force").code == 0
        assert [each.server for each in history().observed] == [f"127.0.0.1:{eu.port}"]
        servers(eu.port, us.port)
        words = ("rotate", "shipped", "3", "--app", "com.bank.app", "--release", "1")
        assert run(*words).code == 0
        servers(eu.port)
        refused, facts = stepped(run, "finish", str(kit.NOBODY))
        assert (refused.code, set(invariants(facts))) == (1, {"unlisted"})


def test_a_server_that_the_pin_file_lists_is_not_gone(
    run: Run, ca: Path, identity: Identity, eu: Nginx
) -> None:
    begin(run, ca, identity, eu.port)
    before = JOURNAL.read_bytes()
    refused = run("rotate", "gone", f"127.0.0.1:{eu.port}", *WHY, "--force")
    assert (refused.code, "take it out of the pin file first" in refused.err) == (2, True)
    unknown = run("rotate", "gone", "192.0.2.1:443", *WHY)
    assert (unknown.code, f"127.0.0.1:{eu.port}" in unknown.err) == (2, True)
    assert run("rotate", "gone", f"127.0.0.1:{eu.port}", "--reason", " ").code == 2
    assert JOURNAL.read_bytes() == before


def test_a_listed_server_that_no_step_saw_is_only_taken_out_of_the_pin_file(
    run: Run, ca: Path, identity: Identity, eu: Nginx
) -> None:
    """No other server is proposed: to record a healthy one as gone would hide its key."""
    begin(run, ca, identity, eu.port)
    before = Path("pins.toml").read_text(encoding="utf-8")
    down = free_port()
    servers(eu.port, down)
    assert run("rotate", "finish", str(kit.NOBODY)).code == 3
    refused = run("rotate", "gone", f"127.0.0.1:{down}", *WHY)
    assert (refused.code, "there is nothing to record" in refused.err) == (2, True)
    assert f":{eu.port}" not in refused.err
    Path("pins.toml").write_text(before, encoding="utf-8")
    assert run("rotate", "finish", str(kit.NOBODY)).code == 0


def test_an_address_that_another_server_has_now_is_gone(
    run: Run, ca: Path, identity: Identity, eu: Nginx
) -> None:
    """The server at the address has a certificate for another owner's name only."""
    with nginx({HOST: identity}) as us:
        begin(run, ca, identity, eu.port, us.port)
        us.use(HOST, LabAuthority("Stranger").issue("www.other.example"))
        assert run("rotate", "gone", f"127.0.0.1:{us.port}", *WHY).code == 0


def test_a_new_key_under_a_known_authority_is_a_server_of_the_host(
    run: Run, ca: Path, identity: Identity, intermediate: LabAuthority, eu: Nginx
) -> None:
    with nginx({HOST: identity}) as us:
        begin(run, ca, identity, eu.port, us.port)
        us.use(HOST, intermediate.issue(HOST))
        refused, facts = stepped(run, "gone", f"127.0.0.1:{us.port}", *WHY)
        assert (refused.code, invariants(facts)) == (1, ["still-served"])


def test_a_server_that_answers_without_a_chain_may_not_be_gone(
    run: Run, ca: Path, identity: Identity, eu: Nginx, tmp_path: Path
) -> None:
    """The server's protocol is unknown: it may still speak TLS after STARTTLS."""
    import socket

    certificate, key = identity.write(tmp_path, "server")
    with silent(certificate, key) as port:
        begin(run, ca, identity, eu.port, port)
    with socket.create_server(("127.0.0.1", 0)) as plain:
        address = f"127.0.0.1:{plain.getsockname()[1]}"
        text = JOURNAL.read_text(encoding="utf-8")
        JOURNAL.write_text(text.replace(f"127.0.0.1:{port}", address), encoding="utf-8")
        words = ("gone", address, *WHY, "--timeout", "0.5")
        refused, facts = stepped(run, *words)
        assert (refused.code, invariants(facts)) == (1, ["unseen"])
        assert "--starttls" in refused.err
        assert run("rotate", *words, "--starttls", "gopher").code == 2


def test_a_wrong_clock_records_no_end_of_a_server(
    run: Run, ca: Path, identity: Identity, eu: Nginx
) -> None:
    """A record with the wrong, earlier time would not override a later observation."""
    port = free_port()
    begin(run, ca, identity, eu.port)
    days_pass(-60)
    text = JOURNAL.read_text(encoding="utf-8")
    JOURNAL.write_text(text.replace(f":{eu.port}", f":{port}"), encoding="utf-8")
    refused = run("rotate", "gone", f"127.0.0.1:{port}", *WHY)
    assert (refused.code, "later than the clock" in refused.err) == (2, True)
