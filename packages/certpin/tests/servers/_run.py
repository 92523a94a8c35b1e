"""Start the real servers that the tests need, and end them reliably.

A test that needs a program calls ``require("nginx")``: if the program is missing, the test is
skipped, with a message that names the package to install. ``running()`` starts a server, waits
until its port accepts connections, and ends it with every process that it started.
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
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import pytest

from scripts import peers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from socketserver import BaseServer

ServerT = TypeVar("ServerT", bound="BaseServer")

LOOPBACK = "127.0.0.1"
_DEADLINE = 15.0  # seconds until a server must accept, and again until it must have ended
_POLL = 0.02  # seconds between two checks
# Servers that refuse to run as root run as this user.
_ORDINARY_USER = "nobody"
_MEMORY = Path("/dev/shm")  # Linux: POSIX shared memory, a file system in memory
_ENOUGH = 4 * 2**30  # bytes: the databases of two test processes need less than half of it


class ServerFailedError(Exception):
    """A server ended, or accepted no connection in time. The message ends with its output."""


def require(program: str, package: str = "") -> Path:
    """Return the path of an installed program, or skip the test if it is missing.

    Args:
        program: the name of the program.
        package: the package to install, for the skip message; by default, the program's name.
    """
    peer = peers.by_name().get(program) or peers.Peer(program, package or program)
    found = peer.find()
    if found is None:
        pytest.skip(f"left out: {program} is not installed ({peer.fix})")
    return found


def require_module(module: str, distribution: str = "") -> Path:
    """Return the folder of an installed Python package, or skip the test if it is missing.

    Args:
        module: the name to import.
        distribution: the package to install, for the skip message; by default, the module's name.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        name = distribution or module
        pytest.skip(f"left out: {name} is not installed (python -m pip install {name})")
    return Path(spec.origin).parent


def free_port() -> int:
    """Return a free port on the loopback, which stays free for some seconds.

    The connection made here leaves the port in TIME_WAIT: the kernel then gives it to no program
    that asks for any port, but a server that names it and sets SO_REUSEADDR (all do) can bind it.
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
def scratch(*, drop_root: bool = False, in_memory: bool = False) -> Iterator[Path]:
    """Yield a temporary folder with a short path: that of a UNIX socket has at most 107 bytes.

    Args:
        drop_root: give the folder to the ordinary user that ``running(drop_root=True)`` runs as.
        in_memory: use a file system in memory, if this machine has one with enough space.
    """
    place = _MEMORY if in_memory and _has_memory() else None
    with tempfile.TemporaryDirectory("", "certpin-", place, ignore_cleanup_errors=True) as name:
        directory = Path(name)
        if drop_root:
            hand_over(directory)
        yield directory


def _has_memory() -> bool:
    return _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ENOUGH


def hand_over(path: Path) -> None:
    """Give a file to the ordinary user that ``running(drop_root=True)`` runs a server as.

    If the tests don't run as root, nothing changes.
    """
    user, group = ordinary(drop_root=True)
    if user is not None and group is not None:
        os.chown(path, user, group)


def install(source: Path, directory: Path, *, mode: int = 0o600) -> Path:
    """Copy a file into a server's folder, and return the copy's path.

    The copy belongs to the owner of the folder, and has the permissions ``mode``.
    """
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
    """Run a server in the foreground while the ``with`` block runs, and yield its process.

    Args:
        argv: the command.
        port: the TCP ports on loopback that have to accept connections before the block begins.
        env: variables to add to the environment.
        cwd: the working directory.
        drop_root: run the server as an ordinary user if the tests run as root.
        stop: the signal that ends the server.
        deadline: how long to wait for the ports, in seconds.

    Raises:
        ServerFailedError: the server ended first, or did not accept in time.
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
            cwd=cwd or ("/" if drop_root else None),  # root's directory may be inaccessible to it
            start_new_session=True,  # it leads a process group, so that the group can be ended
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


@contextlib.contextmanager
def in_thread(server: ServerT) -> Iterator[ServerT]:
    """Run a ``socketserver`` server in a thread while the ``with`` block runs; then close it."""
    thread = threading.Thread(target=server.serve_forever, args=(_POLL,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def complete(argv: Sequence[str | Path], *, drop_root: bool = False) -> None:
    """Run a program to its end.

    Args:
        argv: the command.
        drop_root: run it as an ordinary user if the tests run as root.

    Raises:
        ServerFailedError: the program failed; the message has its output.
    """
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
    """End a process and all others of its group: first with the signal ``stop``, then SIGKILL."""
    for number in (stop, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_DEADLINE)


def ordinary(*, drop_root: bool) -> tuple[int, int] | tuple[None, None]:
    """Return the user and group IDs of the ordinary user that servers run as.

    Returns:
        A pair of ``None`` if ``drop_root`` is false or the tests don't run as root: the user stays.
    """
    if not drop_root or os.geteuid() != 0:
        return None, None
    found = pwd.getpwnam(_ORDINARY_USER)
    return found.pw_uid, found.pw_gid


def _wait_for(process: subprocess.Popen[bytes], ports: list[int], until: float) -> bool:
    """Return True as soon as all ports accept connections.

    Return False if the process ends first, or at the time ``until`` (of ``time.monotonic``).
    """
    waiting = list(ports)
    while process.poll() is None and time.monotonic() < until:
        waiting = [port for port in waiting if not accepts(port)]
        if not waiting:
            return True
        time.sleep(_POLL)
    return False


def accepts(port: int) -> bool:
    """Return True if a server accepts TCP connections on this port of the loopback."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _fail(process: subprocess.Popen[bytes], output: int, deadline: float) -> NoReturn:
    what = "did not accept" if process.poll() is None else f"ended with {process.returncode}"
    said = os.pread(output, 20_000, 0).decode(errors="replace")
    raise ServerFailedError(f"{process.args!r} {what} (deadline {deadline:g} s); it said:\n{said}")
