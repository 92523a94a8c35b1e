"""``certpin rotate activate`` at a renewal: before a certificate is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from certpin.lab import Authority
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import JOURNAL, days_pass, invariants, stepped
from tests.cli.conftest import HOST, Run

OFFLINE = ("--offline",)
LEAF, BACKUP = kit.NOBODY_ELSE, kit.NOBODY


@pytest.fixture
def out(run: Run) -> Run:
    """Version 3 was published a hundred days ago."""
    write(kit.policy(HOST, LEAF, BACKUP))
    assert run("rotate", "publish", *OFFLINE, "--clients", "12").code == 0
    days_pass(100)
    return run


def test_an_active_key_is_not_recorded_again(out: Run) -> None:
    assert stepped(out, "activate", str(BACKUP), *OFFLINE)[0].code == 0
    before = Path("pins.toml").read_bytes(), JOURNAL.read_bytes()
    done = out("rotate", "activate", str(BACKUP), *OFFLINE)
    assert (done.code, "is ACTIVE already" in done.out) == (0, True)
    assert (Path("pins.toml").read_bytes(), JOURNAL.read_bytes()) == before


def test_an_active_key_is_refused_if_a_version_does_not_accept_it(out: Run) -> None:
    out("rotate", "generate", "--backup-key", "new.key")
    out("rotate", "stage", "new.key")
    words = (*OFFLINE, "--force", "--reason", "the old key is lost")
    assert stepped(out, "activate", "new.key", *words)[0].code == 0
    done, facts = stepped(out, "activate", "new.key", *OFFLINE)
    assert (done.code, invariants(facts)) == (1, ["adopted"])


def test_a_new_key_is_refused_with_the_clients_at_risk(out: Run) -> None:
    """An ACME client makes such a key at each renewal by default."""
    before = Path("pins.toml").read_bytes(), JOURNAL.read_bytes()
    done, facts = stepped(out, "activate", str(Authority("x").pin), *OFFLINE)
    assert (done.code, invariants(facts)) == (1, ["adopted"])
    assert facts["breaches"][0]["clients"] == 12
    assert (Path("pins.toml").read_bytes(), JOURNAL.read_bytes()) == before


def test_a_new_key_is_not_forced_past_the_draft(out: Run) -> None:
    words = (*OFFLINE, "--force", "--reason", "we know better")
    done = out("rotate", "activate", str(Authority("x").pin), *words)
    assert (done.code, "GENERATED, and cannot become ACTIVE" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("names", "policies", "asked"),
    [
        (["api.bank.example"], ["api.bank.example", "other.example"], ["api.bank.example"]),
        (
            ["api.bank.example", "other.example"],
            ["api.bank.example", "other.example"],
            ["api.bank.example", "other.example"],
        ),
        (["a.bank.example"], ["api.bank.example", "*.bank.example"], ["*.bank.example"]),
        (["api.bank.example"], ["api.bank.example", "**.bank.example"], ["api.bank.example"]),
        (
            ["*.bank.example"],
            ["api.bank.example", "bank.example", "**.bank.example"],
            ["api.bank.example", "**.bank.example"],
        ),
        (["*.bank.example"], ["*.a.bank.example", "**.a.bank.example"], ["**.a.bank.example"]),
        (["192.0.2.7"], ["192.0.2.7", "other.example"], ["192.0.2.7"]),
        (["no host"], ["api.bank.example", "other.example"], None),
    ],
)
def test_a_certificate_is_checked_for_each_of_its_hosts(
    run: Run, root: Authority, names: list[str], policies: list[str], asked: list[str] | None
) -> None:
    identity = root.issue(*names)
    Path("leaf.pem").write_bytes(identity.chain_pem)
    write(*(kit.policy(host, identity.pin, BACKUP) for host in policies))
    run("rotate", "publish", *OFFLINE)
    _, facts = stepped(run, "activate", "leaf.pem", *OFFLINE)
    assert facts["hosts"] == (asked or policies)  # of no host: those that have its pin


def test_a_certificate_for_a_host_without_its_pin_is_refused(run: Run, root: Authority) -> None:
    identity = root.issue(HOST, "other.example")
    Path("leaf.pem").write_bytes(identity.chain_pem)
    write(kit.policy(HOST, identity.pin, BACKUP), kit.policy("other.example", LEAF, BACKUP))
    run("rotate", "publish", *OFFLINE)
    before = JOURNAL.read_bytes()
    assert run("rotate", "activate", "leaf.pem", *OFFLINE).code != 0
    assert JOURNAL.read_bytes() == before
    assert run("rotate", "activate", str(identity.pin), *OFFLINE, "--host", HOST).code == 0
