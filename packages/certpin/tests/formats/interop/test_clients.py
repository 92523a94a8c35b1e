"""Every export in its real client: the client passes all cases of the lab but the listed ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from certpin.lab.attacks import CASES
from certpin.lab.verdict import Outcome
from scripts.record import FORBIDDEN
from tests.formats.interop._dart import DECISIVE_CASES
from tests.formats.interop._page import TARGET, version
from tests.formats.interop._programs import may_resolve
from tests.formats.interop._proofs import NOT_RUN, PROOFS, REASONS, Proof, failed
from tests.lab._clients import node_faults

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab.runner import Run

# The package has its own runs over all cases (test_dart.py).
_FEWER = {
    proof.name: replace(proof, cases=tuple(case.name for case in DECISIVE_CASES))
    for proof in PROOFS
    if "dart" in proof.peers
}


def _run(proof: Proof, name: str, *marks: pytest.MarkDecorator) -> object:
    marks += (pytest.mark.slow, pytest.mark.peer(*proof.peers))
    return pytest.param(proof, id=name, marks=marks)


@pytest.mark.timeout(600)  # a program is started for each case
@pytest.mark.parametrize(
    "proof",
    [
        *(_run(_FEWER.get(each.name, each), each.name) for each in PROOFS),
        *(
            _run(each, f"{each.name}, all cases", pytest.mark.gallery)
            for each in PROOFS
            if each.name in _FEWER
        ),
    ],
)
def test_the_client_passes_all_cases_except_the_listed_ones(proof: Proof, tmp_path: Path) -> None:
    if "unshare" in proof.peers and not may_resolve():
        pytest.skip(f"left out: {FORBIDDEN}to mount an /etc/hosts for one program")
    run = proof.run(tmp_path / "client")
    if _undecided(run):  # a program that did not start on a busy machine has proven nothing
        run = proof.run(tmp_path / "once more")
    assert run.controlled, [each.why for each in run.results]
    assert not _undecided(run)
    endings = {each.case.name: each.attempts[-1].ending for each in run.results if each.attempts}
    fails = {**proof.fails, **(node_faults() if "node" in proof.peers else {})}
    assert failed(run) == fails, {name: endings[name] for name in failed(run)}
    right = {each.case.name for each in run.results if each.outcome is Outcome.RIGHT}
    assert {"rogue-ca-in-store", "rot-backup-live"} <= right


def _undecided(run: Run) -> list[str]:
    """Return the undecided cases of a run, each with the reason and how the client ended."""
    return [
        f"{each.case.name}: {each.why}: {[attempt.ending for attempt in each.attempts]}"
        for each in run.results
        if each.outcome is Outcome.UNDECIDED
    ]


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.name)
def test_the_page_has_all_cases_and_the_failures_of_the_client(proof: Proof) -> None:
    start = f"| `{proof.format}` | {proof.client} | "
    lines = TARGET.read_text(encoding="utf-8").splitlines()
    [line] = [each for each in lines if each.startswith(start) and f"| {proof.style} |" in each]
    *_, right_of, policy, left, failures = line.removesuffix(" |").split(" | ")
    assert failures == (", ".join(f"`{name}`" for name in sorted(proof.fails)) or "nothing")
    right, _, judged = right_of.removesuffix(" (chosen)").partition(" of ")
    assert int(judged) - int(right) == len(proof.fails), "fix: make proof"
    if proof.cases:
        assert (int(judged), policy, left) == (len(proof.cases), "-", "-"), "fix: make proof"
    else:
        assert int(judged) + int(policy) + int(left) == len(CASES), "fix: make proof"


def test_the_page_lists_formats_that_were_not_run() -> None:
    title = "## Formats that were not run\n"
    page = TARGET.read_text(encoding="utf-8").partition(title)[2].partition("\n## ")[0]
    proven = {proof.format for proof in PROOFS}
    assert not proven & NOT_RUN.keys()
    assert len(proven) == 9, "fix: README.md names the number"
    for name, why in NOT_RUN.items():
        line = f"| `{name}` | {why} |"
        assert line in page, f"fix: {line} below {title.strip()!r}; make proof writes it"


def test_every_failure_of_a_client_has_a_reason() -> None:
    page = TARGET.read_text(encoding="utf-8")
    for name in {name for proof in PROOFS for name in proof.fails}:
        assert f"- `{name}`: {REASONS[name]}." in page


@pytest.mark.peer("curl")
def test_program_versions_are_read() -> None:
    [curl] = [proof for proof in PROOFS if proof.format == "curl"]
    assert version(curl).count(".") >= 1
