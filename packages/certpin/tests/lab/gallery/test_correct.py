"""Correct example clients pass every case of the lab, so the report has no findings or causes.

More correct clients are in ``test_python`` and ``test_programs``, and those of the Dart package
in ``tests/formats/interop/test_dart.py``.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from certpin.lab.attacks import CASES
from certpin.lab.attacks.ech import ECH
from certpin.lab.attacks.proxies import PROXIES
from certpin.lab.pki import Style
from certpin.lab.report.causes import find_causes
from certpin.lab.verdict import Outcome
from tests.formats.interop._dart import DECISIVE_CASES
from tests.lab._clients import BY_NAME, node_faults
from tests.lab.gallery._gallery import (
    CLIENTS,
    attacked,
    bad_cases,
    go_program,
    library,
    program,
)
from tests.lab.gallery.test_programs import NO_NAMES
from tests.lab.gallery.test_python import LIBRARIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from _pytest.mark import ParameterSet

    from certpin.lab.case import Case

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Correct:
    """A correct example client, and the cases for which a warning is expected.

    ``words`` are its command, and ``via`` is how it reaches the lab.
    """

    words: tuple[str, ...]
    style: Style
    via: str
    warnings: frozenset[str] = frozenset(NO_NAMES)


CURL = ("curl", "--silent", "--show-error", "--location", "--proto", "=https")
STRICT_SHELL = str(CLIENTS / "openssl_strict.sh")
CORRECT = {
    "curl": Correct((*CURL, "--cacert", "{ca}", "{url}"), Style.NONE, "connect"),
    "node_strict.mjs": Correct(
        ("node", str(CLIENTS / "node_strict.mjs"), "{host}", "{port}"), Style.LEAF, "port"
    ),
    "openssl_strict.sh": Correct(
        ("sh", STRICT_SHELL, "{endpoint}", "{host}", "{canary}", "{ca}"),
        Style.NONE,
        "port",
        frozenset({*NO_NAMES, "wrong-host-wildcard-part"}),
    ),
}
_PEERS = {"curl": "curl", "node_strict.mjs": "node", "openssl_strict.sh": "openssl"}
# The correct clients of the other tests: curl, Go with each style, and the Dart package.
ELSEWHERE = ("curl --pinnedpubkey", "go_tls.go", "certpin-dart", "node_proxy.mjs", "go_ech.go")


# Node.js starts slowly, and two other clients in it run all cases: that of test_programs.py, and
# one with the exported pins.
_FEWER = {"node_strict.mjs": DECISIVE_CASES}


def _runs() -> Iterator[ParameterSet]:
    for name in CORRECT:
        peer = pytest.mark.peer(_PEERS[name])
        yield pytest.param(name, _FEWER.get(name, CASES), marks=peer, id=name)
        if name in _FEWER:
            yield pytest.param(name, CASES, marks=(peer, pytest.mark.gallery), id=f"{name}, all")


@pytest.mark.parametrize(("name", "cases"), list(_runs()))
def test_a_correct_client_gets_no_finding(name: str, cases: Sequence[Case]) -> None:
    client = CORRECT[name]
    run = attacked(program(*client.words, via=client.via), client.style, only=cases)
    faults = node_faults() if _PEERS[name] == "node" else {}
    expected = {*client.warnings, *faults} & {case.name for case in cases}
    assert set(bad_cases(run)) == expected
    assert find_causes([each for each in run.results if each.case.name not in faults]) == []


PROXY_CASES = (*(case for case in PROXIES if case.control), BY_NAME["rogue-ca-in-store"])


@pytest.mark.filterwarnings(
    # Before Python 3.13 asyncio fails on a failed handshake in TLS in TLS, and closes nothing.
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("name", LIBRARIES)
def test_certpin_checks_pins_behind_an_https_proxy(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = attacked(library(name, "pinned", monkeypatch), Style.LEAF, jobs=1, only=PROXY_CASES)
    assert {result.outcome for result in run.results} == {Outcome.RIGHT}
    gc.collect()


PINNED_CURL = (*CURL, "--cacert", "{ca}", "--pinnedpubkey", "{pinnedpubkey}")


def _in_go() -> tuple[str, ...]:
    return str(go_program("go_tls", CLIENTS / "go_tls.go")), "{url}"


BEHIND_PROXY: dict[str, Callable[[], tuple[str, ...]]] = {
    "curl": lambda: (*PINNED_CURL, "--proxy-cacert", "{ca}", "{url}"),
    "go": _in_go,
    "node": lambda: ("node", str(CLIENTS / "node_proxy.mjs"), "{host}"),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.peer(name)) for name in BEHIND_PROXY]
)
def test_a_correct_program_checks_pins_behind_an_https_proxy(name: str) -> None:
    run = attacked(program(*BEHIND_PROXY[name]()), Style.LEAF, only=PROXY_CASES)
    assert {result.outcome for result in run.results} == {Outcome.RIGHT}


@pytest.mark.peer("go")
def test_a_correct_client_checks_its_pins_after_a_rejection_of_ech() -> None:
    words = str(go_program("go_ech", CLIENTS / "go_ech.go")), "{url}"
    run = attacked(program(*words), Style.LEAF, only=(*ECH, BY_NAME["rogue-ca-in-store"]))
    assert {result.outcome for result in run.results} == {Outcome.RIGHT}


def test_the_gallery_has_enough_correct_clients() -> None:
    pinned_and_unpinned = 2 * len(LIBRARIES)
    assert pinned_and_unpinned + len(CORRECT) + len(ELSEWHERE) >= 12
