"""Start the real servers that the tests talk to, and end them for certain.

A test that needs a program asks ``require("nginx")``: where the program is missing, the test is
left out and says how to install it. ``running()`` starts a server, waits until its port accepts,
and ends it with every process that it started.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from scripts import peers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LOOPBACK = "127.0.0.1"
_DEADLINE = 15.0  # seconds until a server must accept, and again until it must have ended
_POLL = 0.02  # seconds between two looks
# Servers that refuse to run as root run as this user then.
_ORDINARY_USER = "nobody"


class ServerFailedError(Exception):
    """A server ended, or did not accept in time. The message ends with what it printed."""


def require(program: str, package: str = "") -> Path:
    """The path of ``program``; where it is missing, the test that asks is left out."""
    peer = peers.by_name().get(program) or peers.Peer(program, package or program)
    found = peer.find()
    if found is None:
        pytest.skip(f"left out: {program} is not installed ({peer.fix})")
    return found


def require_module(module: str, distribution: str = "") -> Path:
    """Where the Python package ``module`` is; the test is left out where it is missing."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        name = distribution or module
        pytest.skip(f"left out: {name} is not installed (python -m pip install {name})")
    return Path(spec.origin).parent


def free_port() -> int:
    """A port of the loopback that is free, and stays so for some seconds.

    The connection made here leaves the port in TIME_WAIT: the kernel then gives it to nobody who
    asks for any port, while a server that names it and sets SO_REUSEADDR (all do) can have it.
    """
    with socket.socket() as listener, socket.socket() as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, 0))
        listener.listen(1)
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        accepted.close()  # first to close: TIME_WAIT stays on this side, with the server's port
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def scratch(*, drop_root: bool = False) -> Iterator[Path]:
    """A directory with a short path (a UNIX socket's has 107 bytes), removed at the end.

    With ``drop_root`` it belongs to the user that ``running(drop_root=True)`` runs as.
    """
    with tempfile.TemporaryDirectory(prefix="certpin-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        if drop_root:
            hand_over(directory)
        yield directory


def hand_over(path: Path) -> None:
    """Give ``path`` to the user that ``running(drop_root=True)`` runs as; no root, no change."""
    user, group = ordinary(drop_root=True)
    if user is not None and group is not None:
        os.chown(path, user, group)


def install(source: Path, directory: Path, *, mode: int = 0o600) -> Path:
    """Copy a file into a server's directory for the user that owns the directory."""
    target = Path(shutil.copy(source, directory / source.name))
    target.chmod(mode)
    owner = directory.stat()
    if os.geteuid() == 0:
        os.chown(target, owner.st_uid, owner.st_gid)
    return target


@contextlib.contextmanager
def running(
    argv: Sequence[str | Path],
    port: int | Sequence[int],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    drop_root: bool = False,
    stop: signal.Signals = signal.SIGTERM,
    deadline: float = _DEADLINE,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in the foreground while the block runs.

    Entered when every ``port`` (TCP, loopback) accepts. ``env`` is added to the environment.
    ``drop_root`` runs it as an ordinary user where the tests run as root; otherwise it changes
    nothing. ``stop`` is the signal that ends it politely. Raises ``ServerFailedError`` when the
    server ends first, or after ``deadline`` seconds.
    """
    ports = [port] if isinstance(port, int) else list(port)
    user, group = ordinary(drop_root=drop_root)
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd or ("/" if drop_root else None),  # root's own directory may be closed to it
            start_new_session=True,  # so that it leads a group, which ends as one
            user=user,
            group=group,
            extra_groups=None if user is None else [],
        )
        try:
            if not _wait_for(process, ports, time.monotonic() + deadline):
                _fail(process, output.fileno(), deadline)
            yield process
        finally:
            end(process, stop)


def complete(argv: Sequence[str | Path], *, drop_root: bool = False) -> None:
    """Run a program to its end. Raises ``ServerFailedError`` with what it said, if it fails."""
    user, group = ordinary(drop_root=drop_root)
    done = subprocess.run(
        [str(word) for word in argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        user=user,
        group=group,
        extra_groups=None if user is None else [],
        cwd="/",
        check=False,
    )
    if done.returncode:
        said = done.stdout.decode(errors="replace")
        raise ServerFailedError(f"{argv!r} ended with {done.returncode}; it said:\n{said}")


def end(process: subprocess.Popen[bytes], stop: signal.Signals = signal.SIGTERM) -> None:
    """End a process that leads its own group, and the whole group; ask first, then insist."""
    for number in (stop, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_DEADLINE)


def ordinary(*, drop_root: bool) -> tuple[int, int] | tuple[None, None]:
    """User and group to run as; nothing where there is no root to give up."""
    if not drop_root or os.geteuid() != 0:
        return None, None
    found = pwd.getpwnam(_ORDINARY_USER)
    return found.pw_uid, found.pw_gid


def _wait_for(process: subprocess.Popen[bytes], ports: list[int], until: float) -> bool:
    """Whether all ports accepted before the process ended and before the time was up."""
    waiting = list(ports)
    while process.poll() is None and time.monotonic() < until:
        waiting = [port for port in waiting if not accepts(port)]
        if not waiting:
            return True
        time.sleep(_POLL)
    return False


def accepts(port: int) -> bool:
    """Whether something accepts TCP connections on this port of the loopback."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _fail(process: subprocess.Popen[bytes], output: int, deadline: float) -> NoReturn:
    what = "did not accept" if process.poll() is None else f"ended with {process.returncode}"
    said = os.pread(output, 20_000, 0).decode(errors="replace")
    raise ServerFailedError(f"{process.args!r} {what} (deadline {deadline:g} s); it said:\n{said}")
