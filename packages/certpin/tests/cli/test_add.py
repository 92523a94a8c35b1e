"""``certpin add``: the policy that it writes, and refusals that write nothing."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority, Identity, LabServer
from certpin.pinfile import PinSet
from certpin.pins import Pin
from tests import kit
from tests.cli import _chains, _documented
from tests.cli._rotating import next_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Run

KEY = ("--backup-key", "backup.key")


@pytest.fixture
def server(identity: Identity) -> Iterator[LabServer]:
    with LabServer(identity) as running:
        yield running


@pytest.fixture
def target(server: LabServer) -> str:
    return f"localhost:{server.port}"


def test_a_host_is_written_with_the_key_of_its_leaf_and_a_backup(
    run: Run, target: str, ca: Path, identity: Identity
) -> None:
    done = run("add", target, "--ca-file", shutil.copy(ca, "own.pem"), *KEY)
    assert (done.code, done.err) == (0, "")
    (policy,) = PinSet.load("pins.toml").policies
    assert str(policy.pattern) == "localhost"
    assert (policy.mode, policy.match) == ("enforce", "any")
    leaf, backup = policy.pins
    assert (leaf.pin, leaf.role, leaf.state) == (identity.pin, "leaf", "active")
    assert (backup.role, backup.state, backup.note) == (
        "backup",
        "staged",
        "key file backup.key",
    )
    assert done.out.splitlines()[:3] == [
        "localhost is in pins.toml (version 1).",
        f"  leaf         {leaf.pin}",
        f"  backup       {backup.pin}",
    ]


def test_as_json_every_field_is_as_documented(run: Run, target: str, ca: Path) -> None:
    own = shutil.copy(ca, "own.pem")
    done = run("add", target, "--ca-file", own, *KEY, "--expires", "2099-12-31", "--json")
    _documented.check("add", done.json)
    assert done.json["expires"] == "2099-12-31"
    assert done.json["backup_key"] == "backup.key"
    assert done.json["trust"] == "own.pem"
    assert (done.code, done.err) == (0, "")


def test_a_check_succeeds_after_add(run: Run, target: str, ca: Path) -> None:
    run("add", target, "--ca-file", ca, *KEY)
    assert run("check").code == 0


def test_the_written_file_passes_lint(run: Run, target: str, ca: Path) -> None:
    assert run("add", target, "--ca-file", ca, *KEY).code == 0
    done = run("lint", "--fail-on", "note")
    assert (done.code, done.out) == (0, "0 errors, 0 warnings, 0 notes in pins.toml\n")


@pytest.mark.parametrize(("mode", "days"), [("enforce", 365), ("report", 90)])
def test_lint_accepts_the_default_expiry(run: Run, mode: str, days: int) -> None:
    words = ("--pin", str(kit.NOBODY), "--backup-pin", str(kit.NOBODY_ELSE), "--mode", mode)
    today = datetime.now(UTC).date()
    done = run("add", "nobody.invalid", *words)
    expires = PinSet.load("pins.toml").policies[0].expires
    assert expires is not None
    assert expires.date() - today in {timedelta(days), timedelta(days + 1)}  # midnight may pass
    assert f"  expires      {expires:%Y-%m-%d}: ship newer pins" in done.out
    assert run("lint", "--fail-on", "warning").code == 0


def test_the_backup_is_staged_for_the_rotation(run: Run, target: str, ca: Path) -> None:
    run("add", target, "--ca-file", ca, *KEY)
    (host,) = run("rotate", "status", "--json").json["hosts"]
    state = {pin["role"]: pin["state"] for pin in host["pins"]}
    assert state["backup"] == PinSet.load("pins.toml").policies[0].pins[1].state == "staged"
    assert run("rotate", "shipped", next_number()).code == 0
    assert PinSet.load("pins.toml").policies[0].pins[1].state == "published"


def test_an_enforced_host_without_a_backup_is_refused_before_connecting(run: Run) -> None:
    done = run("add", "nobody.invalid")
    assert (done.code, done.out) == (2, "")
    assert "--backup-key FILE" in done.err
    assert list(Path().iterdir()) == []


def test_a_host_in_report_mode_needs_no_backup(run: Run, target: str, ca: Path) -> None:
    assert run("add", target, "--ca-file", ca, "--mode", "report").code == 0
    assert len(PinSet.load("pins.toml").policies[0].pins) == 1


@pytest.fixture
def in_use(identity: Identity, intermediate: Authority, root: Authority) -> dict[str, Pin]:
    """Return the pins of the served chain: of its three keys, and of the leaf certificate."""
    return {
        "leaf": identity.pin,
        "intermediate": intermediate.pin,
        "root": root.pin,
        "certificate": Pin("cert-sha256", identity.certificate.sha256),
    }


@pytest.mark.parametrize("place", ["leaf", "intermediate", "root", "certificate"])
def test_a_backup_in_the_served_chain_is_refused(
    run: Run, target: str, ca: Path, in_use: dict[str, Pin], place: str
) -> None:
    done = run("add", target, "--ca-file", ca, "--backup-pin", str(in_use[place]))
    assert (done.code, done.out) == (2, "")
    assert "is in the chain that the server uses now" in done.err
    assert list(Path().iterdir()) == []


def test_a_backup_that_is_served_outside_the_path_is_refused(
    run: Run, identity: Identity, ca: Path
) -> None:
    stray = _chains.self_signed("stray.example")
    extra = Identity(identity.key, identity.chain + stray.chain)
    with LabServer(extra) as server:
        target = f"localhost:{server.port}"
        done = run("add", target, "--ca-file", ca, "--backup-pin", str(stray.pin))
    assert done.code == 2


def test_a_known_backup_may_be_named(run: Run, target: str, ca: Path) -> None:
    done = run("add", target, "--ca-file", ca, "--backup-pin", str(kit.NOBODY))
    assert done.code == 0
    assert PinSet.load("pins.toml").policies[0].pins[1].pin == kit.NOBODY


def test_a_known_pin_is_added_without_connecting(run: Run) -> None:
    pins = ("--pin", str(kit.NOBODY), "--backup-pin", str(kit.NOBODY_ELSE))
    done = run("add", "nobody.invalid", *pins)
    assert (done.code, done.out.splitlines()[-1]) == (0, "Next:  certpin check")


@pytest.mark.parametrize("option", ["--pin", "--backup-pin"])
def test_an_invalid_pin_is_refused(run: Run, option: str) -> None:
    pins = {"--pin": str(kit.NOBODY), "--backup-pin": str(kit.NOBODY_ELSE), option: "sha256/junk"}
    done = run("add", "nobody.invalid", *(word for pair in pins.items() for word in pair))
    assert done.code == 2
    assert list(Path().iterdir()) == []


def test_the_same_pin_twice_is_no_backup(run: Run) -> None:
    pins = ("--pin", str(kit.NOBODY), "--backup-pin", str(kit.NOBODY))
    assert run("add", "nobody.invalid", *pins).code == 2
    assert list(Path().iterdir()) == []


def test_with_match_ca_the_key_of_the_issuer_is_pinned(
    run: Run, target: str, ca: Path, intermediate: Authority
) -> None:
    backup = ("--backup-pin", str(kit.NOBODY))
    assert run("add", target, "--ca-file", ca, "--match", "ca", *backup).code == 0
    (policy,) = PinSet.load("pins.toml").policies
    assert (policy.pins[0].pin, policy.pins[0].role) == (intermediate.pin, "intermediate")
    assert run("check", "--host", target).code == 0


def test_with_match_ca_the_issuer_may_be_the_root(run: Run, root: Authority, ca: Path) -> None:
    words = ("--ca-file", ca, "--match", "ca", "--backup-pin", str(kit.NOBODY), "--json")
    with LabServer(root.issue("localhost")) as server:
        done = run("add", f"localhost:{server.port}", *words)
    assert done.json["pins"][0] | {"pin": str(root.pin), "role": "root"} == done.json["pins"][0]


def test_with_match_ca_a_self_signed_certificate_is_refused(run: Run, tmp_path: Path) -> None:
    own = _chains.self_signed("localhost")
    (tmp_path / "own.pem").write_bytes(own.chain_pem)
    words = ("--ca-file", tmp_path / "own.pem", "--match", "ca", "--backup-pin", str(kit.NOBODY))
    with LabServer(own) as server:
        done = run("add", f"localhost:{server.port}", *words)
    assert done.code == 2
    assert "--match leaf" in done.err


def test_with_match_ca_the_backup_is_an_authority_that_clients_trust(
    run: Run, target: str, ca: Path, root: Authority, intermediate: Authority
) -> None:
    other = Authority("Other root")
    below = other.intermediate("Below")
    options = ("--match", "ca", "--backup-pin", "backup.pem", "--ca-file")
    refused = {
        intermediate.issue("localhost").chain_pem: "is no authority: its basicConstraints",
        other.pem: "CN=Other root leads to none of them",
        below.pem: "to that file first: CN=Other root",
        below.pem + other.pem: "to that file first: CN=Other root",
    }
    for content, problem in refused.items():
        Path("backup.pem").write_bytes(content)
        done = run("add", target, *options, ca)
        assert (done.code, Path("pins.toml").exists()) == (2, False)
        assert problem in done.err
    Path("backup.pem").write_bytes(root.intermediate("Second").pem)
    assert run("add", target, *options, ca).code == 0
    Path("pins.toml").unlink()
    Path("backup.pem").write_bytes(below.pem)
    Path("both.pem").write_bytes(ca.read_bytes() + other.pem)
    assert run("add", target, *options, "both.pem").code == 0


def test_a_new_key_is_no_backup_of_an_authority(run: Run) -> None:
    done = run("add", "nobody.invalid", "--match", "ca", *KEY)
    assert done.code == 2
    assert "--backup-pin" in done.err


@pytest.mark.parametrize("day", ["2020-01-01", f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"])
def test_an_expiry_in_the_past_is_refused(run: Run, day: str) -> None:
    done = run("add", "nobody.invalid", "--expires", day, *KEY)
    assert (done.code, "locked out" in done.err) == (2, True)


@pytest.mark.parametrize("day", ["tomorrow", "2099-13-01", "01.02.2099"])
def test_an_invalid_day_is_refused(run: Run, day: str) -> None:
    assert run("add", "nobody.invalid", "--expires", day, *KEY).code == 2


def test_the_options_are_written_to_the_file(run: Run, target: str, ca: Path) -> None:
    wishes = ("--match", "leaf", "--mode", "report", "--expires", "2099-12-31", "--name", "bank")
    assert run("add", target, "--ca-file", ca, *KEY, *wishes).code == 0
    pins = PinSet.load("pins.toml")
    (policy,) = pins.policies
    assert pins.name == "bank"
    assert (policy.match, policy.mode) == ("leaf", "report")
    assert policy.expires == datetime(2099, 12, 31, tzinfo=UTC)
