"""The page docs/guides/rotate.md lists every rule and the dates of a plan; its commands work."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, get_args

import pytest

from certpin.lab import Authority, Identity
from certpin.pinfile import PinSet
from certpin.rotation import AdoptionDelays, DeployedVersions, Invariant, Version, plan
from certpin.support.text import in_utc
from tests.documentation._blocks import DOCS, blocks, shell_script
from tests.documentation._scripts import run_with_hosts
from tests.rotation._situations import pin, pin_set, sighting, situation

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.pins import State

PAGE = (DOCS / "guides/rotate.md").read_text(encoding="utf-8")
BEGIN = datetime(2027, 3, 1, 9, tzinfo=UTC)


def test_every_invariant_is_documented() -> None:
    table = PAGE.partition("## What a refusal means")[2]
    explained = set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE))
    fields = (DOCS / "reference/json.md").read_text(encoding="utf-8")
    row = fields.partition("### JSON: breach\n")[2].partition("| `invariant` |")[2]
    listed = set(re.findall(r"`([\w-]+)`", row.partition("\n")[0]))
    names = set(get_args(Invariant))
    fix = "fix: the table of refusals in docs/guides/rotate.md"
    assert explained == names, fix
    assert listed == names, 'fix: the row `invariant` of "JSON: breach" in docs/reference/json.md'


def test_the_example_matches_the_plan() -> None:
    states: dict[str, State] = {"a": "active", "b": "published"}
    out = Version(pin_set(states, 11), fetched=BEGIN - timedelta(days=90))
    known = situation(out.pins, out, seen=(sighting("a"),), timing=AdoptionDelays(), now=BEGIN)
    made = plan(replace(known, deployed=DeployedVersions((out,))), pin("c"))
    acts = ["stage", "publish", "activate", "serve", "retire", "remove", "publish"]
    assert [step.act for step in made.steps] == acts
    assert [step.version for step in made.steps if step.version] == [12, 13]
    (date,) = [step.not_before for step in made.steps if step.not_before]
    example = PAGE.partition("## An example, with dates")[2].partition("\n## ")[0]
    assert example.count(in_utc(date)) == 3
    assert in_utc(BEGIN).startswith("2027-03-01 09:00")


_DAYS = """python - <<'END'
import datetime
import re
from pathlib import Path

journal = Path("pins.journal.jsonl")
past = datetime.timedelta(days=40)
moved = re.sub(
    r'("time": ")([^"]+)Z',
    lambda m: f"{m[1]}{(datetime.datetime.fromisoformat(m[2]) - past).isoformat()}Z",
    journal.read_text(),
)
journal.write_text(moved)
END
"""
_INIT = (
    "certpin add api.bank.example --match leaf --backup-pin {}\n"
    "certpin publish init --root-key root.key --targets-key targets.key "
    "--online-key online.key --url www\nmkdir www"
)
# What an authority does with the request.
_CERTIFY = """openssl x509 -req -in next.csr -CA ca.pem -CAkey ca.key -days 30 \\
  -copy_extensions copyall -out leaf.pem
cat leaf.pem ca.pem > fullchain.pem
"""


def _steps() -> list[str]:
    """Return the texts of the page's shell blocks that are to be run, in order."""
    page = blocks("guides/rotate.md")
    found = [each.text for each in page if each.language == "sh" and not each.not_run]
    assert "\n".join(["set -eu", "", *found]) == shell_script("guides/rotate.md")
    return found


def _deploy(folder: Path, *commands: str) -> None:
    (folder / "deploy.sh").write_text("\n".join(["#!/bin/sh", "set -eu", *commands]))
    (folder / "deploy.sh").chmod(0o755)


@pytest.mark.slow
@pytest.mark.peer("unshare", "openssl")
@pytest.mark.timeout(300)
def test_a_key_is_rotated_with_the_commands_of_the_page(tmp_path: Path) -> None:
    """The page's shell commands replace the server's key completely.

    The test simulates forty days between the parts. ``deploy.sh``, which the page calls, installs
    the new chain on the server.
    """
    root = Authority("Trusted Root")
    issuer = root.intermediate("Intermediate")
    old, backup = issuer.issue("api.bank.example"), issuer.issue("api.bank.example")
    (tmp_path / "ca.pem").write_bytes(issuer.pem)
    (tmp_path / "ca.key").write_bytes(Identity(issuer.key, ()).key_pem)
    served = ".servers/api.bank.example"
    _deploy(tmp_path, f"cp next.key {served}.key", f"cp fullchain.pem {served}.pem")
    begin, start, switch, finish = _steps()
    parts = [_INIT.format(backup.pin), begin, _DAYS, start, _DAYS, _CERTIFY, switch, finish]
    script = "\n".join(["set -eu", *parts])
    done = run_with_hosts(script, tmp_path, root, {"api.bank.example": old})
    assert done.returncode == 0, done.stdout + done.stderr
    pins = PinSet.load(tmp_path / "pins.toml")
    states = {entry.pin: entry.state for entry in pins.policies[0].pins}
    assert (states[old.pin], states[backup.pin], pins.version) == ("removed", "published", 3)
    assert sorted(states.values()) == ["active", "published", "removed"]
    signed = max((tmp_path / "www/metadata").glob("*.targets.json"))
    assert '"version":3' in signed.read_text(encoding="utf-8")
