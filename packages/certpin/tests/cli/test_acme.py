"""A pinned server with certificates of an ACME authority, renewed as ACME clients renew them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.lab.authority import new_key
from tests.servers.nginx import Nginx, nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Identity
    from tests.cli.conftest import Run
    from tests.servers.pebble import Account, Pebble

pytestmark = [pytest.mark.peer("pebble", "nginx"), pytest.mark.slow]

HOST = "api.bank.example"


@pytest.fixture(scope="module")
def account(authority: Pebble) -> Account:
    return authority.account()


@pytest.fixture(scope="module")
def first(account: Account) -> Identity:
    """Return the server's first certificate, with its key and chain."""
    return account.issue(HOST, new_key())


@pytest.fixture(scope="module")
def running(first: Identity) -> Iterator[Nginx]:
    with nginx({HOST: first}) as server:
        yield server


@pytest.fixture
def server(running: Nginx, first: Identity) -> Nginx:
    running.use(HOST, first)
    return running


@pytest.fixture
def connect_args(server: Nginx) -> tuple[str, ...]:
    return ("--connect", f"127.0.0.1:{server.port}")


@pytest.fixture
def pinned(run: Run, authority: Pebble, connect_args: tuple[str, ...]) -> Run:
    """Add the server to the pin file. Return the function that runs commands."""
    Path("root.pem").write_bytes(authority.root_pem())
    seen = run("pin", HOST, "--ca-file", "root.pem", *connect_args, "--json")
    assert (seen.code, len(seen.json["targets"][0]["verified_chain"])) == (0, 3)
    added = run("add", HOST, "--ca-file", "root.pem", *connect_args, "--backup-key", "backup.key")
    assert added.code == 0
    assert run("check", *connect_args).code == 0
    return run


def test_a_renewal_with_the_same_key_succeeds(
    pinned: Run, server: Nginx, connect_args: tuple[str, ...], account: Account, first: Identity
) -> None:
    renewed = account.issue(HOST, first.key)
    before = pinned("pin", HOST, "--ca-file", "root.pem", *connect_args, "--json").json["targets"][
        0
    ]
    server.use(HOST, renewed)
    after = pinned("pin", HOST, "--ca-file", "root.pem", *connect_args, "--json").json["targets"][0]
    assert (
        before["served_chain"][0]["certificate_pin"] != after["served_chain"][0]["certificate_pin"]
    )
    assert before["served_chain"][0]["pin"] == after["served_chain"][0]["pin"] == str(renewed.pin)
    assert pinned("check", *connect_args).code == 0
    assert pinned("get", f"https://{HOST}/", *connect_args).code == 0


def test_a_renewal_with_a_new_key_is_a_finding(
    pinned: Run, server: Nginx, connect_args: tuple[str, ...], account: Account
) -> None:
    server.use(HOST, account.issue(HOST, new_key()))
    done = pinned("check", *connect_args)
    assert (done.code, "clients are locked out" in done.out) == (1, True)
    assert pinned("get", f"https://{HOST}/", *connect_args).code == 1


def test_a_renewal_with_the_backup_key_succeeds(
    pinned: Run, server: Nginx, connect_args: tuple[str, ...], account: Account
) -> None:
    backup = load_pem_private_key(Path("backup.key").read_bytes(), None)
    server.use(HOST, account.issue(HOST, backup))
    done = pinned("check", *connect_args, "--json")
    assert (done.code, done.json["hosts"][0]["matched_role"]) == (0, "backup")


def test_a_certificate_of_pebble_is_not_trusted_by_this_machine(
    run: Run, connect_args: tuple[str, ...]
) -> None:
    assert run("pin", HOST, *connect_args).code == 1
