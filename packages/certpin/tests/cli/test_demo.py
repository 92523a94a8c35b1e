"""``certpin demo``: the attacks that it shows, and its failure if pinning does not work."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from certpin.cli import demo, demo_matrix
from certpin.errors import PinError
from certpin.lab.attacks import CASES, CONTROL
from tests.cli import _documented
from tests.lab.report import _runs

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from tests.cli.conftest import Run

TITLES = [
    "The bank's own server",
    "A man in the middle, with an authority that this machine trusts",
    "A man in the middle, with an authority that this machine trusts",
    "The server changed to its backup key",
]


@pytest.fixture
def only_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the final comparison of clients, for tests of what ``certpin demo`` shows before it."""
    monkeypatch.setattr(demo, "_compare", lambda *, quiet: [])


@pytest.mark.slow
def test_every_scene_is_right_and_the_matrix_distinguishes_the_two_clients(run: Run) -> None:
    done = run("demo", "--json")
    _documented.check("demonstration", done.json)
    scenes = done.json["scenes"]
    assert (done.code, done.err) == (0, "")
    assert [scene["title"] for scene in scenes] == TITLES
    assert [scene["client"] for scene in scenes] == ["pinned", "unpinned", "pinned", "pinned"]
    assert [scene["outcome"].partition(",")[0] for scene in scenes] == [
        "accepted",
        "accepted",
        "refused",
        "accepted",
    ]
    assert all(scene["as_it_should"] for scene in scenes)
    rows = {row["case"]: row for row in done.json["matrix"]}
    assert rows.keys() == {case.name for case in (CONTROL, *CASES)}
    assert all(row["as_it_should"] for row in rows.values())
    rogue = rows["rogue-ca-in-store"]
    assert (rogue["unpinned"], rogue["pinned"]) == ("ACCEPT", "REJECT")
    assert done.json["pinned_fooled"] == 0
    assert 0 < done.json["unpinned_fooled"] < done.json["attacks"]


def test_a_refused_key_is_listed_and_counted_as_an_attack(
    capsys: pytest.CaptureFixture[str],
) -> None:
    attack, change = (_runs.BY_NAME[f"rot-{name}"] for name in ("new-key-pinned-ca", "backup-live"))
    rows = [
        demo_matrix.CaseComparison(
            _runs.met(case, gives=True), _runs.met(case, gives=case is change)
        )
        for case in (change, attack)
    ]
    demo_matrix.print_comparison(rows)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    changes, attacks = map(lines.index, ("Legitimate changes", "Whose authority?"))
    assert "its backup key" in lines[changes + 1]
    assert changes + 2 <= attacks
    assert "with a new, unpinned key" in lines[attacks + 1]
    assert re.search("SENT ITS DATA +refused$", "\n".join(lines[attacks:]), re.MULTILINE)
    counts = demo_matrix.totals(rows)
    assert (counts["attacks"], counts["legitimate"]) == (1, 1)


@pytest.mark.slow
def test_the_matrix_fails_if_pinning_fails(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_matrix, "_pinned", demo_matrix._unpinned)
    done = run("demo")
    assert done.code == 1
    assert "SENT ITS DATA       SENT ITS DATA" in done.out


@pytest.mark.slow
def test_the_text_output_has_each_scene(run: Run) -> None:
    done = run("demo")
    assert (done.code, done.err) == (0, "")
    for title in TITLES:
        assert done.out.splitlines().count(title) == 1
    assert "refused, and no byte was sent" in done.out
    assert "no certificate of its verified chain is pinned" in done.out
    assert "This outcome is WRONG" not in done.out


@pytest.mark.usefixtures("only_scenes")
def test_no_file_is_left(run: Run) -> None:
    run("demo")
    assert list(Path().iterdir()) == []


def test_watch_without_certpin_watch_is_refused_before_the_first_scene(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> NoReturn:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    done = run("demo", "--watch")
    assert (done.code, done.out) == (2, "")
    assert "the monitoring service needs the package certpin-watch" in done.err
    assert "fix: pip install 'certpin[watch]' (from a clone: pip install ./packages/" in done.err


def _unpinned(setup: demo.DemoSetup) -> demo.DemoSetup:
    return replace(setup, pinned=setup.unpinned)


def _both_clients_pinned(setup: demo.DemoSetup) -> demo.DemoSetup:
    return replace(setup, unpinned=setup.pinned)


def _without_the_attacker(setup: demo.DemoSetup) -> demo.DemoSetup:
    return replace(setup, attacker=setup.server)


def _with_a_backup_that_is_not_pinned(setup: demo.DemoSetup) -> demo.DemoSetup:
    return replace(setup, backup=setup.attacker)


@pytest.mark.medium
@pytest.mark.usefixtures("only_scenes")
@pytest.mark.parametrize(
    ("change", "scene"),
    [
        (_unpinned, 2),
        (_both_clients_pinned, 1),
        (_without_the_attacker, 2),
        (_with_a_backup_that_is_not_pinned, 3),
    ],
)
def test_the_demo_fails_if_pinning_fails(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[demo.DemoSetup], demo.DemoSetup],
    scene: int,
) -> None:
    setup = change(demo.set_up())
    monkeypatch.setattr(demo, "set_up", lambda: setup)
    done = run("demo", "--json")
    assert done.code == 1
    assert not done.json["scenes"][scene]["as_it_should"]
    assert "This outcome is WRONG." in run("demo").out


@pytest.mark.medium
@pytest.mark.usefixtures("only_scenes")
def test_a_refusal_after_the_request_is_too_late(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    call = demo._call

    def late(port: int, context: ssl.SSLContext) -> PinError | None:
        return call(port, context) or PinError("refused")

    setup = _unpinned(demo.set_up())
    monkeypatch.setattr(demo, "set_up", lambda: setup)
    monkeypatch.setattr(demo, "_call", late)
    done = run("demo", "--json")
    assert (done.code, done.json["scenes"][2]["outcome"]) == (1, "refused TOO LATE")
    assert not done.json["scenes"][2]["as_it_should"]
