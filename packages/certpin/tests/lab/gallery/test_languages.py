"""Broken clients in Go, Node.js, Dart and shell: cases catch them, and reports name the fault."""

from __future__ import annotations

from collections import Counter

import pytest

from certpin.lab.client import EveryWay
from certpin.lab.lab import Lab
from certpin.lab.report.causes import find_causes
from certpin.lab.report.faults import FAULTS
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import BY_NAME
from tests.lab.gallery._gallery import BROKEN, FILES, check, in_its_language, peer_of, program
from tests.lab.gallery._table import BY_WAY, COMPROMISED, HOLES, PROGRAMS, ROGUE, Hole
from tests.lab.gallery.test_broken import CAUSES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.peer(peer_of(name))) for name in PROGRAMS]
)
def test_a_program_in_another_language_is_caught(name: str) -> None:
    check(in_its_language(name, PROGRAMS[name]), PROGRAMS[name].hole)


@pytest.mark.peer("curl")
@pytest.mark.parametrize("name", BY_WAY)
def test_a_client_without_pins_in_one_way_is_caught_by_several_in_one_run(name: str) -> None:
    way = BY_WAY[name]
    curl = ("{ca}", "{pinnedpubkey}")
    words = ("sh", str(BROKEN / name), "{endpoint}", "{url}", *curl)
    without, pinned = (program(*words, via=via) for via in (way.open, way.closed))
    check(pinned, Hole((ROGUE,), "", "self-signed", outcome=Outcome.RIGHT))
    with Lab() as lab:
        run = prove(lab, EveryWay((without, pinned)), [BY_NAME[ROGUE]], repeat=2)
    assert run.controlled
    assert run.about.command == words
    found = run.results[1]
    assert (found.verdict, found.outcome) == (Verdict.FLAKY, Outcome.WRONG)
    assert f"{way.open}: ACCEPT" in found.why
    assert f"{way.closed}: REJECT" in found.why
    assert [cause.title for cause in find_causes(run.results)] == [way.cause]


def test_the_gallery_has_enough_clients_languages_and_faults() -> None:
    known = {f"{name}.py" for name in (*HOLES, *CAUSES)} | PROGRAMS.keys() | BY_WAY.keys()
    assert {str(path.relative_to(BROKEN)) for path in FILES} == known
    assert len(known) >= 60
    languages = Counter(path.suffix for path in FILES)
    assert languages.keys() == {".py", ".go", ".mjs", ".dart", ".sh"}
    assert min(languages.values()) >= 6
    causes = {hole.cause for hole in HOLES.values()} | {
        each.hole.cause for each in PROGRAMS.values()
    }
    causes |= set(CAUSES.values()) | {way.cause for way in BY_WAY.values()}
    assert len(causes - {"", COMPROMISED}) >= 40


def test_every_fault_of_the_tree_has_a_client() -> None:
    shown = {hole.cause for hole in HOLES.values()} | set(CAUSES.values())
    shown |= {each.hole.cause for each in PROGRAMS.values()}
    shown |= {way.cause for way in BY_WAY.values()}
    assert {fault.title for fault in FAULTS} <= shown
