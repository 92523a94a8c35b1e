"""A device in a separate network namespace, connected to a lab only by a real WireGuard tunnel.

For programs started by ``unshare``: everything created here ends with them. `wireguard-go` starts
in the lab's namespace, and its interface is moved into the device's. So both ends meet on the
loopback of the lab's namespace, and no packet leaves it.
"""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin.lab.server.dns import PEER, PEER6, RESOLVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LINK = "lab0"
_PATIENCE = 20.0


def run(*words: str, **options: Any) -> str:
    found = subprocess.run(words, check=True, capture_output=True, text=True, **options)
    return str(found.stdout)


def until(holds: Callable[[], bool]) -> None:
    """Wait until ``holds()`` is true. Raise TimeoutError if it takes too long."""
    end = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


def isolate(folder: Path, names: dict[str, str], addresses: list[str]) -> None:
    """Configure the network namespace of the lab, without any network but loopback.

    Args:
        folder: where the replaced hosts and resolver files are stored
        names: the addresses of real servers, by host
        addresses: the addresses to add to the loopback interface
    """
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    hosts = folder / "lab-hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{names[n]} {n}\n" for n in names))
    resolver = folder / "lab-resolver"
    resolver.write_text("")
    run("mount", "--bind", str(hosts), "/etc/hosts")
    run("mount", "--bind", str(resolver), os.path.realpath("/etc/resolv.conf"))
    run("ip", "link", "set", "lo", "up")
    for address in addresses:
        run("ip", "address", "add", f"{address}/32", "dev", "lo")


class Device:
    """A device in its own network namespace, connected to the lab by a WireGuard configuration.

    ``wg-quick`` reads the configuration, as on a user's device.
    """

    def __init__(self, folder: Path, configuration: str) -> None:
        self._folder = folder
        (folder / "resolv.conf").write_text(f"nameserver {RESOLVER}\n")
        (folder / "hosts").write_text("127.0.0.1 localhost\n")
        self._configuration = folder / f"{_LINK}.conf"
        self._configuration.write_text(configuration)
        self._configuration.chmod(0o600)  # wg-quick warns of any other

    @contextmanager
    def up(self) -> Iterator[None]:
        tunnel = subprocess.Popen(
            ["wireguard-go", "-f", _LINK], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        holder = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        self._network = f"--net=/proc/{holder.pid}/ns/net"
        try:
            until(Path(f"/run/wireguard/{_LINK}.sock").exists)
            until(lambda: Path(f"/proc/{holder.pid}/comm").read_text() == "sleep\n")
            self._connect(str(holder.pid))
            yield
        finally:
            for process in (holder, tunnel):
                process.kill()
                process.wait()

    def _connect(self, pid: str) -> None:
        stripped = run("wg-quick", "strip", str(self._configuration))
        run("wg", "setconf", _LINK, "/dev/stdin", input=stripped)
        run("ip", "link", "set", _LINK, "up")
        run("ip", "link", "set", _LINK, "netns", pid)
        for words in (
            "link set lo up",
            f"address add {PEER}/32 dev {_LINK}",
            f"address add {PEER6}/128 dev {_LINK} nodad",
            f"link set {_LINK} mtu 1280 up",
            f"route add default dev {_LINK}",
            f"-6 route add default dev {_LINK}",
        ):
            run("nsenter", self._network, "ip", *words.split())

    def call(self, *words: str) -> tuple[int, str]:
        """Run a program on the device. Return its exit status and its output."""
        mounts = "mount --bind $1/resolv.conf /etc/resolv.conf; mount --bind $1/hosts /etc/hosts; "
        inside = ["nsenter", self._network, "unshare", "--mount"]
        inside += ["sh", "-ec", mounts + 'shift; exec "$@"', "sh", str(self._folder)]
        plain = {name: os.environ[name] for name in os.environ if "proxy" not in name.lower()}
        found = subprocess.run(
            [*inside, *words], capture_output=True, text=True, check=False, env=plain
        )
        return found.returncode, found.stdout + found.stderr
