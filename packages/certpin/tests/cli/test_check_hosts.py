"""``certpin check``: the contacted hosts and servers, and hosts that do not answer."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests import kit
from tests.cli._pinfiles import write
from tests.cli.conftest import HOST, Run, checked

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Authority, Identity
    from tests.servers.nginx import Nginx

pytestmark = pytest.mark.peer("nginx")


def test_a_finding_has_precedence_over_a_missing_answer(
    run: Run, bank: Nginx, ca: Path, identity: Identity
) -> None:
    hosts = ("localhost", HOST, "nobody.invalid", "*.shops.example")
    write(*(kit.policy(host, *[identity.pin] * (host == HOST)) for host in hosts), trust=ca)
    address = f"127.0.0.1:{bank.port}"
    done = run("check", "--connect", f"{HOST}={address}", "--connect", f"localhost={address}")
    assert done.code == 1
    assert [line.split()[1] for line in done.out.splitlines()[1:5]] == [
        "finding",
        "holds",
        "inconclusive",
        "inconclusive",
    ]


def test_a_missing_answer_is_inconclusive_and_has_a_fix(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity
) -> None:
    write(kit.policy(HOST, identity.pin), kit.policy("*.shops.example", identity.pin), trust=ca)
    done = run("check", *connect_args)
    assert (done.code, done.err) == (3, "")
    assert "a wildcard names no host" in done.out
    advice = "add the servers of hosts that it covers to the pin file ([[host.server]])"
    assert f"*.shops.example: {advice}, or name such hosts: --host HOST" in done.out.splitlines()


def test_a_host_of_a_wildcard_is_named(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity
) -> None:
    write(kit.policy("*.shops.example", identity.pin), trust=ca)
    names = ("--host", "one.shops.example", "--host", "Two.Shops.Example:443")
    hosts = run("check", *connect_args, *names, "--json").json["hosts"]
    assert [(host["host"], host["policy"], host["status"]) for host in hosts] == [
        ("one.shops.example", "*.shops.example", "holds"),
        ("two.shops.example", "*.shops.example", "holds"),
    ]


def test_a_deep_wildcard_is_checked_at_its_apex_by_default(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity
) -> None:
    write(kit.policy("**.bank.example", identity.pin), trust=ca)
    assert checked(run, *connect_args)["host"] == "bank.example"
    assert checked(run, *connect_args, "--host", HOST)["status"] == "holds"


def test_a_host_on_another_port_is_contacted_there(
    run: Run, bank: Nginx, ca: Path, identity: Identity
) -> None:
    write(kit.policy("localhost", identity.pin), trust=ca)
    host = checked(run, "--host", f"localhost:{bank.port}")
    assert (host["status"], host["port"]) == ("holds", bank.port)
    assert f"localhost:{bank.port}" in run("check", "--host", f"localhost:{bank.port}").out


@pytest.mark.parametrize(
    "words",
    [
        ["--host", "elsewhere.example"],
        ["--host", "a..b"],
        ["--host", ""],
        ["--connect", "elsewhere.example=127.0.0.1"],
        ["--connect", "=127.0.0.1"],
        ["--connect", f"{HOST}="],
        ["--starttls", "gopher"],
        ["--starttls", "elsewhere.example=smtp"],
        ["--days", "-1"],
        ["--timeout", "nan"],
    ],
)
def test_an_unknown_host_is_refused_before_connecting(
    run: Run, identity: Identity, words: list[str]
) -> None:
    write(kit.policy(HOST, identity.pin))
    done = run("check", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err


@pytest.mark.parametrize("words", [["bank.toml"], ["-f", "bank.toml"], ["--file", "bank.toml"], []])
def test_the_option_names_the_pin_file(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity, words: list[str]
) -> None:
    write(kit.policy(HOST, identity.pin), trust=ca, path="bank.toml")
    assert run("check", *words, *connect_args, CERTPIN_PINS="bank.toml").code == 0


def test_the_error_for_a_missing_pin_file_has_the_command_to_make_one(run: Run) -> None:
    done = run("check")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("certpin: pins.toml: it cannot be read: No such file or directory")
    assert "certpin add HOST" in done.err


def test_a_path_may_end_at_an_intermediate_that_the_pin_file_trusts(
    run: Run,
    connect_args: tuple[str, ...],
    tmp_path: Path,
    identity: Identity,
    intermediate: Authority,
) -> None:
    path = tmp_path / "intermediate.pem"
    path.write_bytes(intermediate.pem)
    write(kit.policy(HOST, identity.pin), trust=path)
    assert checked(run, *connect_args)["status"] == "holds"


def test_many_hosts_are_contacted_in_parallel(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity
) -> None:
    names = [f"shop-{number}.shops.example" for number in range(200)]
    write(*(kit.policy(name, identity.pin) for name in names), trust=ca)
    done = run("check", *connect_args, "--json")
    assert done.code == 0
    assert [host["host"] for host in done.json["hosts"]] == names


def test_a_silent_host_does_not_hold_up_the_others(
    run: Run, bank: Nginx, ca: Path, identity: Identity
) -> None:
    write(kit.policy(HOST, identity.pin), kit.policy("localhost", identity.pin), trust=ca)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = run(
            *("check", "--timeout", "0.5", "--connect", f"127.0.0.1:{bank.port}"),
            *("--connect", f"{HOST}=127.0.0.1:{silent.getsockname()[1]}", "--json"),
        )
    slow, other = done.json["hosts"]
    assert (done.code, slow["error"]) == (3, "no TLS: it did not answer in time")
    assert other["status"] == "holds"


@pytest.mark.parametrize("command", ["check", "calendar", "lint"])
def test_a_pin_file_is_named_once(run: Run, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a CI job could succeed without a look at one of two files."""
    done = run(command, "--file", "missing.toml", "pins.toml")
    assert (done.code, "name the pin file once" in done.err) == (2, True)
    monkeypatch.setenv("CERTPIN_PINS", "missing.toml")
    done = run(command, "other.toml")
    assert (done.code, "other.toml" in done.err) == (2, True)
