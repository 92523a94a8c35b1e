"""Run a program in a network namespace without other networks, in which given host names resolve to
this machine.

A page of the documentation can then name real hosts, and the standard port, while its commands
connect to servers of a test. Nothing leaves the machine, and no other program is affected.
"""

from __future__ import annotations

import os
import subprocess

_NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
# The file may be deleted once it is mounted: the mount keeps it.
_SETUP = """\
set -eu
hosts=$(mktemp)
printf '127.0.0.1 %s\\n' localhost $1 > "$hosts"
mount --bind "$hosts" /etc/hosts
rm "$hosts"
ip link set lo up
shift
exec "$@"
"""


def in_private_network(*names: str) -> list[str]:
    """Return the words to put before a command, so that it runs in a private network namespace.

    The command may listen on every port of 127.0.0.1. It runs as root inside the namespace, and
    ends with the process that started it.

    Args:
        names: the host names that resolve to 127.0.0.1 inside.
    """
    return [*_unshare(), "sh", "-c", _SETUP, "sh", " ".join(names)]


def obstacle() -> str:
    """Return the reason why this machine can't make such a namespace; "" if it can."""
    try:
        done = subprocess.run(
            [*in_private_network("name.example"), "true"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as exc:
        return str(exc)
    return done.stderr.strip() or f"exit status {done.returncode}" if done.returncode else ""


def _unshare() -> list[str]:
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *as_root, *_NAMESPACES]
