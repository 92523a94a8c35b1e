"""Run a script of the documentation beside servers with correct chains, in a separate process.

``python -m tests.documentation._played SERVERS SCRIPT``, on a private network on which the names of
the servers are this machine. The program writes two kinds of files into the current folder: the
servers' roots (``roots.pem`` has those that the machine trusts) and ``trace.txt``, with the time at
which each command of the script began.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from certpin.lab import Authority, LabServer
from tests.servers.mail import smtp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.lab import Identity

TRUSTED = "roots.pem"
_TRACED = """\
exec 9> trace.txt
BASH_XTRACEFD=9
PS4='@$EPOCHREALTIME '
trap 'kill $(jobs -p) 2> /dev/null || true' EXIT
set -x
"""


class Served(NamedTuple):
    """An honest server: its names, its port, and the file of the root that issued its chain."""

    names: tuple[str, ...]
    port: int = 443
    root: str = TRUSTED
    protocol: str = "https"  # or smtp, with STARTTLS


class TracedCommand(NamedTuple):
    """A command of a script, and the second at which it began."""

    at: float
    words: str


def arguments(servers: Sequence[Served], script: str) -> list[str]:
    """Return the arguments that this module's program needs for these servers and this script."""
    return [json.dumps(servers), script]


def read_trace(text: str) -> list[TracedCommand]:
    """Return the commands of the script itself, without those of files that it sourced."""
    found = re.findall(r"(?m)^@(\d+[.,]\d+) (.*)$", text)
    return [TracedCommand(float(at.replace(",", ".")), words) for at, words in found]


def main(servers: str, script: str) -> int:
    """Start the servers (given as JSON), run the script, and return the script's exit status."""
    env = {**os.environ, "SSL_CERT_FILE": str(Path(TRUSTED).absolute())}
    roots: dict[str, Authority] = {}
    with ExitStack() as stack:
        for server in (Served(*each) for each in json.loads(servers)):
            root = roots.setdefault(server.root, Authority(f"Root in {server.root}"))
            identity = root.intermediate("Issuing authority").issue(*server.names)
            _serve(stack, server, identity)
        for name in {TRUSTED, *roots}:
            Path(name).write_bytes(roots.setdefault(name, Authority("Root")).pem)
        return subprocess.run(["bash", "-c", _TRACED + script], check=False, env=env).returncode


def _serve(stack: ExitStack, server: Served, identity: Identity) -> None:
    if server.protocol == "https":
        stack.enter_context(LabServer(identity, port=server.port))
        return
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    stack.enter_context(smtp(*identity.write(folder), port=server.port))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
