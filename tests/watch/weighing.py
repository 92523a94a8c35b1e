"""How much memory a back-up and restoring one take: python -m tests.watch.weighing [HOSTS GROUPS].

A year of data, moved by the commands themselves, each a program of its own, in both databases. For
docs/watch-operations.md; no test runs it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg

from certpin.watch.store import open_store, prepare
from tests.servers.postgres import postgres
from tests.watch._year import write_year

HOSTS, GROUPS = 500, 300_000
_START = (sys.executable, "-m", "certpin.cli.main", "watch")
# Linux counts what the parent had as the child's own (getrusage(2)): so it is a small one.
_WEIGH = """
import os, sys, time
begun = time.monotonic()
_, status, used = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
assert status == 0
print(f"{used.ru_maxrss >> 10:4} MB, {time.monotonic() - begun:5.1f} s")
"""


def weigh(name: str, *words: str) -> None:
    """Tell the most that a command had resident, and how long it took."""
    sys.stdout.write(f"{name}: ")
    sys.stdout.flush()
    small = (sys.executable, "-I", "-S", "-c", _WEIGH)
    subprocess.run([*small, *_START, *words], check=True)


def main(words: list[str]) -> None:
    """Write a year, and weigh what moves it."""
    hosts, groups = map(int, words) if words else (HOSTS, GROUPS)
    with tempfile.TemporaryDirectory() as scratch, postgres() as port:
        folder, server = Path(scratch), f"host=127.0.0.1 port={port} user=postgres"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("CREATE DATABASE watch")
        here = f"sqlite:///{folder}/watch.db"
        there = f"postgresql://postgres@127.0.0.1:{port}/watch"
        with closing(open_store(here)) as store:
            prepare(store)
            write_year(store, folder, hosts=hosts, groups=groups)
        weigh("nothing, to compare", "migrate", "--check", "--store", here)
        weigh("backup of SQLite", "backup", f"{folder}/a.db", "--store", here)
        weigh("restore into SQLite", "restore", f"{folder}/a.db", "--store", f"{here}.new")
        weigh("restore into PostgreSQL", "restore", f"{folder}/a.db", "--store", there)
        weigh("backup of PostgreSQL", "backup", f"{folder}/b.db", "--store", there)


if __name__ == "__main__":
    main(sys.argv[1:])
