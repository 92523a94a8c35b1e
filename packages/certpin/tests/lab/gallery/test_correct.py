"""Correct clients of the gallery, each on the whole matrix: no findings, so no causes.

More of them are in ``test_python`` and ``test_programs``, and those of the Dart package in
``tests/formats/interop/test_dart.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from certpin.lab.pki import Style
from certpin.lab.report.causes import find_causes
from tests.lab.gallery._gallery import CLIENTS, attacked, bad_cases, program
from tests.lab.gallery.test_programs import NO_NAMES
from tests.lab.gallery.test_python import LIBRARIES

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Correct:
    """A correct client: its command, its style, how it reaches the lab, and its warnings."""

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
ELSEWHERE = ("curl --pinnedpubkey", "go_tls.go", "certpin-dart")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.peer(_PEERS[name])) for name in CORRECT]
)
def test_a_correct_client_gets_no_finding(name: str) -> None:
    client = CORRECT[name]
    run = attacked(program(*client.words, via=client.via), client.style)
    assert set(bad_cases(run)) == client.warnings
    assert find_causes(run.results) == []


def test_the_gallery_has_enough_correct_clients() -> None:
    pinned_and_unpinned = 2 * len(LIBRARIES)
    assert pinned_and_unpinned + len(CORRECT) + len(ELSEWHERE) >= 12
