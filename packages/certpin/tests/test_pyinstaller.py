"""An app that PyInstaller builds reads every pin file, and enforces its pins."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.lab.lab_server import server_context
from scripts.pythons import running
from scripts.setup_venv import ensure
from tests import kit
from tests._wheels import ROOT
from tests.tls._servers import RecordingServer

if TYPE_CHECKING:
    from certpin.lab import Authority

_APP = """\
import socket
import sys

import certpin

pins = certpin.PinSet.load(sys.argv[1])
context = certpin.PinnedSSLContext(pins)
with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as sock:
    try:
        context.wrap_socket(sock, server_hostname="api.bank.test").close()
    except certpin.PinMismatchError as exc:
        print("refused", pins.version)
    else:
        print("connected", pins.version)
"""
# A wildcard: certpin then reads its list of public suffixes.
_PINS = """\
schema = 1
name = "bank"
version = 1

[[host]]
name = "*.bank.test"

[[host.pin]]
pin = "{pin}"

[[host.pin]]
pin = "{backup}"
role = "backup"
"""


@pytest.mark.slow
@pytest.mark.peer("objcopy")
@pytest.mark.until_python("3.14")
@pytest.mark.timeout(600)
def test_an_app_that_pyinstaller_built_pins(
    intermediate: Authority, trusted_root: Path, tmp_path: Path
) -> None:
    with chdir(ROOT):
        folder, lock = Path(f".venvs/pyinstaller-{running()}"), Path("requirements/pyinstaller.txt")
        package = [Path("packages/certpin")]
        inside = ensure(folder, sys.executable, lock, project="wheel", packages=package)
        python = Path(inside).absolute()
    (tmp_path / "app.py").write_text(_APP)
    built = subprocess.run(
        [python, "-m", "PyInstaller", "--log-level=ERROR", "app.py"],
        cwd=tmp_path,
        env=os.environ | {"PYINSTALLER_CONFIG_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    identity = intermediate.issue("api.bank.test")
    pins = tmp_path / "pins.toml"
    with RecordingServer(server_context(identity)) as server:
        for pin, outcome in ((identity.pin, "connected"), (kit.NOBODY_ELSE, "refused")):
            pins.write_text(_PINS.format(pin=pin, backup=kit.NOBODY))
            words = [str(tmp_path / "dist/app/app"), str(pins), str(server.port)]
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
            assert done.stdout == f"{outcome} 1\n", done.stderr
