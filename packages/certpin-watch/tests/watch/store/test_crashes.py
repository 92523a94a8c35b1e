"""Killed processes and full disks: stored data stays, and no file is incomplete."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from certpin_watch.store import migrate, open_store
from certpin_watch.store.schema import copy_sqlite
from scripts.record import FORBIDDEN
from tests.watch.store._rows import fill, rows_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

# Copies a file, and is killed at the first call of the function named by the argument.
_DIES = """
import os, signal, sys
from pathlib import Path
from certpin_watch.store import schema

def dies(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(schema, sys.argv[3], dies)
schema.copy_sqlite(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("moment", ["_refuse_damage", "sync_folder"])
def test_a_killed_copy_leaves_the_old_file_or_the_new_one(moment: str, tmp_path: Path) -> None:
    source, target = tmp_path / "watch.db", tmp_path / "copy.db"
    with closing(open_store(f"sqlite:///{source}")) as store:
        migrate(store)
        copy_sqlite(source, target)
        before = rows_of(store)
        fill(store)
        after = rows_of(store)
    argv = [sys.executable, "-c", _DIES, str(source), str(target), moment]
    done = subprocess.run(argv, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    with closing(open_store(f"sqlite:///{target}")) as copy:
        assert rows_of(copy) == (after if moment == "sync_folder" else before)
    copy_sqlite(source, tmp_path / "next.db")  # the part of the killed copy is replaced
    assert list(tmp_path.glob(".next*")) == []


_ON_A_SMALL_DISK = """
import json, subprocess, sys
from pathlib import Path
import certpin
from sqlalchemy import insert
from certpin_watch.store import open_store, prepare
from certpin_watch.store.schema import copy_sqlite
from certpin_watch.store.tables.observations import REPORT_SAMPLES as SAMPLES

folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "small", folder], check=True)
store = open_store(f"sqlite:///{folder / 'watch.db'}")
prepare(store)
stored, outcome = 0, {}

def put():
    global stored
    with store.write() as connection:
        row = {"key": b"k", "received_at": 1, "source": "", "body": b"x" * 50_000}
        connection.execute(insert(SAMPLES), row)
    stored += 1

def tried(name, work):
    try:
        work()
        outcome[name] = None
    except certpin.CertpinError as exc:
        outcome[name] = [type(exc).__name__, getattr(exc, "reason", "")]

while "put" not in outcome or outcome["put"] is None:
    tried("put", put)
outcome["health"] = store.health.reason
tried("copy", lambda: copy_sqlite(folder / "watch.db", folder / "b.db"))
with store.read() as connection:
    outcome["kept"] = len(connection.execute(SAMPLES.select()).all()) == stored
outcome["left"] = sorted(file.name for file in folder.iterdir())
subprocess.run(["mount", "-o", "remount,size=16m", folder], check=True)
tried("more", put)
tried("again", lambda: copy_sqlite(folder / "watch.db", folder / "b.db"))
print(json.dumps(outcome))
"""


@pytest.mark.peer("unshare")
def test_a_full_disk_loses_no_stored_row(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    allowed = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "x", str(folder)],
        capture_output=True, check=False,
    )  # fmt: skip
    if allowed.returncode:
        pytest.skip(f"left out: {FORBIDDEN}to mount file systems")
    argv = ["unshare", "--mount", sys.executable, "-c", _ON_A_SMALL_DISK, str(folder)]
    outcome = json.loads(subprocess.run(argv, capture_output=True, check=True, text=True).stdout)
    assert outcome == {
        "put": ["StoreError", "full"],
        "health": "full",
        "copy": ["StoreError", "full"],
        "kept": True,
        "left": ["watch.db", "watch.db-shm", "watch.db-wal"],
        "more": None,
        "again": None,
    }
