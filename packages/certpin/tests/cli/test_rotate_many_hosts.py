"""The work of rotation commands grows linearly with the hosts of the pin file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority
from certpin.pins import HostPin
from tests import kit
from tests._calls import calls_of
from tests.cli._pinfiles import write
from tests.rotation._situations import pin

if TYPE_CHECKING:
    from certpin.pins import HostPolicy
    from tests.cli.conftest import Run

KEY, NEXT = (Authority(name).issue("api.bank.example").pin for name in ("Old", "New"))


def policy(number: int) -> HostPolicy:
    """Return the policy of a host with two pins that all hosts share, and one that only it has."""
    made = kit.policy(f"h{number}.bank.example", KEY, NEXT, pin(f"backup {number}"))
    active, *backups = made.pins
    entries = (HostPin(each.pin, "backup", "published") for each in backups)
    return replace(made, pins=(active, *entries))


def change_one_host(run: Run, hosts: int) -> None:
    """Record a version with this number of hosts, and add a backup to one of them afterwards."""
    Path("pins.journal.jsonl").unlink(missing_ok=True)
    write(*map(policy, range(hosts)))
    assert run("rotate", "shipped", "3", "--offline").code == 0
    Path("next.key").write_bytes(Authority("any").key_pem)
    assert run("rotate", "start", "next.key", "--host", "h0.bank.example").code == 0


@pytest.mark.medium
@pytest.mark.parametrize("words", [("status",), ("plan", "--to", f"{NEXT}")], ids=lambda a: a[0])
def test_work_grows_linearly_with_the_hosts(run: Run, words: tuple[str, ...]) -> None:
    """Each host waits for the others, but the rules are evaluated once for each host."""
    counts = []
    for hosts in (10, 10, 20):  # the first run imports modules
        change_one_host(run, hosts)
        counts.append(calls_of(lambda: run("rotate", *words, "--offline")))
    _, few, many = counts
    assert many < 2.3 * few, counts
