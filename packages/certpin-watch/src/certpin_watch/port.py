"""The port to listen on: free, or an error that says so before anything begins."""

from __future__ import annotations

import errno
import socket

from certpin.errors import ConfigError


def check_free(address: tuple[str, int]) -> None:
    """See that nobody listens there. Raises ``ConfigError``.

    The server shares a port with whoever asks for it in the same way (SO_REUSEPORT, socket(7)):
    requests would go to the one or the other. That somebody takes it a moment later is not seen.
    """
    host, port = address
    try:
        family, kind, proto, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, proto) as trial:
            # As servers do: what only lingers of an earlier one is no reason to refuse.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(where)
    except OSError as exc:
        raise cannot_listen(address, exc) from exc


def cannot_listen(address: tuple[str, int], cause: OSError | None = None) -> ConfigError:
    """The error for an address that is taken, or is none of this machine's."""
    host, port = address
    reason = f": {cause.strerror}" if cause and cause.strerror else ""
    fix = "another service may be running there; choose another port with --listen HOST:PORT"
    if isinstance(cause, socket.gaierror) or (cause and cause.errno == errno.EADDRNOTAVAIL):
        fix = f"{host} is no address of this machine: name one that it has with --listen HOST:PORT"
    elif isinstance(cause, PermissionError):
        fix = "ports below 1024 need special rights; choose a higher one with --listen"
    return ConfigError(f"{host} port {port} cannot be listened on{reason}", key="listen", fix=fix)
