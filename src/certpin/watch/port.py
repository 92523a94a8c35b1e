"""The port to listen on: free, or an error that says so before anything begins."""

from __future__ import annotations

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
        raise cannot_listen(address) from exc


def cannot_listen(address: tuple[str, int]) -> ConfigError:
    """The error for an address that is taken, or is none of this machine's."""
    host, port = address
    return ConfigError(
        f"{host} port {port} cannot be listened on",
        key="listen",
        fix="is another watch running there? Choose another one with --listen HOST:PORT",
    )
