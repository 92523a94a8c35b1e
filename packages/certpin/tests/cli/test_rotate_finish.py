"""``certpin rotate finish``: replaced keys leave the pin file when no server presents them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.pinfile import PinSet
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import (
    JOURNAL,
    QUICK,
    days_pass,
    invariants,
    journal,
    next_number,
    states,
    stepped,
)
from tests.cli.conftest import HOST, Run
from tests.servers.nginx import Nginx, nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Authority, Identity

pytestmark = [pytest.mark.peer("nginx")]

OTHER = "localhost"


@pytest.fixture
def server(identity: Identity) -> Iterator[Nginx]:
    """Start the host's server. A test can change the key that it presents."""
    with nginx({HOST: identity, OTHER: identity}) as running:
        yield running


@pytest.fixture
def connection(server: Nginx) -> tuple[str, ...]:
    return ("--connect", f"127.0.0.1:{server.port}")


def begin(run: Run, ca: Path, identity: Identity, *hosts: str) -> None:
    """Publish version 3, then version 4 with a new key, and allow servers to use the new key."""
    write(*(kit.policy(host, identity.pin, kit.NOBODY) for host in hosts), trust=ca)
    assert (
        run("rotate", "shipped", next_number(), *QUICK, "--offline", "--clients", "1200").code == 0
    )
    days_pass(30)
    assert run("rotate", "start", "--new", "new.key").code == 0
    assert run("rotate", "shipped", next_number(), "--offline").code == 0
    days_pass(9.2)
    assert run("rotate", "switch", "new.key", "--offline").code == 0


def install(server: Nginx, intermediate: Authority, *hosts: str) -> None:
    """Make the server present certificates with the key in ``new.key`` for these hosts."""
    key = load_pem_private_key(Path("new.key").read_bytes(), None)
    for host in hosts:
        server.use(host, intermediate.issue(host, key=key))  # type: ignore[arg-type]  # P-256


@pytest.fixture
def switched(run: Run, ca: Path, identity: Identity) -> Run:
    begin(run, ca, identity, HOST)
    return run


def test_the_replaced_key_leaves_the_file_under_the_next_version(
    switched: Run, server: Nginx, connection: tuple[str, ...], intermediate: Authority
) -> None:
    install(server, intermediate, HOST)
    done, facts = stepped(switched, "finish", *connection)
    assert (done.code, facts["version"]) == (0, 5)
    assert [event["step"] for event in facts["events"]] == ["retire", "remove"]
    assert states() == ["removed", "active", "active"]
    assert [event.step for event in journal()][-2:] == ["retire", "remove"]
    assert switched("rotate", "shipped", next_number(), *connection).code == 0
    again = switched("rotate", "finish", *connection)
    assert (again.code, "Nothing to finish" in again.out) == (0, True)
    assert PinSet.load("pins.toml").version == 5


def test_a_key_that_a_server_still_presents_stays(
    switched: Run, connection: tuple[str, ...]
) -> None:
    before = Path("pins.toml").read_bytes(), JOURNAL.read_bytes()
    done, facts = stepped(switched, "finish", *connection)
    assert (done.code, invariants(facts)) == (1, ["still-served"])
    assert (Path("pins.toml").read_bytes(), JOURNAL.read_bytes()) == before
    assert "Nothing was changed." in switched("rotate", "finish", *connection).out


def test_every_server_is_asked(
    switched: Run,
    server: Nginx,
    connection: tuple[str, ...],
    intermediate: Authority,
    identity: Identity,
) -> None:
    install(server, intermediate, HOST)
    with nginx({HOST: identity}) as second:
        other = ("--connect", f"127.0.0.1:{second.port}")
        _, facts = stepped(switched, "finish", *connection, *other)
    assert invariants(facts) == ["still-served"]
    assert f":{second.port}" in facts["breaches"][0]["problem"]


def test_a_server_that_does_not_answer_stops_it(switched: Run) -> None:
    before = Path("pins.toml").read_bytes(), JOURNAL.read_bytes()
    done = switched("rotate", "finish", "--connect", "127.0.0.1:9", "--timeout", "1")
    assert done.code == 3
    assert (Path("pins.toml").read_bytes(), JOURNAL.read_bytes()) == before


def test_one_server_that_does_not_answer_is_enough(
    switched: Run, server: Nginx, connection: tuple[str, ...], intermediate: Authority
) -> None:
    install(server, intermediate, HOST)
    before = Path("pins.toml").read_bytes(), JOURNAL.read_bytes()
    words = (*connection, "--connect", "127.0.0.1:9", "--timeout", "1")
    assert switched("rotate", "finish", *words).code == 3
    assert (Path("pins.toml").read_bytes(), JOURNAL.read_bytes()) == before


