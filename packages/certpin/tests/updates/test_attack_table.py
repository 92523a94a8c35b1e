"""docs/project/update-attacks.md: the tests in its tables exist, run, and fail without the rule."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import test_mutations
from tests.updates.conformance import test_rules
from tests.updates.conformance._site import CASES

PAGE = Path(__file__).parents[4] / "docs/project/update-attacks.md"
FOLDER = Path(__file__).parent
TESTS = "tests/updates/"
CASE = "conformance/test_conformance.py::test_the_client_does_what_the_specification_says"
# There is no rule to remove: certpin never calls what would follow delegations.
WITHOUT_A_RULE = {"conformance/test_conformance.py::test_delegated_metadata_is_never_requested"}
_LEFT_OUT = re.compile(r"\bskip(if)?\b|\bxfail\b|importorskip|since_python|peer\(")
# The attacks of TUF 1.0.31, section 1.5.2, and of the threat model of the Uptane standard.
ATTACKS = {
    *("arbitrary installation", "endless data", "extraneous dependencies", "fast-forward"),
    *("indefinite freeze", "malicious mirrors", "mix-and-match", "rollback", "key compromise"),
    *("wrong software", "slow retrieval", "drop-request", "partial bundle"),
}


def rows() -> list[tuple[str, list[str]]]:
    """Return the first cell of each row of the page's tables, and the tests that the row names."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if (
            line.startswith("| ")
            and len(cells) == 4
            and cells[0] not in {"attack", "vulnerability"}
        ):
            found.append((cells[0], [_node(name) for name in re.findall(r"`([^`]+)`", cells[3])]))
    return found


def _node(name: str) -> str:
    """Return the node id, below the folder ``updates``, of a test that the tables name."""
    if name.startswith("case: "):
        return f"{CASE}[{name.removeprefix('case: ')}]"
    return f"conformance/{name}" if name.startswith("test_conformance.py") else name


NAMED = sorted({name for _, names in rows() for name in names})


def test_every_attack_has_a_row_and_every_row_a_test() -> None:
    assert {name for name, _ in rows()} >= ATTACKS
    assert all(names for _, names in rows())
    assert len(NAMED) > 30


@pytest.mark.parametrize("name", NAMED)
def test_a_named_test_fails_without_its_rule(name: str) -> None:
    by_tuf = {f"{CASE}[{rule[-1]}]" for rule in test_rules.RULES}
    by_us = {mutation.test for mutation in test_mutations._mutations()}
    plain = name.partition("[")[0]
    assert (
        name in by_tuf | WITHOUT_A_RULE
        or f"{TESTS}{name}" in by_us
        or (plain != CASE and f"{TESTS}{plain}" in by_us)
    )


@pytest.mark.slow
def test_the_named_tests_exist_and_run(pytestconfig: pytest.Config) -> None:
    """pytest can collect each test that the tables name; an unknown name would be an error."""
    words = ["-q", "--collect-only", "-p", "no:cacheprovider", "-W", "ignore"]
    nodes = [str(FOLDER / name) for name in NAMED]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, *nodes],
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted({name.partition("[")[0] for name in NAMED}))
def test_a_named_test_is_never_skipped(name: str) -> None:
    """The test has no mark or call that skips it, or that expects it to fail."""
    file, _, function = name.partition("::")
    text = (FOLDER / file).read_text(encoding="utf-8")
    (found,) = (
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name == function
    )
    parts = [*found.decorator_list, *found.body]
    whole = "\n".join(ast.get_source_segment(text, part) or "" for part in parts)
    assert not _LEFT_OUT.search(whole)
    assert "pytestmark" not in text


def test_each_case_that_is_named_is_one() -> None:
    named = {name.partition("[")[2].rstrip("]") for name in NAMED if name.startswith(CASE)}
    assert named <= CASES.keys()
