"""A real WebSocket server, of the package websockets. It echoes."""

from __future__ import annotations

import contextlib
import ssl
import threading
from typing import TYPE_CHECKING

from tests.servers._run import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from websockets.sync.server import ServerConnection


@contextlib.contextmanager
def websocket(certificate: Path, key: Path) -> Iterator[int]:
    """Serve with this certificate and key (PEM); yields the port."""
    from websockets.sync.server import serve

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serve(_echo, LOOPBACK, 0, ssl=context) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


def _echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)
