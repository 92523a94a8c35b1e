"""Example clients with one fault each: the listed cases catch it, and a similar case passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.lab.attacks.connections import CONNECTIONS
from certpin.lab.attacks.exhaustion import EXHAUSTION
from certpin.lab.attacks.handshakes import HANDSHAKES
from certpin.lab.attacks.hosts import HOSTS
from certpin.lab.attacks.http3 import HTTP3
from certpin.lab.attacks.leaves import LEAVES
from certpin.lab.attacks.lookalikes import LOOKALIKES
from certpin.lab.attacks.proxies import PROXIES
from certpin.lab.attacks.roots import ROOTS
from tests.lab.gallery._gallery import BROKEN, FILES, broken, check
from tests.lab.gallery._table import HOLES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", HOLES)
def test_the_cases_that_name_its_fault_catch_the_client(name: str) -> None:
    check(broken(name), HOLES[name])


# The files of lab/attacks that need a client for each of their cases.
ATTACK_FILES = (
    *(CONNECTIONS, EXHAUSTION, HANDSHAKES, HOSTS, HTTP3, LEAVES, LOOKALIKES),
    *(PROXIES, ROOTS),
)
BESIDE = (
    *("rogue-chain-as-long", "rogue-chain-longer", "rot-shorter-chain"),
    "rot-renewed-other-extensions",
    *("wrong-host-public-suffix", "cn-beside-other-san"),
    *("name-constraints-widened", "extended-key-usage-empty"),
    *("unanswered-then-rogue", "rogue-on-both-hosts"),
)


def test_every_hole_has_a_client_that_shows_it() -> None:
    cases = {case.name for file in ATTACK_FILES for case in file}
    shown = {case for hole in HOLES.values() for case in hole.cases}
    assert cases | set(BESIDE) <= shown, "fix: a Fault of lab/report/faults, and a broken client"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(BROKEN)))
def test_the_head_of_a_program_says_how_to_run_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "Broken: " in text
    assert "certpin prove " in text
    assert f" {path.stem} " in text or f" {path.name}" in text
