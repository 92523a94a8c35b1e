"""Pin files that change, break, or do not exist yet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.errors import PinFileError
from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin_watch.context import Watch
from certpin_watch.service import make_ready
from certpin_watch.settings import ServiceSettings
from certpin_watch.snapshot import PinFiles, SharedNameError, anchors_of
from tests import kit
from tests.cli._pinfiles import write

if TYPE_CHECKING:
    from certpin_watch.store import Store


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


def _refuse(path: Path) -> PinSet:
    """Fail as for a file that may not be read: tests may run as a user who may read every file."""
    raise PinFileError("Permission denied", path=str(path))


def test_a_file_with_a_problem_is_always_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cause may be elsewhere, such as the permissions of a folder: the file doesn't change."""
    monkeypatch.chdir(tmp_path)
    write(kit.policy("bank.example"))
    watched = PinFiles([tmp_path / "pins.toml"])
    with monkeypatch.context() as patch:
        patch.setattr(PinSet, "load", _refuse)
        assert "Permission denied" in watched.snapshot().problems[0]
    snapshot = watched.snapshot()
    assert (len(snapshot.sets), snapshot.problems) == (1, ())


def test_a_file_with_other_permissions_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(kit.policy("bank.example"))
    path = tmp_path / "pins.toml"
    watched = PinFiles([path])
    assert watched.snapshot().problems == ()
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:  # until the clock of the file system ticks
        path.chmod(0o600)
    monkeypatch.setattr(PinSet, "load", _refuse)
    assert "Permission denied" in watched.snapshot().problems[0]


def test_anchors_that_arrive_later_or_change_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(kit.policy("bank.example"), trust=Path("anchors.pem"))
    watched = PinFiles([tmp_path / "pins.toml"])
    snapshot = watched.snapshot()
    assert "anchors.pem" in snapshot.problems[0]
    anchors = tmp_path / "anchors.pem"
    for root in (Authority("First Root"), Authority("Second Root")):
        anchors.write_bytes(root.pem)
        snapshot = watched.snapshot()
        assert snapshot.problems == ()
        assert anchors_of(snapshot.policies_of("bank.example")) == (root.certificate.der,)
    anchors.unlink()
    broken = watched.snapshot()
    assert "anchors.pem" in broken.problems[0]
    assert broken.sets == snapshot.sets


def test_pin_files_with_one_name_are_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sqlite_store: Store
) -> None:
    monkeypatch.chdir(tmp_path)
    write(kit.policy("bank.example"))
    write(kit.policy("shop.example"), path="shop.toml")
    files = PinFiles([tmp_path / "pins.toml", tmp_path / "shop.toml"])
    with pytest.raises(SharedNameError) as refused:
        make_ready(Watch(ServiceSettings(), sqlite_store, files))
    assert refused.value.path == str(tmp_path / "shop.toml")
    assert f"name: {tmp_path / 'pins.toml'} has the name bank, too" in str(refused.value)
    twice = PinFiles([tmp_path / "pins.toml", tmp_path / "pins.toml"])
    twice.check_names()
    assert len(twice.snapshot().sets) == 1


def test_pin_files_may_swap_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(kit.policy("bank.example"))
    bank, shop = tmp_path / "pins.toml", tmp_path / "shop.toml"
    one = bank.read_text(encoding="utf-8")
    other = one.replace('"bank"', '"shop"')
    shop.write_text(other, encoding="utf-8")
    watched = PinFiles([bank, shop, Path("pins.toml")])  # one file twice
    assert [each.pins.name for each in watched.snapshot().sets] == ["bank", "shop"]
    bank.write_text(other + "# swapped", encoding="utf-8")
    shop.write_text(one + "# swapped", encoding="utf-8")
    found = watched.snapshot()
    assert found.problems == ()
    assert [each.pins.name for each in found.sets] == ["shop", "bank"]


def test_a_pin_file_that_gets_the_name_of_another_keeps_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(kit.policy("bank.example"))
    write(kit.policy("shop.example"), path="shop.toml")
    shop = tmp_path / "shop.toml"
    same = shop.read_text()
    shop.write_text(same.replace('"bank"', '"shop"'))
    watched = PinFiles([tmp_path / "pins.toml", shop])
    watched.check_names()
    good = watched.snapshot()
    assert good.problems == ()
    shop.write_text(same.replace("shop.example", "new.example"))
    (problem,) = watched.snapshot().problems
    assert problem.startswith(f"{shop}: name: {tmp_path / 'pins.toml'} has the name bank, too")
    assert watched.snapshot().sets == good.sets
    (tmp_path / "pins.toml").write_text(same.replace('"bank"', '"other"'))
    assert watched.snapshot().problems == ()
    assert [entry.pins.name for entry in watched.snapshot().sets] == ["other", "bank"]


def test_an_unreadable_journal_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(kit.policy("bank.example"))
    (tmp_path / "pins.journal.jsonl").write_text("no event\n")
    assert "pins.journal.jsonl:1" in PinFiles([tmp_path / "pins.toml"]).snapshot().problems[0]


def test_a_second_journal_beside_a_link_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    monkeypatch.chdir(tmp_path / "real")
    write(kit.policy("bank.example"))
    link = tmp_path / "pins.toml"
    link.symlink_to("real/pins.toml")
    watched = PinFiles([link])
    assert watched.snapshot().problems == ()
    second = tmp_path / "pins.journal.jsonl"
    second.write_text("")
    (problem,) = watched.snapshot().problems
    assert f"{link} is a link, and its journal is {tmp_path}/real/pins.journal.jsonl" in problem
    second.unlink()
    assert watched.snapshot().problems == ()