def test_unknown_served_keys_stop_it_until_it_is_forced(switched: Run) -> None:
    _, facts = stepped(switched, "finish", "--offline")
    assert invariants(facts) == ["unseen"]
    words = ("finish", "--offline", "--force", "--reason", "seen by hand")
    done, facts = stepped(switched, *words)
    assert (done.code, facts["forced"], states()[0]) == (0, True, "removed")
    assert journal()[-1].reason == "seen by hand"


def test_what_is_safe_is_done_and_the_rest_is_named(
    run: Run, ca: Path, identity: Identity, server: Nginx, intermediate: Authority
) -> None:
    begin(run, ca, identity, HOST, OTHER)
    install(server, intermediate, HOST)
    words = [f"--connect={HOST}=127.0.0.1:{server.port}", f"--connect={OTHER}=127.0.0.1:9"]
    done, facts = stepped(run, "finish", *words, "--timeout", "1")
    assert (done.code, invariants(facts)) == (1, ["unseen"])
    assert facts["breaches"][0]["host"] == OTHER
    assert {event["host"] for event in facts["events"]} == {HOST}
    first, second = PinSet.load("pins.toml").policies
    assert (first.pins[0].state, second.pins[0].state) == ("removed", "active")
    text = run("rotate", "finish", *words, "--timeout", "1")
    assert text.code == 3  # nothing is left that is safe


def test_the_last_backup_stays(
    run: Run, ca: Path, identity: Identity, server: Nginx, intermediate: Authority
) -> None:
    connection = ("--connect", f"127.0.0.1:{server.port}")
    spare = intermediate.issue(HOST)
    write(kit.policy(HOST, identity.pin, spare.pin), trust=ca)
    assert run("rotate", "shipped", next_number(), *connection).code == 0
    days_pass(40)
    assert run("rotate", "switch", str(spare.pin), *connection).code == 0
    server.use(HOST, spare)
    done, facts = stepped(run, "finish", *connection)
    assert (done.code, invariants(facts)) == (1, ["last-backup"])
    assert states()[0] == "retiring"  # that is safe, and is done


def test_a_rotation_in_flight_is_named_with_its_date(
    switched: Run, server: Nginx, connection: tuple[str, ...], intermediate: Authority
) -> None:
    install(server, intermediate, HOST)
    assert switched("rotate", "start", "--new", "later.key").code == 0
    done = switched("rotate", "finish", *connection)
    assert done.code == 0
    assert "is not adopted yet. If version 5 goes out now, servers may switch to it" in done.out
    assert states() == ["removed", "active", "active", "staged"]


def test_the_newest_key_is_not_replaced_before_servers_use_it(
    switched: Run, connection: tuple[str, ...], server: Nginx, intermediate: Authority
) -> None:
    """The server presents a third key. The step removes the replaced key and keeps the newest."""
    server.use(HOST, intermediate.issue(HOST))
    forced = ("--force", "--reason", "x")
    assert switched("rotate", "finish", *forced, *connection).code == 0
    assert states() == ["removed", "active", "active"]  # the old one went, the new one stays


def test_a_key_that_ends_a_lock_out_is_not_removed(
    switched: Run, connection: tuple[str, ...], server: Nginx, intermediate: Authority
) -> None:
    """The server presents a key that clients refuse. It may have to go back to the old one."""
    server.use(HOST, intermediate.issue(HOST))
    done, facts = stepped(switched, "finish", *connection)
    assert (done.code, invariants(facts)) == (1, ["served-chain"])
    assert "servers may have to go back to it" in facts["breaches"][0]["problem"]
    assert states() == ["retiring", "active", "active"]


def test_a_key_that_no_version_has_is_deleted_from_the_file(switched: Run) -> None:
    before = Path("pins.toml").read_text(encoding="utf-8")
    assert switched("rotate", "start", "--new", "wrong.key").code == 0
    done, facts = stepped(switched, "finish", "wrong.key", "--offline")
    assert (done.code, [event["step"] for event in facts["events"]]) == (0, ["unstage"])
    assert facts["next"] == "certpin rotate status"  # clients have these pins
    after = Path("pins.toml").read_text(encoding="utf-8")
    assert after.replace("version = 5", "version = 4") == before


def test_a_backup_that_is_not_needed_may_go(switched: Run, connection: tuple[str, ...]) -> None:
    assert switched("rotate", "start", "--new", "spare.key").code == 0
    assert switched("rotate", "shipped", next_number(), *connection).code == 0
    done, facts = stepped(switched, "finish", "spare.key", *connection)
    assert (done.code, [event["step"] for event in facts["events"]]) == (0, ["remove"])
    unknown = switched("rotate", "finish", str(kit.NOBODY_ELSE), *connection)
    assert (unknown.code, "does not have" in unknown.err) == (2, True)
