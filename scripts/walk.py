"""Count the source files of certpin with code that runs for one user action: ``make walk``.

They are the files that a reader opens to follow the action in the code. Each action runs in one
process, with ``sys.setprofile`` in every thread. A file counts if a function in it is called. All
modules are imported before, so that code at import doesn't count. Servers and curl run in other
processes.

``--files`` prints the files too.
"""

from __future__ import annotations

import http.client
import importlib
import os
import pkgutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from contextlib import chdir, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import httpx

from certpin.cli.main import main as certpin_main
from certpin.clients.httpx import PinnedClient
from certpin.lab import Authority
from certpin.reports.codecs.fields import pem_of
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import QUICK, days_pass
from tests.cli.conftest import invoke
from tests.servers._run import free_port
from tests.servers.nginx import nginx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from certpin.lab import Identity

_HOST = "localhost"
_PACKAGES = ("certpin", "certpin_watch")
_ROOT = Path(__file__).parents[1]
# The folders from which a child imports `scripts` and `tests`.
_FOLDERS = (_ROOT, _ROOT / "packages/certpin", _ROOT / "packages/certpin-watch")
_BAD = 400  # the first HTTP status that is an error
_PATIENCE = 60.0  # seconds for the service to start, and to end
_PROBED = b"certpin_probe_last_timestamp_seconds{"  # a metric: a host has been probed
_REPORT = """{
  "schema": "certpin-report/1", "id": "0123456789abcdef0123456789abcdef", "date-time": "TIME",
  "hostname": "localhost", "port": 443, "decision": "refuse", "reason": "mismatch",
  "pin-set": "bank", "pin-set-version": 3, "app": "example.bank.app", "app-version": "4.2.0",
  "served-certificate-chain": ["PEM"], "validated-certificate-chain": ["PEM"], "known-pins": []
}"""


