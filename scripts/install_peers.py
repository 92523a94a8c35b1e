"""Install the Debian packages of the programs with which the tests run certpin (peers).

This needs apt-get, and root or a sudo without a password. Without them, or with
CERTPIN_INSTALL_PEERS=no, nothing is installed, and the tests of the missing programs are skipped
and reported.

No service is started, now or at the next boot: tests start their servers themselves, on free
ports and in temporary directories.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.console import say, succeeds
from scripts.peers import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

# Debian calls this program before it starts a service; 101 means no (invoke-rc.d(8)).
_POLICY = Path("/usr/sbin/policy-rc.d")
_REFUSE = "#!/bin/sh\n# here only while the tests of certpin install their peers\nexit 101\n"
_UNITS = Path("/usr/lib/systemd/system")


def main() -> None:
    """Install the missing Debian packages of the peers.

    A failure does not end the program: the tests of missing peers are skipped.
    """
    packages = sorted({peer.package for peer in missing()})
    if not packages:
        return
    root = _root()
    if root is None:
        say(f"real peers are missing: sudo apt-get install {' '.join(packages)}")
        return
    say(f"installing real peers: {' '.join(packages)}")
    _install(root, packages)
    if rest := sorted({peer.package for peer in missing()}):
        say(f"still missing: {' '.join(rest)} (what apt-get said is above)")


def _root() -> list[str] | None:
    """Return the words before a command that must run as root; empty if this process is root.

    Return None if that is impossible, or forbidden by CERTPIN_INSTALL_PEERS.
    """
    if os.environ.get("CERTPIN_INSTALL_PEERS") == "no" or not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if (
        sudo
        and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return [sudo, "-n"]
    return None


def _install(root: list[str], packages: list[str]) -> None:
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    options = ["-o", "Dpkg::Use-Pty=0", "--no-install-recommends", "--yes"]
    before = _services()
    with _no_service_starts(root):
        if not succeeds([*apt, "update"], quiet=True):
            say("apt-get update failed: trying with the package lists that are here")
        succeeds([*apt, "install", *options, *packages], quiet=True)
    if (new := sorted(_services() - before)) and shutil.which("systemctl"):
        succeeds([*root, "systemctl", "--quiet", "--no-reload", "disable", *new], quiet=True)


def _services() -> set[str]:
    """Return the systemd services and sockets that may start at boot, without templates."""
    units = (path.name for path in _UNITS.glob("*.*") if path.suffix in {".service", ".socket"})
    return {name for name in units if "@." not in name}


@contextlib.contextmanager
def _no_service_starts(root: list[str]) -> Iterator[None]:
    """Make Debian refuse to start services in the block, unless a policy-rc.d already exists.

    Args:
        root: the words before a command that must run as root.
    """
    if _POLICY.exists():
        yield
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as refusal:
        refusal.write(_REFUSE)
        refusal.flush()
        succeeds([*root, "install", "--mode=755", refusal.name, str(_POLICY)])
        try:
            yield
        finally:
            succeeds([*root, "rm", "--force", str(_POLICY)])


if __name__ == "__main__":
    main()
