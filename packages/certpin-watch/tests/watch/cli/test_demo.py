"""``certpin demo --watch``: the service shows the attacker's server, and the reports of apps."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import Run, program
from tests.watch.cli.test_serve import Watcher

if TYPE_CHECKING:
    from pathlib import Path

# The demonstration without the matrix that precedes it.
_SHOW = """
from certpin.cli import demo
from certpin_watch.cli.demo import monitor_the_demonstration
stage = demo.set_up()
monitor_the_demonstration(stage.server, stage.backup, stage.attacker, *stage.roots)
"""


@pytest.mark.slow
def test_the_demonstration_shows_the_attacker_and_deletes_its_files(tmp_path: Path) -> None:
    process = program(start=("-c", _SHOW), env={"TMPDIR": str(tmp_path)})
    try:
        watch = Watcher(process, _address(process), [])
        watch.until(lambda: watch.json("/api/v1/alerts")["items"])
        (host,) = watch.json("/api/v1/hosts")["items"]
        assert {location["answer"] for location in host["vantages"]} == {"match", "mismatch"}
        watch.until(lambda: watch.json("/api/v1/hosts")["items"][0]["failures"] == 3)
        assert "Rogue Root" in watch.page("/failures")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert not list(tmp_path.iterdir())
    finally:
        process.kill()
        process.communicate()


def test_watch_and_json_exclude_each_other(run: Run) -> None:
    done = run("demo", "--watch", "--json")
    assert done.code == 2
    assert "--json" in done.error["message"]


def _address(process: Any) -> str:
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0]
    pytest.fail(process.stderr.read())
