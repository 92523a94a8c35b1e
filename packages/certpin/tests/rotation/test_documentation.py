"""docs/rotation.md: every invariant is listed; the dates of the example are those of a plan."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from certpin.rotation import DeployedVersions, Invariant, Timing, Version, plan
from certpin.rotation.adoption import in_utc
from tests.rotation._situations import pin, pin_set, sighting, situation

if TYPE_CHECKING:
    from certpin.pins import State

PAGE = (Path(__file__).parents[4] / "docs/rotation.md").read_text(encoding="utf-8")
BEGIN = datetime(2027, 3, 1, 9, tzinfo=UTC)


def test_every_invariant_is_documented() -> None:
    table = PAGE.partition("## What a refusal means")[2]
    assert set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == set(get_args(Invariant))


def test_the_example_matches_the_plan() -> None:
    states: dict[str, State] = {"a": "active", "b": "published"}
    out = Version(pin_set(states, 11), fetched=BEGIN - timedelta(days=90))
    known = situation(out.pins, out, seen=(sighting("a"),), timing=Timing(), now=BEGIN)
    made = plan(replace(known, deployed=DeployedVersions((out,))), pin("c"))
    acts = ["stage", "publish", "activate", "serve", "retire", "remove", "publish"]
    assert [step.act for step in made.steps] == acts
    assert [step.version for step in made.steps if step.version] == [12, 13]
    (date,) = [step.not_before for step in made.steps if step.not_before]
    example = PAGE.partition("## An example, with dates")[2].partition("\n## ")[0]
    assert example.count(in_utc(date)) == 3
    assert in_utc(BEGIN).startswith("2027-03-01 09:00")
