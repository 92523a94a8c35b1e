"""The web server: its port, limits and event loop, and its shutdown.

``certpin serve`` uses it for all requests, workers and writers only for health checks.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections import deque
from contextlib import suppress
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, TypeVarTuple, Unpack

from certpin.errors import ConfigError
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from granian.server.embed import Server

    _Incoming = tuple[asyncio.Handle, Context, Callable[..., Any], tuple[Any, ...]]

_GRACE = 10  # seconds for running requests to complete when the server stops
_BACKLOG = 1024
_IDLE = 20  # seconds that a connection may be idle, before a request and between two requests
_MAX_CONNECTIONS = 4096  # served at the same time; further connections wait
_Ts = TypeVarTuple("_Ts")

log = logging.getLogger("certpin.watch")


def make_server(address: tuple[str, int], app: Any, tls: tuple[Any, Any] | None = None) -> Server:
    """Create a web server for an ASGI application. It doesn't listen yet.

    Args:
        address: IP address and port, as ``resolve_listen`` returns them.
        app: the ASGI application.
        tls: the file paths of the certificate chain and of the private key, both PEM; None for
            plain HTTP.

    Raises:
        ConfigError: the certificate or the key can't be used.
    """
    from granian.constants import HTTPModes, Interfaces, SSLProtocols
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    host, port = address
    secured: dict[str, Any] = {}
    if tls:
        certificate, key = tls
        _check_readable(certificate, "tls_certificate")
        _check_readable(key, "tls_key")
        # Old phones send reports, too: RFC 9325 section 3.1.1 still allows TLS 1.2.
        secured = {"ssl_cert": certificate, "ssl_key": key, "ssl_protocol_min": SSLProtocols.tls12}
    try:
        return Server(
            app,
            address=host,
            port=port,
            interface=Interfaces.ASGINL,
            # Only HTTP/1.1: while granian detects which of two versions a client speaks, no timeout
            # runs, and a silent client holds one of the connections for ever.
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=_IDLE * 1000),
            backlog=_BACKLOG,
            backpressure=_MAX_CONNECTIONS,
            websockets=False,
            log_enabled=False,
            **secured,
        )
    except (OSError, ValueError, FileNotFoundError) as exc:
        raise ConfigError(
            f"certificate and key cannot be used: {exc}",
            key="tls_certificate",
            fix="use PEM files, the leaf first, that this user can read",
        ) from exc


def _check_readable(path: Path, name: str) -> None:
    """Check that a file can be read.

    Args:
        path: the file.
        name: the setting that contains the path, for the error.

    Raises:
        ConfigError: the file can't be read. The error contains its whole path.
    """
    try:
        with path.open("rb"):
            pass
    except OSError as exc:
        raise ConfigError(
            f"{printable(str(path.absolute()))} cannot be read: {exc.strerror or exc}",
            key=name,
            fix="check the path, which is relative to the folder of watch.toml, and permissions",
        ) from exc


async def wait_until_open(address: tuple[str, int], serving: asyncio.Task[None]) -> None:
    """Wait until a web server accepts connections on ``address`` (host and port), or has ended.

    ``serving`` is the task that runs the server.

    Raises:
        ConfigError: the server ended with an error. Its usual cause is that it could not listen.
    """
    while not serving.done():
        with suppress(OSError):
            _, writer = await asyncio.open_connection(*address)
            writer.close()
            return
        await asyncio.sleep(0.02)
    if problem := serving.exception():
        raise _cannot_listen(address, problem) from problem


async def wait_until_stopped(serving: asyncio.Task[None]) -> None:
    """Wait until the server in the task ``serving`` has ended, at most ``_GRACE`` seconds.

    The server answers running requests before it ends. Those that take longer are dropped, with a
    warning in the log. Raises the error with which the server ended, if any.
    """
    try:
        async with asyncio.timeout(_GRACE):
            await serving
    except TimeoutError:
        log.warning("requests ran for more than %d s after the stop and were dropped", _GRACE)


def check_free(address: tuple[str, int]) -> tuple[str, int]:
    """Return the IP address and port to listen on, if no other process listens there.

    The check is needed because the server sets SO_REUSEPORT (socket(7)). With this option, it could
    share the port with another process that also sets it, and each request would go to one of the
    two. Not checked: a process that takes the port later.

    Args:
        address: host and port, as for ``resolve_listen``.

    Raises:
        ConfigError: the port is taken, or this machine doesn't have the address.
    """
    host, port = resolve_listen(address)
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
            # As servers do: old connections in TIME_WAIT are no reason to refuse.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as exc:
        raise _cannot_listen(address, exc) from exc
    return host, port


def resolve_listen(address: tuple[str, int]) -> tuple[str, int]:
    """Return the IP address and the port to listen on: the web server takes no host names.

    ``localhost`` is 127.0.0.1, whatever the resolver says, because the service needs no login there
    (``is_local_only``). Any other name is its first address, with IPv4 before IPv6.

    Args:
        address: host and port. An IP address is returned unchanged.

    Raises:
        ConfigError: the name can't be resolved.
    """
    host, port = address
    if host == "localhost":
        return "127.0.0.1", port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise _cannot_listen(address, exc) from exc
    addresses = [str(entry[4][0]) for entry in found]
    return next((each for each in addresses if ":" not in each), addresses[0]), port


def _cannot_listen(address: tuple[str, int], cause: BaseException) -> ConfigError:
    host, port = address
    reason = printable((isinstance(cause, OSError) and cause.strerror) or str(cause))
    fix = "another service may be running there; choose another port with --listen HOST:PORT"
    if isinstance(cause, socket.gaierror) or getattr(cause, "errno", 0) == errno.EADDRNOTAVAIL:
        fix = f"{host} is no address of this machine: name one that it has with --listen HOST:PORT"
    elif isinstance(cause, PermissionError):
        fix = "ports below 1024 need special rights; choose a higher one with --listen"
    problem = f"{host} port {port} cannot be listened on: {reason}"
    return ConfigError(problem, key="listen", fix=fix)


class ServiceLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop that wakes up once for all callbacks that other threads submit.

    The threads of the web server submit two callbacks for each request: for its headers, and for
    its body. For each callback, asyncio's own loop writes a byte into a socket, to wake up. This
    takes time, because the thread releases the interpreter's lock during this system call, and then
    has to wait for the lock. This loop writes no byte while earlier callbacks wait to be run.
    """

    def __init__(self) -> None:
        super().__init__()
        self._incoming: deque[_Incoming] = deque()
        self._is_woken = False  # `_run_incoming` is scheduled, and has not started yet

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Schedule a callback in the loop's thread, after the callbacks that were submitted before.

        It is called with ``args``, in the ``contextvars`` context ``context`` (by default a copy of
        the current one), as asyncio's own loop does.

        Raises:
            RuntimeError: the loop is closed.
        """
        context = copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        self._incoming.append((handle, context, callback, args))
        if not self._is_woken or self.is_closed():
            self._is_woken = True
            super().call_soon_threadsafe(self._run_incoming)
        return handle

    def _run_incoming(self) -> None:
        """Run the callbacks that other threads had submitted when this method started.

        A callback that is submitted while this method runs wakes up the loop again, and is run by
        the next call.
        """
        self._is_woken = False
        for _ in range(len(self._incoming)):
            handle, context, callback, args = self._incoming.popleft()
            if handle.cancelled():
                continue
            try:
                context.run(callback, *args)
            except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001  # the others run
                self.call_exception_handler(
                    {
                        "message": "a callback of another thread failed",
                        "exception": exc,
                        "handle": handle,
                    }
                )
            except BaseException:  # as in asyncio, what ends the program ends the loop
                if self._incoming:  # the rest runs if the loop does again, as it does to clean up
                    self._is_woken = True
                    self.call_soon(self._run_incoming)
                raise


def prefer_throughput() -> None:
    """Ask the kernel not to preempt a running thread when another becomes ready (SCHED_BATCH).

    Otherwise the server's threads interrupt the event loop for each request that arrives, and then
    only wait for the interpreter's lock, which the loop holds.

    SCHED_BATCH (sched(7)) is a policy of Linux. It applies to this thread and all threads that it
    starts. The share of the processor stays the same. Nothing changes on other systems, if the
    policy is not allowed, or if the operator chose another one (chrt(1), ``CPUSchedulingPolicy=``
    of systemd).
    """
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
