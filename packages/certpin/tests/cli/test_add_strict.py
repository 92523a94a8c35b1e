"""``certpin add`` and chains that only strict verification refuses (RFC 5280 section 4.2.1.3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from certpin.lab import Authority, Identity, LabServer
from certpin.lab.forge.forgeries import change_intermediate
from certpin.pinfile import PinSet
from tests import kit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Run

BACKUP = ("--backup-key", "backup.key")


@pytest.fixture
def target(root: Authority) -> Iterator[str]:
    """Start a server below an intermediate without keyUsage, as in many private authorities."""
    lax = change_intermediate(root.intermediate("No keyUsage"), without=(x509.KeyUsage,))
    with LabServer(lax.issue("localhost")) as server:
        yield f"localhost:{server.port}"


def _strict() -> bool | None:
    (policy,) = PinSet.load("pins.toml").policies
    assert policy.trust is not None
    return policy.trust.strict


def test_the_refusal_names_the_option_that_accepts_it(run: Run, target: str, ca: Path) -> None:
    done = run("add", target, "--ca-file", ca, "--strict-x509", *BACKUP)
    assert done.code == 2
    assert "RFC 5280 section 4.2.1.3" in done.err
    assert "fix: " in done.err
    assert "--no-strict-x509" in " ".join(done.err.partition("fix: ")[2].split())
    assert "`strict_x509 = false`" not in done.err
    assert list(Path().glob("*.toml")) == []


@pytest.mark.since_python("3.13")
def test_the_default_refusal_names_the_option_too(run: Run, target: str, ca: Path) -> None:
    done = run("add", target, "--ca-file", ca, *BACKUP)
    assert done.code == 2
    assert "--no-strict-x509" in done.err


def test_with_that_option_the_host_is_added_and_checks(run: Run, target: str, ca: Path) -> None:
    done = run("add", target, "--ca-file", ca, "--no-strict-x509", *BACKUP, "--json")
    assert (done.code, done.json["strict_x509"]) == (0, False)
    assert _strict() is False
    assert run("check").code == 0
    assert run("lint", "--fail-on", "note").code == 0


def test_strict_is_written_too(run: Run, ca: Path, identity: Identity) -> None:
    with LabServer(identity) as server:
        target = f"localhost:{server.port}"
        assert run("add", target, "--ca-file", ca, "--strict-x509", *BACKUP).code == 0
    assert _strict() is True


def test_without_an_option_the_pin_file_has_no_such_key(run: Run, ca: Path) -> None:
    words = ("--pin", str(kit.NOBODY), "--mode", "report", "--ca-file", ca)
    done = run("add", "nobody.invalid", *words, "--json")
    assert done.json["strict_x509"] is None
    assert _strict() is None
    assert "strict_x509" not in Path("pins.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("option", ["--strict-x509", "--no-strict-x509"])
def test_the_option_needs_a_file_of_authorities(run: Run, option: str) -> None:
    done = run("add", "nobody.invalid", option, *BACKUP)
    assert done.code == 2
    assert f"{option} is for a host with its own authority: add --ca-file FILE" in done.err
