"""Helpers for tests of signed pin sets: make the signing keys, sign versions, and fetch them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin.pins import Pin, utc_now
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli._rotating import SERVED, Bank, days_pass, record_signed
from tests.cli.conftest import HOST
from tests.publish._firm import Client, Firm

if TYPE_CHECKING:
    from tests.cli.conftest import Run

FOLDER = Path("publish")
KEYS = ("root.key", "targets.key", "online.key")
INIT = ("--root-key", KEYS[0], "--targets-key", KEYS[1], "--online-key", KEYS[2])
SIGN = ("publish", "sign", *KEYS, *SERVED)
NEW = Pin("sha256", bytes(range(7, 39)))


def documented(run: Run, command: str, *words: Any, **env: str) -> dict[str, Any]:
    """Run a ``certpin publish`` command. It must succeed and print the documented JSON.

    Return the JSON data.
    """
    done = run("publish", command, *words, "--json", **env)
    assert done.code == 0, done.err
    _documented.check(f"publish {command}", done.json)
    found: dict[str, Any] = done.json
    return found


def out(run: Run, *pins: Pin) -> None:
    """Write a pin file with these pins, and record it as the next published version."""
    write(kit.policy(HOST, *pins))
    record_signed()


def begin(run: Run) -> None:
    """Make the signing keys, and record version 3 as published and signed."""
    write(kit.policy(HOST))
    documented(run, "init", *INIT, "--url", "www")
    record_signed()


def sign_long_ago(run: Run) -> None:
    """Sign and push version 4, with two backups, a hundred days ago."""
    bank = Bank(run)
    assert bank("start", "--new", "c.key").code == 0
    for words in (("init", *INIT, "--url", "www"), SIGN[1:], ("push",)):
        assert run("publish", *words).code == 0
    days_pass(100)


def follow(now: Any = None) -> int:
    """Return the version of the pin file that a tuf client has after it fetched from the site.

    ``now`` is the client's time.
    """
    shutil.rmtree("client", ignore_errors=True)
    return Client(Firm(Path(), now or utc_now()), Path("client").absolute()).follow()
