"""``certpin lab attacks``: the list of cases, one case in detail, and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.lab.attacks import CASES, CONTROL, OPTIONAL_CASES
from certpin.lab.pki import Style
from tests.cli import _documented

if TYPE_CHECKING:
    from tests.cli.conftest import Run

EVERY = (CONTROL, *CASES, *OPTIONAL_CASES)


def test_every_case_is_listed_with_the_right_reaction(run: Run) -> None:
    done = run("lab", "attacks")
    assert (done.code, done.err) == (0, "")
    lines = {words[0]: line for line in done.out.splitlines() if (words := line.split())}
    for case in EVERY:
        line = lines[case.name]
        assert case.presents in line
        assert f"leaf: {case.expected.leaf}." in line


def test_every_family_is_listed_once(run: Run) -> None:
    lines = run("lab", "attacks").out.splitlines()
    for family in {case.family for case in EVERY}:
        assert lines.count(family.value) == 1


@pytest.mark.parametrize("style", Style)
def test_a_style_limits_the_reactions(run: Run, style: Style) -> None:
    out = run("lab", "attacks", "--style", style.value).out
    others = [f" {known}: " for known in Style if known is not style]
    assert f" {style}: " in out
    assert not any(other in out for other in others)


def test_one_case_is_explained(run: Run) -> None:
    case = next(case for case in CASES if case.name == "rogue-ca-in-store")
    done = run("lab", "attacks", case.name)
    assert done.code == 0
    for text in (case.presents, case.guards, case.reference, case.fix):
        assert text in done.out
    assert "none: accept, leaf: reject, ca: reject" in done.out


def test_the_json_is_as_documented(run: Run) -> None:
    attacks = run("lab", "attacks", "--json").json["cases"]
    for attack in attacks:
        _documented.check("attack", attack)
    assert {attack["name"] for attack in attacks} == {case.name for case in EVERY}
    (one,) = run("lab", "attacks", "control-good", "--json").json["cases"]
    assert one["expected"] == {"none": "accept", "leaf": "accept", "ca": "accept"}


def test_an_unknown_case_is_a_usage_error(run: Run) -> None:
    done = run("lab", "attacks", "rogue-ca-in-stor")
    assert done.code == 2
    assert "Did you mean 'rogue-ca-in-store'?" in done.err
