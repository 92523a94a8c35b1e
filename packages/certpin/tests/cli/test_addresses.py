"""A host name with several addresses: each may be another server, with another key."""

from __future__ import annotations

import errno
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.lab import LabServer
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli._rotating import (
    JOURNAL,
    QUICK,
    all_events,
    days_pass,
    invariants,
    next_number,
    states,
    stepped,
)
from tests.cli.conftest import HOST, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.lab import Authority, Identity

ONE, TWO = "127.0.0.1", "127.0.0.2"
DEAF = "127.0.0.3"  # no server listens here
V6, DEAF_V6 = "2001:db8::1", "2001:db8::2"


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that sets the addresses of the bank's host name.

    This machine seems to have no IPv6 network, except to an address that refuses connections.
    """
    real, connect = socket.getaddrinfo, socket.create_connection

    def to(*addresses: str) -> None:
        def found(host: Any, port: Any, *words: Any, **options: Any) -> Any:
            if host != HOST:
                return real(host, port, *words, **options)
            return [
                each
                for address in addresses
                for each in real(address, port, type=socket.SOCK_STREAM)
                for _ in range(2)  # a resolver may repeat itself
            ]

        monkeypatch.setattr(socket, "getaddrinfo", found)

    def connected(address: tuple[str, int], *words: Any) -> socket.socket:
        if address[0] == DEAF_V6:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        if ":" in address[0]:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        return connect(address, *words)

    monkeypatch.setattr(socket, "create_connection", connected)
    return to


@contextmanager
def two_servers(first: Identity, second: Identity) -> Iterator[tuple[LabServer, LabServer]]:
    """Run two servers at two addresses with the same port."""
    with LabServer(first) as one, LabServer(second, port=one.port, address=TWO) as two:
        yield one, two


def listed(port: int) -> None:
    """Name the port of the host in the pin file."""
    path = Path("pins.toml")
    text = path.read_text(encoding="utf-8").partition("[[host.server]]")[0]
    path.write_text(f'{text}[[host.server]]\naddress = "{HOST}:{port}"\n', encoding="utf-8")


@pytest.fixture
def renewed(run: Run, ca: Path, identity: Identity, intermediate: Authority) -> Identity:
    """Take a rotation to its last step; return the identity with the new key."""
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
    assert run("rotate", "shipped", next_number(), *QUICK, "--offline").code == 0
    days_pass(30)
    assert run("rotate", "start", "--new", "new.key").code == 0
    assert run("rotate", "shipped", next_number(), "--offline").code == 0
    days_pass(9.2)
    assert run("rotate", "switch", "new.key", "--offline").code == 0
    key: Any = load_pem_private_key(Path("new.key").read_bytes(), None)
    return intermediate.issue(HOST, key=key)


@pytest.mark.medium
def test_a_key_at_the_second_address_of_a_name_is_not_taken_out(
    run: Run, resolve: Callable[..., None], renewed: Identity, identity: Identity
) -> None:
    resolve(ONE, TWO)
    with two_servers(renewed, identity) as (one, two):
        listed(one.port)
        refused, facts = stepped(run, "finish")
        assert (refused.code, invariants(facts)) == (1, ["still-served"])
        assert f"{TWO}:{one.port}" in facts["breaches"][0]["problem"]
        (host,) = run("rotate", "status", "--json").json["hosts"]
        assert [each["server"] for each in host["servers"]] == [
            f"{HOST}:{one.port} at {address}:{one.port}" for address in (ONE, TWO)
        ]
        assert len(host["vantages"]) == 2
        two.use(renewed)
        assert stepped(run, "finish")[0].code == 0
        (host,) = run("rotate", "status", "--json").json["hosts"]
        assert [each["server"] for each in host["servers"]] == [f"{HOST}:{one.port}"]
        servers = {event.server for event in all_events() if event.step == "observe"}
        assert servers == {f"{HOST}:{one.port}"}, "DNS may replace its addresses"
    assert states() == ["removed", "active", "active"]


def test_the_address_of_a_mismatch_is_named(
    run: Run,
    resolve: Callable[..., None],
    ca: Path,
    identity: Identity,
    intermediate: Authority,
) -> None:
    resolve(ONE, TWO)
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
    with two_servers(identity, intermediate.issue(HOST)) as (one, _):
        listed(one.port)
        done = run("check", "--json")
        _documented.check("check", done.json)
        assert done.code == 1
        assert [(each["address"], each["status"]) for each in done.json["hosts"]] == [
            (ONE, "holds"),
            (TWO, "finding"),
        ]
        assert f"{HOST}:{one.port} at {TWO}" in " ".join(run("check").out.split())
        assert run("check", "--connect", ONE).code == 0
        assert run("check", "--connect", TWO).code == 1


@pytest.mark.parametrize("deaf", [DEAF, DEAF_V6])
def test_an_address_that_does_not_answer_is_reported(
    run: Run, resolve: Callable[..., None], renewed: Identity, deaf: str
) -> None:
    resolve(ONE, deaf)
    with LabServer(renewed) as server:
        listed(server.port)
        before = Path("pins.toml").read_bytes(), JOURNAL.read_bytes()
        done = run("check", "--json")
        assert done.code == 3
        assert [(each["address"], each["status"]) for each in done.json["hosts"]] == [
            (ONE, "holds"),
            (deaf, "inconclusive"),
        ]
        assert run("rotate", "finish").code == 3
    assert (Path("pins.toml").read_bytes(), JOURNAL.read_bytes()) == before


def test_a_machine_without_ipv6_checks_the_other_addresses(
    run: Run, resolve: Callable[..., None], ca: Path, identity: Identity
) -> None:
    resolve(V6, ONE)
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
    with LabServer(identity) as server:
        listed(server.port)
        done = run("check", "--json")
        _documented.check("check", done.json)
        (host,) = done.json["hosts"]
        assert (done.code, host["status"], host["unreachable"]) == (0, "holds", [V6])
        assert f"{HOST} was not asked at {V6}: this machine has no IPv6" in run("check").out


@pytest.mark.medium
def test_no_key_is_taken_out_by_a_machine_without_ipv6(
    run: Run, resolve: Callable[..., None], renewed: Identity
) -> None:
    resolve(ONE, V6)
    with LabServer(renewed) as server:
        listed(server.port)
        before = Path("pins.toml").read_bytes(), JOURNAL.read_bytes()
        refused, facts = stepped(run, "finish")
        assert (refused.code, invariants(facts)) == (1, ["unseen"])
        assert any(V6 in unknown for unknown in facts["unknown"])
        assert (Path("pins.toml").read_bytes(), JOURNAL.read_bytes()) == before
        assert run("rotate", "status").code == 0
        assert stepped(run, "finish", "--connect", ONE)[0].code == 0


def test_a_missing_family_is_a_failure_if_the_server_answers_nowhere(
    run: Run, resolve: Callable[..., None], ca: Path, identity: Identity
) -> None:
    resolve(DEAF, V6)
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
    done = run("check", "--json")
    assert done.code == 3
    assert [each["address"] for each in done.json["hosts"]] == [DEAF, V6]


def test_a_name_with_too_many_addresses_is_not_checked_in_part(
    run: Run, resolve: Callable[..., None], ca: Path, identity: Identity
) -> None:
    resolve(*(f"127.0.1.{number}" for number in range(65)))
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
    done = run("check", "--json")
    (host,) = done.json["hosts"]
    assert (done.code, host["status"]) == (3, "inconclusive")
    assert "has 65 addresses, and at most 64 are contacted" in host["error"]


def test_a_server_is_gone_only_if_no_address_presents_its_keys(
    run: Run, resolve: Callable[..., None], ca: Path, identity: Identity, intermediate: Authority
) -> None:
    resolve(ONE, TWO)
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
    stranger = intermediate.issue("other.example")
    with two_servers(identity, identity) as (one, two):
        listed(one.port)
        assert run("rotate", "shipped", next_number(), *QUICK).code == 0
        listed(443)
        one.use(stranger)
        gone = ("gone", f"{HOST}:{one.port}", "--reason", "switched off")
        refused, facts = stepped(run, *gone)
        assert (refused.code, invariants(facts)) == (1, ["still-served"])
        assert TWO in facts["breaches"][0]["problem"]
        two.use(stranger)
        resolve(ONE, V6)
        refused, facts = stepped(run, *gone)
        assert (refused.code, invariants(facts)) == (1, ["unseen"])
        resolve(ONE, TWO)
        assert stepped(run, *gone)[0].code == 0


@pytest.fixture
def emergency(
    run: Run, resolve: Callable[..., None], renewed: Identity, identity: Identity
) -> Callable[[str], tuple[dict[str, Any], dict[str, Any]]]:
    """Return a function that records the theft of the old key, and returns the paths out of it.

    The first path is for the one address that presents the new key already, and the second for that
    address and another one.
    """

    def paths(other: str) -> tuple[dict[str, Any], dict[str, Any]]:
        resolve(ONE)
        with LabServer(renewed) as server:
            listed(server.port)
            words = ("rotate", "emergency", str(identity.pin), "--stolen", "--json")
            (one,) = run(*words).json["hosts"]
            resolve(ONE, other)
            (both,) = run(*words).json["hosts"]
        return one, both

    return paths


def test_a_stolen_key_may_be_in_use_at_an_address_out_of_reach(emergency: Any) -> None:
    here, anywhere = emergency(V6)
    assert (here["in_use"], anywhere["in_use"]) == (False, True)


def test_an_address_that_does_not_answer_is_led_to_another_key(emergency: Any) -> None:
    """The other address uses the next key already; this one may still use the stolen one."""
    here, partly = emergency(TWO)
    assert "switch" not in [step["act"] for step in here["steps"]]
    acts = [step["act"] for step in partly["steps"]]
    assert acts.index("switch") < acts.index("install") < acts.index("publish")


@pytest.mark.parametrize(
    "failure",
    [
        ("create_connection", OSError(errno.ENETUNREACH, "Network is unreachable")),
        ("getaddrinfo", socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")),
    ],
    ids=["no route", "no resolver"],
)
def test_a_server_that_this_machine_could_not_ask_is_not_gone(
    run: Run,
    resolve: Callable[..., None],
    ca: Path,
    identity: Identity,
    failure: tuple[str, OSError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call, error = failure

    def failing(*_: object, **__: object) -> Any:
        raise error

    resolve(ONE)
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
    with LabServer(identity) as server:
        listed(server.port)
        assert run("rotate", "shipped", next_number(), *QUICK).code == 0
        port = server.port
    listed(443)
    gone = ("gone", f"{HOST}:{port}", "--reason", "switched off")
    with monkeypatch.context() as patched:
        patched.setattr(socket, call, failing)
        refused, facts = stepped(run, *gone)
    assert (refused.code, invariants(facts)) == (1, ["unseen"])
    assert stepped(run, *gone)[0].code == 0  # the connection is refused
