"""The temporary folder of a run, and the removal of folders that killed runs left."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from certpin.lab.lab import remove_leftovers, scratch

_RUN = """
import os, signal
from certpin.lab.lab import Lab
with Lab() as lab:
    print(lab.folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def passing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a new folder as the system's temporary folder, and return it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def killed(passing: Path) -> Path:
    """Return the folder that a killed run left behind."""
    words = [sys.executable, "-c", _RUN]
    environment = {**os.environ, "TMPDIR": str(passing)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert list(passing.iterdir()) == [Path(done.stdout.strip())]
    return Path(done.stdout.strip())


def test_nothing_is_left_of_a_run(passing: Path) -> None:
    with scratch() as folder:
        (folder / "file").touch()
        assert list(passing.iterdir()) == [folder]
    assert list(passing.iterdir()) == []


@pytest.mark.slow
def test_what_a_killed_run_left_is_removed_by_the_next(killed: Path) -> None:
    assert remove_leftovers() == [killed]
    assert not killed.exists()
    assert remove_leftovers() == []


def test_a_run_that_goes_on_keeps_its_folder() -> None:
    with scratch() as folder:
        assert remove_leftovers() == []
        assert folder.is_dir()


@pytest.mark.slow
def test_similar_folders_are_not_removed(killed: Path, passing: Path) -> None:
    killed.rename(passing / "elsewhere")
    killed.symlink_to(passing / "elsewhere")
    (passing / "certpin-lab-of-mine").mkdir()
    (passing / "certpin-lab-note").write_text("mine", encoding="utf-8")
    before = sorted(passing.rglob("*"))
    assert remove_leftovers() == []
    assert sorted(passing.rglob("*")) == before
