"""docs/guides/emergency.md: its commands replace a stolen key with the minimum of two pins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority
from certpin.pinfile import PinSet
from tests.documentation._blocks import shell_script
from tests.documentation._scripts import run_with_hosts

if TYPE_CHECKING:
    from pathlib import Path


# The ways of a version to clients: the commands before the theft, and those of the fifth step.
_SIGNED = """\
certpin publish init --root-key root.key --targets-key targets.key --online-key online.key --url www
mkdir www
export CERTPIN_SIGNING_KEYS="targets.key online.key"
"""
_PUSH = "certpin publish sign\ncertpin publish push\n"


@pytest.mark.slow
@pytest.mark.peer("unshare")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("signed", [False, True])
def test_a_stolen_key_is_replaced_as_on_the_page(tmp_path: Path, *, signed: bool) -> None:
    """The page's commands replace the stolen key with its backup, with and without signed pin sets.

    ``deploy.sh`` installs the backup key's certificate on the server.
    """
    root = Authority("Trusted Root")
    issuer = root.intermediate("Intermediate")
    stolen, backup = issuer.issue("api.bank.example"), issuer.issue("api.bank.example")
    stolen.write(tmp_path, "api")
    backup.write(tmp_path, "b")
    deploy = "".join(f"cp b.{end} .servers/api.bank.example.{end}\n" for end in ("pem", "key"))
    (tmp_path / "deploy.sh").write_text(f"#!/bin/sh\nset -eu\n{deploy}", encoding="utf-8")
    (tmp_path / "deploy.sh").chmod(0o755)
    before = "certpin add api.bank.example --match leaf --backup-pin b.key\n"
    page = shell_script("guides/emergency.md")
    if signed:
        before += _SIGNED + _PUSH
        assert page.count("certpin rotate shipped 2\n") == 1
        page = page.replace("certpin rotate shipped 2\n", _PUSH)
    else:
        before += "certpin rotate shipped 1 --clients 1200\n"
    script = f"set -eu\n{before}\n{page}"
    done = run_with_hosts(script, tmp_path, root, {"api.bank.example": stolen})
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"RECORDED: {stolen.pin} is COMPROMISED at api.bank.example." in done.stdout
    assert f"certpin rotate switch {backup.pin}" in done.stdout
    assert "certpin rotate start --new next-backup.key" in done.stdout
    pins = PinSet.load(tmp_path / "pins.toml")
    states = {entry.pin: entry.state for entry in pins.policies[0].pins}
    assert (states[stolen.pin], states[backup.pin]) == ("compromised", "active")
    assert len(states) == 3, "and the new backup"
    assert pins.version == 2
