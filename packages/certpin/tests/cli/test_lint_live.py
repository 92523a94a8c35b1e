"""``certpin lint --live``: findings about the certificate chains that real servers present."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab import Authority, LabServer
from certpin.lint import RULES
from certpin.pins import HostPin, HostPolicy, Pin, pins_of
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import dead, write
from tests.cli.conftest import HOST, Run
from tests.servers.listeners import without_tls
from tests.servers.nginx import Nginx, nginx

if TYPE_CHECKING:
    from certpin.lab import Identity

pytestmark = pytest.mark.peer("nginx")

LIVE = {
    *("live-mismatch", "live-unverified", "dead-pin-in-service", "one-chain", "backup-in-chain"),
    *("leaf-only-short-lived", "renewal-overdue", "authority-expires-soon", "not-asked"),
}


def _found(run: Run, *words: str | Path) -> tuple[set[str], int, dict[str, Any]]:
    done = run("lint", "--live", *words, "--json")
    _documented.check("lint", done.json)
    (file,) = done.json["files"]
    rules = {finding["rule"] for finding in done.json["findings"]}
    return rules & LIVE, done.code, file


def _policy(*pins: tuple[Pin, str]) -> HostPolicy:
    entries = tuple(HostPin(pin, role) for pin, role in pins)  # type: ignore[arg-type]  # roles
    return HostPolicy(kit.policy(HOST).pattern, entries)


def test_a_pinned_leaf_of_47_days_is_a_finding(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity
) -> None:
    write(kit.policy(HOST, identity.pin), trust=ca)
    rules, code, file = _found(run, *connect_args)
    assert (rules, code) == ({"leaf-only-short-lived"}, 0)
    assert (file["asked"], file["answered"]) == (1, 1)


def test_with_its_authority_pinned_too_it_is_not_a_finding(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity, intermediate: Authority
) -> None:
    authority = Pin.of_key(intermediate.certificate.spki_sha256)
    pins = ((identity.pin, "leaf"), (authority, "intermediate"), (kit.NOBODY, "backup"))
    write(_policy(*pins), trust=ca)
    assert _found(run, *connect_args)[:2] == (set(), 0)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_mismatch_and_an_unverified_chain_are_errors(
    trusted: bool, run: Run, connect_args: tuple[str, ...], ca: Path
) -> None:
    write(kit.policy(HOST), trust=ca if trusted else None)
    expected = {"live-mismatch"} if trusted else {"live-unverified"}
    assert _found(run, *connect_args)[:2] == (expected, 1)


def test_a_mismatch_has_the_advice_of_check(
    run: Run, connect_args: tuple[str, ...], ca: Path, intermediate: Authority
) -> None:
    """The pin is on the path: nothing is wrong with the server, and it needs no other key."""
    pinned = Pin.of_key(intermediate.certificate.spki_sha256)
    write(kit.policy(HOST, pinned, kit.NOBODY, match="leaf"), trust=ca)
    done = run("lint", "--live", *connect_args, "--json")
    [fix] = [each["fix"] for each in done.json["findings"] if each["rule"] == "live-mismatch"]
    assert 'match = "leaf" leaves it out: write match = "any"' in fix
    assert fix in " ".join(run("check", *connect_args).out.split())


def test_a_digest_of_the_wrong_kind_is_named(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity
) -> None:
    key, whole = pins_of(identity.certificate)
    write(kit.policy(HOST, Pin("sha256", whole.digest), kit.NOBODY), trust=ca)
    done = run("lint", "--live", *connect_args, "--json")
    [fix] = [each["fix"] for each in done.json["findings"] if each["rule"] == "live-mismatch"]
    assert f"written as the pin of its key: write {key} instead" in fix
    assert fix in " ".join(run("check", *connect_args).out.split())


def test_a_mismatch_of_expired_pins_keeps_its_own_advice(
    run: Run, connect_args: tuple[str, ...], ca: Path
) -> None:
    write(kit.policy(HOST, expires=datetime(2026, 1, 1, tzinfo=UTC)), trust=ca)
    done = run("lint", "--live", *connect_args, "--json")
    [fix] = [each["fix"] for each in done.json["findings"] if each["rule"] == "live-mismatch"]
    assert fix == RULES["live-mismatch"].fix


def test_a_backup_in_the_chain_and_a_chain_without_a_backup_are_errors(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity, intermediate: Authority
) -> None:
    authority = Pin.of_key(intermediate.certificate.spki_sha256)
    write(_policy((identity.pin, "leaf"), (authority, "backup")), trust=ca)
    assert _found(run, *connect_args)[:2] == ({"one-chain"}, 1)
    pins = ((identity.pin, "leaf"), (authority, "backup"), (kit.NOBODY, "backup"))
    write(_policy(*pins), trust=ca)
    assert _found(run, *connect_args)[:2] == ({"backup-in-chain"}, 1)


def test_a_compromised_key_that_is_served_is_an_error(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity
) -> None:
    write(dead(kit.policy(HOST), identity.pin), trust=ca)
    assert _found(run, *connect_args)[:2] == ({"dead-pin-in-service", "live-mismatch"}, 1)


def test_without_any_answer_the_result_is_inconclusive(run: Run, ca: Path) -> None:
    write(kit.policy(HOST), kit.policy("*.shops.example"), trust=ca)
    rules, code, file = _found(run, "--connect", "127.0.0.1:1")
    assert (rules, code) == ({"not-asked"}, 3)
    assert (file["asked"], file["answered"]) == (2, 0)


def test_with_one_answer_the_missing_ones_are_notes(
    run: Run, connect_args: tuple[str, ...], ca: Path, identity: Identity
) -> None:
    write(*(kit.policy(host, identity.pin) for host in (HOST, "*.shops.example")), trust=ca)
    rules, code, _ = _found(run, *connect_args)
    assert (rules, code) == ({"leaf-only-short-lived", "not-asked"}, 0)
    out = run("lint", "--live", *connect_args).out
    assert "1 of 2 servers answered, and only this machine asked" in out


def test_an_error_has_precedence_over_missing_answers(run: Run, ca: Path) -> None:
    write(kit.policy(HOST, whole := Pin("cert-sha256", bytes(range(32)))), trust=ca)
    assert _found(run, "--connect", "127.0.0.1:1", "--fail-on", "warning")[1] == 1
    assert str(whole)


def test_no_host_of_an_invalid_file_is_contacted(run: Run, ca: Path) -> None:
    write(kit.policy("**.co.example"), trust=ca)
    path = ca.parent / "work" / "pins.toml"
    path.write_text(path.read_text().replace("**.co.example", "**.co.uk"))
    done = run("lint", "--live", "--json")
    assert (done.code, done.json["files"][0]["asked"]) == (1, None)
    assert "no host was contacted" in done.err


def test_a_man_in_the_middle_is_reported_with_its_authority_and_the_expected_anchors(
    run: Run, ca: Path, identity: Identity
) -> None:
    """The host has ``trust = FILE``. The suggested fix does not mention missing intermediates."""
    write(kit.policy("localhost", identity.pin), trust=ca)
    with LabServer(Authority("Corporate Proxy").issue("localhost")) as rogue:
        way = ("--connect", f"127.0.0.1:{rogue.port}")
        checked, linted = run("check", *way), run("lint", "--live", *way)
    for done in (checked, linted):
        text = " ".join(done.out.split())
        assert done.code == 1
        assert "of CN=Corporate Proxy that issued it was not sent, and trust = " in text
        assert "expects CN=Test Root" in text
        assert "man in the middle" in text
        assert "--ca-file" not in text
        assert "intermediate certificates" not in text


def test_a_finding_is_at_the_server_that_causes_it(
    run: Run, bank: Nginx, ca: Path, identity: Identity, intermediate: Authority
) -> None:
    with nginx({HOST: intermediate.issue(HOST)}) as other:
        write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
        text = Path("pins.toml").read_text(encoding="utf-8")
        for port, region in ((bank.port, "eu"), (other.port, "us"), (1, "ap")):
            text += f'[[host.server]]\naddress = "127.0.0.1:{port}"\nregion = "{region}"\n'
        Path("pins.toml").write_text(text, encoding="utf-8")
        found = run("lint", "--live", "--json").json["findings"]
        github = run("lint", "--live", "--format", "github").out
    lines = [n for n, line in enumerate(text.splitlines(), 1) if line == "[[host.server]]"]
    places = {each["rule"]: (each["key"], each["line"]) for each in found}
    messages = {each["rule"]: each["message"] for each in found}
    assert places["live-mismatch"] == ("host[0].server[1]", lines[1])
    assert places["not-asked"] == ("host[0].server[2]", lines[2])
    assert f"{HOST}:{other.port} (us) serves" in messages["live-mismatch"]
    assert messages["not-asked"].startswith(f"{HOST}:1 (ap) could not be asked")
    assert f"line={lines[1]},title=certpin live-mismatch::" in github


def test_a_server_that_declines_tls_is_an_error_with_its_advice(
    run: Run, bank: Nginx, ca: Path, identity: Identity
) -> None:
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
    text = Path("pins.toml").read_text(encoding="utf-8")
    with without_tls() as port:
        text += f'[[host.server]]\naddress = "127.0.0.1:{bank.port}"\n'
        text += f'[[host.server]]\naddress = "127.0.0.1:{port}"\nstarttls = "postgres"\n'
        Path("pins.toml").write_text(text, encoding="utf-8")
        done = run("lint", "--live", "--json")
    (found,) = [each for each in done.json["findings"] if each["rule"] == "no-starttls"]
    assert (done.code, found["severity"]) == (1, "error")
    assert found["key"] == "host[0].server[1]"
    assert "STARTTLS stripping" in found["fix"]
    assert "not-asked" not in {each["rule"] for each in done.json["findings"]}


def test_a_host_that_was_not_asked_has_the_advice_of_its_error(run: Run, ca: Path) -> None:
    write(kit.policy(HOST), kit.policy("*.shops.example"), trust=ca)
    found = run("lint", "--live", "--connect", "127.0.0.1:1", "--json").json["findings"]
    fixes = {each["host"]: each["fix"] for each in found if each["rule"] == "not-asked"}
    assert fixes[HOST] == "check name and port, and that this network may reach it"
    assert "--host HOST" in fixes["*.shops.example"]
