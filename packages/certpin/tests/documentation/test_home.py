"""The commands of the home page and of the page about JSON output run as they are written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from certpin.lab import LabServer
from tests.cli import _documented
from tests.documentation._blocks import shell_script
from tests.documentation._scripts import run

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Authority


@pytest.mark.slow
def test_the_commands_of_the_home_page_pin_a_server(root: Authority, tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_bytes(root.pem)
    with LabServer(root.issue("localhost")) as server:
        script = shell_script("index.md").replace("api.bank.example", f"localhost:{server.port}")
        done = _run(script, tmp_path)
    assert "Next:  certpin check" in done
    assert "holds" in done
    assert (tmp_path / "backup.key").exists()
    printed = json.loads(_run(shell_script("reference/json.md"), tmp_path))
    assert (printed["command"], printed["exit_code"]) == ("lint", 0)
    _documented.check("lint", _documented.data_of(printed))


def _run(script: str, folder: Path) -> str:
    done = run(script, folder, SSL_CERT_FILE=str(folder / "root.pem"))
    assert done.returncode == 0, done.stderr
    return done.stdout
