"""Pin files that change, break, or do not exist yet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from certpin_watch.snapshot import PinFiles
from tests import kit
from tests.cli._pinfiles import write

if TYPE_CHECKING:
    import pytest


def test_a_missing_file_is_read_once_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    watched = PinFiles([tmp_path / "pins.toml"])
    before = watched.snapshot()
    assert before.sets == ()
    assert "pins.toml" in before.problems[0]
    write(kit.policy("bank.example"))
    (pin_set,) = watched.snapshot().sets
    assert pin_set.pins.policies[0].pattern.name == "bank.example"
    assert watched.snapshot().problems == ()


def test_a_missing_file_with_a_relative_path_is_reported_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (problem,) = PinFiles([Path("pins.toml")]).snapshot().problems
    assert f"No such file or directory (in the folder {tmp_path})\n  fix: " in problem
    (problem,) = PinFiles([tmp_path / "pins.toml"]).snapshot().problems
    assert "in the folder" not in problem


def test_a_broken_file_is_reported_and_keeps_its_last_good_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(kit.policy("bank.example"))
    path = tmp_path / "pins.toml"
    watched = PinFiles([path])
    assert watched.snapshot().sets
    good = path.read_text()
    path.write_text("schema = ")
    broken = watched.snapshot()
    assert broken.sets[0].pins.policies[0].pattern.name == "bank.example"
    assert "not TOML" in broken.problems[0]
    path.write_text(good)
    os.utime(path, ns=(1, 1))
    assert watched.snapshot().problems == ()


def test_an_unreadable_journal_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(kit.policy("bank.example"))
    (tmp_path / "pins.journal.jsonl").write_text("no event\n")
    assert "pins.journal.jsonl:1" in PinFiles([tmp_path / "pins.toml"]).snapshot().problems[0]
