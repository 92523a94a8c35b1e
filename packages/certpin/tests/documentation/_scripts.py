"""Run the shell script of a page as its reader does: in an empty folder, with servers of its hosts.

A page names hosts such as ``api.bank.example``. ``run_with_hosts`` runs its script in a private
network in which these names are this machine, and port 443 has a TLS server for them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.private_network import in_private_network
from tests.documentation._reader import require_network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from certpin.lab import Authority, Identity

# A script starts a dozen programs: seconds on an idle machine. Tests of scripts are marked to wait.
SECONDS = 280


def write_program(folder: Path, name: str, text: str) -> None:
    """Write a program that the script of a page calls, into ``bin``, which is in its PATH."""
    (folder / "bin").mkdir(exist_ok=True)
    program = folder / "bin" / name
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)


def run(script: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder, with this environment's ``certpin`` and the programs in ``bin``."""
    return _run(["bash", "-c", script], folder, env)


def run_with_hosts(
    script: str,
    folder: Path,
    root: Authority,
    served: Mapping[str, Identity],
    *,
    address: str = "",
    **env: str,
) -> subprocess.CompletedProcess[str]:
    """Run a script in a private network in which each host has a TLS server at port 443.

    The chain and key of a host are in ``.servers/HOST.pem`` and ``.key``, and are read at each
    connection, so a script may replace them. All programs trust ``root``.

    Args:
        script: the shell commands.
        folder: the folder in which they run.
        root: the trusted root.
        served: each host with the chain and key that its server presents.
        address: one more IPv4 address of the machine.
        env: more environment variables.
    """
    require_network()
    hidden = folder / ".servers"  # `certpin import` reads no folder with such a name
    hidden.mkdir()
    for host, identity in served.items():
        identity.write(hidden, host)
    trusted = hidden / "trusted-roots.pem"
    trusted.write_bytes(root.pem)
    words = [*in_private_network(*served), sys.executable, "-m", "tests.documentation._network"]
    words += [address, "bash", "-c", script]
    return _run(words, folder, {"SSL_CERT_FILE": str(trusted), **env})


def _run(
    words: list[str], folder: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(
        [str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    return subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PATH": path, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
