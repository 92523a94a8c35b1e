"""Run a page's commands as a reader does by copy and paste, in an empty folder.

The commands run in a private network, in which all servers present correct chains.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from scripts.private_network import in_private_network, obstacle
from scripts.record import FORBIDDEN
from tests._quick_venv import quick_python
from tests._wheels import ROOT, build, downloaded, locked
from tests.documentation._played import Served, TracedCommand, arguments, read_trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Reader(NamedTuple):
    """The result of following a page: the folder, the output, and each command with its time."""

    folder: Path
    output: str
    trace: list[TracedCommand]


def require_network() -> None:
    """Skip the test if this machine can't make a private network."""
    if reason := obstacle():
        pytest.skip(f"left out: {FORBIDDEN}a private network ({reason})")


class Machine(NamedTuple):
    """A Python interpreter for a reader, and the folders of wheels from which pip installs.

    ``wheels`` is the value of ``PIP_FIND_LINKS``.
    """

    python: Path
    wheels: str


def prepare(factory: pytest.TempPathFactory) -> Machine:
    """Return a Python interpreter and all wheels that the readers of the pages install.

    Skip the test if this machine can't make a private network.
    """
    require_network()
    folder = factory.mktemp("wheels")
    build("packages/certpin", folder)
    return Machine(quick_python(factory), f"{folder} {downloaded()} {locked('httpx')}")


def follow(
    tmp_path: Path, machine: Machine, servers: Sequence[Served], script: str, *, client: str = ""
) -> Reader:
    """Run a script with the interpreter of ``machine`` as ``python3``. The script must succeed.

    pip compiles nothing: each module is compiled when it is first imported.

    Args:
        tmp_path: an empty folder.
        machine: the interpreter and the wheels, from ``prepare``.
        servers: the servers of the private network, which present correct chains.
        script: the shell blocks of a page.
        client: the program that the page asks the reader to save as ``client.py``.
    """
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(machine.python)
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": machine.wheels, "PIP_COMPILE": "0"}
    pip["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    return _run(tmp_path / "reader", programs, servers, script, {"client.py": client}, pip)


def play(
    tmp_path: Path,
    servers: Sequence[Served],
    script: str,
    files: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Reader:
    """Run a script with the programs of this environment, without an installation.

    Args:
        tmp_path: an empty folder.
        servers: the honest servers of the reader's network.
        script: the shell blocks of a page.
        files: files of the reader, with their texts.
        environment: more variables of the environment.

    """
    require_network()
    programs = Path(sys.executable).absolute().parent
    return _run(tmp_path / "reader", programs, servers, script, files or {}, environment or {})


def _run(
    folder: Path,
    programs: Path,
    servers: Sequence[Served],
    script: str,
    files: Mapping[str, str],
    environment: Mapping[str, str],
) -> Reader:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    env = {
        "PATH": f"{programs}:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "packages/certpin"))),
        **environment,
    }
    names = [name for server in servers for name in server.names]
    words = [*in_private_network(*names), sys.executable, "-m", "tests.documentation._played"]
    done = subprocess.run(
        [*words, *arguments(servers, f"unset PYTHONPATH\n{script}\ntrue")],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    trace = read_trace((folder / "trace.txt").read_text(encoding="utf-8"))
    return Reader(folder, done.stdout, trace)
