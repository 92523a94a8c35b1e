"""``certpin check``: hosts that match their pins, and findings."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from tests import kit
from tests.cli._pinfiles import dead, write
from tests.cli._terminal import on_terminal
from tests.cli.conftest import HOST, Run, checked
from tests.servers._run import free_port
from tests.servers.listeners import without_tls
from tests.servers.nginx import Nginx, nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Authority, Identity

pytestmark = pytest.mark.peer("nginx")


def test_a_host_with_a_pinned_leaf_succeeds(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity
) -> None:
    write(kit.policy(HOST, identity.pin), trust=ca)
    host = checked(run, *connect_args)
    assert (host["status"], host["matched"], host["matched_role"]) == (
        "holds",
        str(identity.pin),
        "leaf",
    )
    assert (host["certificate_days_left"], host["pin_days_left"]) == (46, None)
    assert (host["address"], host["verified"], host["findings"]) == ("127.0.0.1", True, [])


def test_the_table_has_a_line_for_each_host(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity
) -> None:
    write(kit.policy(HOST, identity.pin), kit.policy("localhost", identity.pin), trust=ca)
    done = run("check", *connect_args)
    assert (done.code, done.err) == (0, "")
    assert [line.split() for line in done.out.splitlines()] == [
        ["host", "status", "matched", "pin", "certificate", "pins", "problem"],
        [HOST, "holds", "leaf", "46", "days", "-"],
        ["localhost", "holds", "leaf", "46", "days", "-"],
    ]


@pytest.mark.parametrize(("columns", "is_table"), [(100, True), (80, True), (40, False)])
@pytest.mark.usefixtures("run")
def test_no_name_is_broken_on_a_narrow_terminal(columns: int, is_table: bool) -> None:
    write(kit.policy("localhost"))
    server = f"localhost:{free_port()}"
    words = ("check", "--connect", server, "--host", server)
    code, screen = on_terminal(*words, columns=columns, NO_COLOR="1")
    lines = [line for line in click.unstyle(screen).splitlines() if "connecting" not in line]
    words_shown = " ".join(lines).replace(f"{server}:", server).split()
    assert (code, server in words_shown, "inconclusive" in words_shown) == (3, True, True)
    assert any("matched pin" in line for line in lines) == is_table
    assert max(map(len, lines)) <= columns


def test_a_pin_may_match_above_the_leaf(
    run: Run, connect_args: tuple[str, ...], ca: Path, intermediate: Authority
) -> None:
    write(kit.policy(HOST, kit.NOBODY, intermediate.pin), trust=ca)
    host = checked(run, *connect_args)
    assert (host["status"], host["matched"]) == ("holds", str(intermediate.pin))


def test_a_mismatch_is_a_finding_with_its_details(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity
) -> None:
    write(kit.policy(HOST), trust=ca)
    done = run("check", *connect_args)
    assert (done.code, done.err) == (1, "")
    assert "no pin matches the chain that it serves: clients are locked out" in done.out
    assert f"    {identity.pin}  CN={HOST}" in done.out.splitlines()
    assert f"    {kit.NOBODY}  leaf, active" in done.out.splitlines()
    assert "  fix: see which key installed clients accept: certpin rotate status; " in done.out
    assert "certpin rotate emergency KEY --lost; and if it is stolen" in done.out
    assert "rotate emergency KEY --stolen; if the server got a new key by mistake" in done.out


def test_as_json_a_mismatch_has_the_served_chain(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity, intermediate: Authority
) -> None:
    write(kit.policy(HOST), trust=ca)
    host = checked(run, *connect_args)
    assert host["findings"] == ["no pin matches the chain that it serves: clients are locked out"]
    assert host["chain_pins"][:2] == [str(identity.pin), str(intermediate.pin)]
    assert (host["matched"], host["verified"], host["error"]) == (None, True, None)


def test_a_mismatch_in_report_mode_is_a_finding(
    run: Run, connect_args: tuple[str, ...], ca: Path
) -> None:
    write(kit.policy(HOST, mode="report"), trust=ca)
    host = checked(run, *connect_args)
    assert (host["mode"], host["status"]) == ("report", "finding")
    assert "would be locked out" in host["findings"][0]


def test_a_compromised_key_does_not_match(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity
) -> None:
    write(dead(kit.policy(HOST), identity.pin), trust=ca)
    done = run("check", *connect_args)
    assert (done.code, "which is marked compromised" in done.out) == (1, True)


def test_a_compromised_key_is_a_finding_although_its_authority_is_pinned(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity, intermediate: Authority
) -> None:
    write(dead(kit.policy(HOST, intermediate.pin), identity.pin), trust=ca)
    host = checked(run, *connect_args)
    outcome = (
        "it serves a key that is marked compromised: clients that have this version of the pins "
        "refuse it"
    )
    assert (host["findings"], host["matched"]) == ([outcome], None)


def test_a_chain_that_does_not_verify_is_a_finding(
    run: Run, connect_args: tuple[str, ...], identity: Identity, trusted_root: Path
) -> None:
    policies = (kit.policy("wrong.example", identity.pin), kit.policy(HOST, identity.pin))
    write(*policies)
    done = run("check", *connect_args, "--json")
    wrong, right = done.json["hosts"]
    assert (done.code, wrong["status"], right["status"]) == (1, "finding", "holds")
    assert wrong["findings"][0].startswith("the chain did not verify: Hostname mismatch")
    assert (wrong["verified"], wrong["chain_pins"], wrong["matched"]) == (False, None, None)
    assert HOST in wrong["fix"]


def test_without_a_backup_outside_the_chain_there_is_a_finding(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity, intermediate: Authority
) -> None:
    write(kit.policy(HOST, identity.pin, intermediate.pin), trust=ca)
    host = checked(run, *connect_args)
    assert host["matched"] == str(identity.pin)
    assert "there is no backup outside it" in host["findings"][0]


def test_a_check_in_report_mode_needs_no_backup(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity, intermediate: Authority
) -> None:
    write(kit.policy(HOST, identity.pin, intermediate.pin, mode="report"), trust=ca)
    assert checked(run, *connect_args)["status"] == "holds"


@pytest.mark.parametrize(("days", "status"), [("46", "holds"), ("47", "finding")])
def test_a_certificate_that_expires_soon_is_a_finding(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity, days: str, status: str
) -> None:
    write(kit.policy(HOST, identity.pin), trust=ca)
    host = checked(run, *connect_args, "--days", days)
    assert host["status"] == status
    expected = ["a certificate of the chain expires in 46 days"] if status == "finding" else []
    assert host["findings"] == expected


@pytest.mark.parametrize(("days", "status"), [("9", "holds"), ("10", "finding")])
def test_pins_that_expire_soon_are_a_finding(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity, days: str, status: str
) -> None:
    end = datetime.now(UTC) + timedelta(days=9, hours=12)
    write(kit.policy(HOST, identity.pin, expires=end), trust=ca)
    host = checked(run, *connect_args, "--days", days)
    assert (host["status"], host["pin_days_left"]) == (status, 9)
    assert host["findings"] == (["the pins expire in 9 days"] if status == "finding" else [])


@pytest.mark.parametrize("what", ["fail-closed", "fail-open", "report"])
def test_expired_pins_are_a_finding_with_any_on_expiry(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity, what: Any
) -> None:
    end = datetime.now(UTC) - timedelta(hours=1)
    write(kit.policy(HOST, identity.pin, expires=end, on_expiry=what), trust=ca)
    host = checked(run, *connect_args)
    assert host["pin_days_left"] == -1
    effect = "" if what == "fail-closed" else ": clients accept every verified chain"
    assert host["findings"] == [f"the pins have expired{effect}"]


def test_a_mismatch_of_one_server_is_compared_at_that_server(
    run: Run, bank: Nginx, ca: Path, identity: Identity, intermediate: Authority
) -> None:
    with nginx({HOST: intermediate.issue(HOST)}) as other:
        write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
        with Path("pins.toml").open("a", encoding="utf-8") as file:
            for port, region in ((bank.port, "eu"), (other.port, "us")):
                address = f'address = "127.0.0.1:{port}"'
                file.write(f'[[host.server]]\n{address}\nregion = "{region}"\n')
        text = " ".join(run("check").out.split())
    command = f"certpin pin {HOST}:{other.port} --connect 127.0.0.1 --ca-file {ca}"
    assert text.endswith(f"Compare from another network: {command}")
    assert f"{HOST}:{other.port} (us) refused: no certificate" in text


def test_a_fix_names_each_server_that_it_is_for(run: Run, ca: Path, identity: Identity) -> None:
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
    with Path("pins.toml").open("a", encoding="utf-8") as file:
        file.writelines(
            f'[[host.server]]\naddress = "127.0.0.1:{port}"\nregion = "{region}"\n'
            for port, region in ((1, "eu"), (2, "us"))
        )
    done = run("check")
    assert done.code == 3
    assert f"{HOST}:1 (eu), {HOST}:2 (us): check name and port" in " ".join(done.out.split())


def test_a_server_that_declines_tls_is_a_finding(run: Run, ca: Path) -> None:
    """An attacker on the path can cause it; without an answer, nothing is known."""
    write(kit.policy(HOST), trust=ca)
    for code, status, server in ((1, "finding", without_tls), (3, "inconclusive", _no_server)):
        with server() as port:
            options = ("--connect", f"127.0.0.1:{port}", "--starttls", "postgres")
            done = run("check", "--host", HOST, *options, "--json")
        (host,) = done.json["hosts"]
        assert (done.code, host["status"]) == (code, status)
        assert bool(host["findings"]) == (status == "finding")
        assert host["error"]


@contextmanager
def _no_server() -> Iterator[int]:
    """Yield a loopback port on which no server listens."""
    yield 1
