"""Killed at any moment, and a disk without room: what was there stays, and nothing is half."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from certpin.watch.store import back_up, migrate, open_store, restore
from scripts.record import FORBIDDEN
from tests.watch.store._rows import fill, rows_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

# Dies by SIGKILL at the n-th call of a function that is named, or does its work to the end.
_DIES = """
import os, signal, sys
from pathlib import Path
from certpin.watch.store import backup, copying, open_store, restoring, back_up, restore

work, url, file, moment = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]

def deadly(module, name):
    kept = getattr(module, name)
    def dies(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)
        return kept(*args, **kwargs)
    setattr(module, name, dies)

module, _, name = moment.rpartition(".")
deadly({"copying": copying, "restoring": restoring, "backup": backup}[module], name)
store = open_store(url)
back_up(store, file) if work == "backup" else restore(store, file, force=True)
"""


def _killed(work: str, url: str, file: Path, moment: str) -> None:
    argv = [sys.executable, "-c", _DIES, work, url, str(file), moment]
    done = subprocess.run(argv, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize(
    ("kind", "moment"),
    [("sqlite", "copying.check"), ("postgres", "backup.check"), ("sqlite", "copying.sync_folder")],
)
def test_a_back_up_that_is_killed_leaves_the_old_one_or_the_new_one(
    kind: str, moment: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = (
        f"sqlite:///{tmp_path / 'watch.db'}"
        if kind == "sqlite"
        else request.getfixturevalue("new_database")()
    )
    target = tmp_path / "b.db"
    with closing(open_store(url)) as store:
        migrate(store)
        rows = back_up(store, target).rows
        fill(store)
    _killed("backup", url, target, moment)
    with closing(open_store(f"sqlite:///{tmp_path / 'n.db'}")) as new:
        found = restore(new, target).rows
    assert (found > rows) == (moment == "copying.sync_folder")
    with closing(open_store(url)) as store:  # and what it left behind is in nobody's way
        assert back_up(store, target).rows > rows
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("moment", ["restoring._fill", "restoring._number_on"])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_restore_that_is_killed_leaves_everything_as_it_was(
    kind: str, moment: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = (
        f"sqlite:///{tmp_path / 'watch.db'}"
        if kind == "sqlite"
        else request.getfixturevalue("new_database")()
    )
    with closing(open_store(url)) as store:
        migrate(store)
        back_up(store, tmp_path / "b.db")
        fill(store)
        before = rows_of(store)
        _killed("restore", url, tmp_path / "b.db", moment)
        assert rows_of(store) == before


_ON_A_SMALL_DISK = """
import json, subprocess, sys
from pathlib import Path
import certpin
from sqlalchemy import insert
from certpin.watch.store import back_up, open_store, prepare
from certpin.watch.store.tables.reports import REPORT_SAMPLES as SAMPLES

folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "small", folder], check=True)
store = open_store(f"sqlite:///{folder / 'watch.db'}")
prepare(store)
stored, said = 0, {}

def put():
    global stored
    with store.write() as connection:
        row = {"key": b"k", "received_at": 1, "source": "", "body": b"x" * 50_000}
        connection.execute(insert(SAMPLES), row)
    stored += 1

def tried(name, work):
    try:
        work()
        said[name] = None
    except certpin.CertpinError as exc:
        said[name] = [type(exc).__name__, getattr(exc, "reason", "")]

while "put" not in said or said["put"] is None:
    tried("put", put)
said["trouble"] = store.trouble.reason
tried("backup", lambda: back_up(store, folder / "b.db"))
with store.read() as connection:
    said["kept"] = len(connection.execute(SAMPLES.select()).all()) == stored
said["left"] = sorted(each.name for each in folder.iterdir())
subprocess.run(["mount", "-o", "remount,size=16m", folder], check=True)
tried("more", put)
tried("again", lambda: back_up(store, folder / "b.db"))
print(json.dumps(said))
"""


@pytest.mark.peer("unshare")
def test_a_disk_that_is_full_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    allowed = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "x", str(folder)],
        capture_output=True, check=False,
    )  # fmt: skip
    if allowed.returncode:
        pytest.skip(f"left out: {FORBIDDEN}to mount file systems")
    argv = ["unshare", "--mount", sys.executable, "-c", _ON_A_SMALL_DISK, str(folder)]
    said = json.loads(subprocess.run(argv, capture_output=True, check=True, text=True).stdout)
    assert said == {
        "put": ["StoreError", "full"],
        "trouble": "full",
        "backup": ["StoreError", "full"],
        "kept": True,
        "left": ["watch.db", "watch.db-shm", "watch.db-wal"],
        "more": None,
        "again": None,
    }