class Walk:
    """Records the source files of the functions that are called."""

    def __init__(self) -> None:
        self._code: set[str] = set()

    @property
    def files(self) -> list[str]:
        """Return the sorted paths of the recorded files, such as ``certpin/cli/main.py``."""
        return sorted(
            f"{folder.name}/{Path(name).relative_to(folder)}"
            for folder in _folders()
            for name in self._code
            if name.startswith(f"{folder}/") and name.endswith(".py")  # no templates
        )

    @contextmanager
    def following(self) -> Iterator[None]:
        """Record the calls in this thread, and in threads that are started in the block."""
        threading.setprofile(self._entered)
        sys.setprofile(self._entered)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def clear(self) -> None:
        """Remove all files recorded so far."""
        self._code.clear()

    def _entered(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name != "<module>":
            self._code.add(frame.f_code.co_filename)


class Action(NamedTuple):
    """A user action to measure, and the number of files with functions that it may call.

    ``walk`` performs the action and returns the files. ``part_limit`` is a limit for the files in
    the folder ``part``.
    """

    name: str
    limit: int
    walk: Callable[[Bank], list[str]]
    part: str = ""  # a folder with a limit, too
    part_limit: int = 0


class Bank(NamedTuple):
    """A running test server: its port, its key and certificate, and the PEM file of its root."""

    port: int
    identity: Identity
    ca: Path

    @property
    def server(self) -> str:
        """Return ``HOST:PORT`` of the server."""
        return f"{_HOST}:{self.port}"


def main(words: list[str]) -> None:
    """Run each action, and print its number of files and its limit.

    With ``--serve``, run the monitoring service instead; the measurement of a report needs it.
    """
    if words[:1] == ["--serve"]:
        _serve(Path(words[1]), words[2:])
        return
    warnings.simplefilter("ignore")
    _import_everything()
    root = Authority("Walk Root")
    identity = root.intermediate("Walk Intermediate").issue(_HOST)
    print(f"{'action':<44} {'files':>7} {'limit':>7}")
    with TemporaryDirectory() as folder, nginx({_HOST: identity}) as server:
        ca = Path(folder) / "root.pem"
        ca.write_bytes(root.pem)
        os.environ["SSL_CERT_FILE"] = str(ca)
        for number, action in enumerate(ACTIONS):
            work = Path(folder) / str(number)
            work.mkdir()
            with chdir(work):
                _print(action, action.walk(Bank(server.port, identity, ca)), "--files" in words)


def _print(action: Action, files: list[str], with_files: bool) -> None:
    print(f"{action.name:<44} {len(files):>7} {action.limit:>7}")
    if action.part:
        inside = sum(f"/{action.part}/" in name for name in files)
        print(f"{'  of them in ' + action.part:<44} {inside:>7} {action.part_limit:>7}")
    if with_files:
        folders = Counter(str(Path(name).parent) for name in files)
        print("  ", ", ".join(f"{name} {count}" for name, count in folders.items()))
        print("  ", " ".join(files))


def _folders() -> list[Path]:
    modules = [sys.modules.get(name) for name in _PACKAGES]
    return [Path(module.__file__ or "").parent for module in modules if module]


def _import_everything() -> None:
    for package in _PACKAGES:
        with suppress(ImportError):
            folder = importlib.import_module(package).__path__
            for module in pkgutil.walk_packages(folder, f"{package}.", onerror=lambda _: None):
                if not module.name.endswith("__main__"):
                    with suppress(ImportError):
                        importlib.import_module(module.name)


def _command(*words: str | Path) -> list[str]:
    """Run a certpin command, and return the source files of the functions that it calls.

    Raises:
        RuntimeError: the exit code is neither 0 nor 1.
    """
    walk = Walk()
    with walk.following():
        done = _run(*words)
    if done not in (0, 1):
        raise RuntimeError(f"certpin {words[0]} ended with {done}")
    return walk.files


def _run(*words: str | Path) -> int:
    return invoke(*words).code


def _add(bank: Bank) -> list[str]:
    return _command("add", bank.server, "--ca-file", bank.ca, "--backup-key", "backup.key")


def _refused(bank: Bank) -> list[str]:
    """Return the files used when a pinned httpx client refuses the server in its first request.

    Raises:
        RuntimeError: the client did not refuse.
    """
    walk = Walk()
    pins = kit.pin_set(kit.policy(_HOST))
    with PinnedClient(pins, trust_env=False) as client, walk.following():
        try:
            client.get(f"https://{bank.server}/")
        except httpx.ConnectError:
            return walk.files
    raise RuntimeError("the request was not refused")


def _activate(bank: Bank) -> list[str]:
    """Return the files used by ``certpin rotate switch``, to a backup published 30 days before."""
    dial = ("--connect", f"127.0.0.1:{bank.port}")
    write(kit.policy(_HOST, bank.identity.pin, kit.NOBODY), trust=bank.ca)
    text = Path("pins.toml").read_text(encoding="utf-8")
    old = 'role = "backup"\nstate = "active"'
    Path("pins.toml").write_text(text.replace(old, old.replace("active", "published")))
    if _run("rotate", "shipped", "3", *QUICK, *dial, "--clients", "1200"):
        raise RuntimeError("certpin rotate shipped failed")
    days_pass(30)
    return _command("rotate", "switch", str(kit.NOBODY), *dial)


def _prove(bank: Bank) -> list[str]:
    words = ("curl", "-sS", "--pinnedpubkey", "{pinnedpubkey}", "{url}")
    return _command("prove", "--case", "rogue-ca-in-store", "--", *words)


def _reported(bank: Bank) -> list[str]:
    """Return the files that the monitoring service uses for a report of a refused connection.

    The report is posted, and the measurement ends when ``/failures`` shows it.
    """
    write(kit.policy(_HOST, bank.identity.pin), trust=bank.ca)
    port, found = free_port(), Path("files")
    Path("watch.toml").write_text(
        f'listen = "127.0.0.1:{port}"\n[monitor]\ninterval = "1h"\n[alerts]\nevery = "1h"\n'
    )
    child = subprocess.Popen(
        [sys.executable, "-m", "scripts.walk", "--serve", found, "serve", "--config", "watch.toml"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, _FOLDERS))},
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_until(lambda: _PROBED in _get(port, "/metrics"))
        time.sleep(3)  # the first round of the monitor ends, and the alerts are evaluated
        child.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        pem = pem_of(bank.identity.certificate.der).replace("\n", "\\n")
        moment = f"{datetime.now(UTC) - timedelta(seconds=5):%Y-%m-%dT%H:%M:%SZ}"
        _get(port, "/reports", _REPORT.replace("PEM", pem).replace("TIME", moment).encode())
        _wait_until(lambda: b"mismatch" in _get(port, "/failures"))
        child.send_signal(signal.SIGUSR2)
        _wait_until(found.exists)
    finally:
        child.terminate()
        child.wait(_PATIENCE)
    return found.read_text().split("\n")


def _serve(found: Path, words: list[str]) -> None:
    """Run a certpin command that starts the monitoring service, and record its files.

    SIGUSR1 removes the files recorded so far; SIGUSR2 writes those recorded since to ``found``.
    """
    _import_everything()
    walk = Walk()
    signal.signal(signal.SIGUSR1, lambda *_: walk.clear())
    signal.signal(signal.SIGUSR2, lambda *_: found.write_text("\n".join(walk.files)))
    sys.argv = ["certpin", *words]
    with walk.following():
        certpin_main()


def _get(port: int, path: str, body: bytes | None = None) -> bytes:
    """Send a GET request to the local service, or a POST if there is a body; return the body.

    Return an empty body if the connection fails, or if a GET gets an error status.

    Raises:
        RuntimeError: a POST gets an error status.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Content-Type": "application/json"}
    try:
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
    except OSError:
        return b""
    finally:
        connection.close()
    if body is not None and answer.status >= _BAD:
        raise RuntimeError(f"{path}: {answer.status} {content[:200]!r}")
    return content if answer.status < _BAD else b""


def _wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.2)


# The limits are those of the plan for the layout; decision 87 says why `add` and `switch` are above
# their own.
ACTIONS = (
    Action("certpin add HOST", 16, _add),
    Action("a pinned httpx request refused", 16, _refused, "tls", 4),
    Action("certpin rotate switch", 22, _activate),
    Action("a report POSTed and shown on /failures", 40, _reported),
    Action("certpin prove -- curl, one case", 32, _prove),
)


if __name__ == "__main__":
    main(sys.argv[1:])
