"""The clients of the journey, one process each: an app is opened, sends requests, and is closed.

    python _client.py SETTINGS.json…

Each is forked from one parent, which has imported all modules. When it is opened, it sends requests
to each of its servers with its current pins, until it is closed. Each request is a line of its log.
It ends when the file ``stop`` exists.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import sys
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from certpin import PinnedSSLContext, PinSet
from certpin.updates import PinUpdater, Timing, UpdateSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = 30.0  # seconds for one call


@dataclass(frozen=True)
class Settings:
    """The settings of a client, in seconds. Without ``url`` it keeps its bundled pins."""

    pins: str
    root: str
    url: str | None
    cache: str
    port: int
    hosts: tuple[str, ...]
    poll: float
    opened: float
    closed: float
    pause: float
    log: str
    stop: str

    def write(self, path: Path) -> Path:
        """Write the settings to a file, for ``main``."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path


def main(settings: Settings) -> None:
    """Open and close the app until the end."""
    stop = Path(settings.stop)
    with Path(settings.log).open("a", encoding="utf-8", buffering=1) as log:
        while not stop.exists():
            with _app(settings) as context:
                _use(settings, context, stop, log)
            if not stop.exists():
                time.sleep(settings.closed)


@contextlib.contextmanager
def _app(settings: Settings) -> Iterator[PinnedSSLContext]:
    """Return the app's context: with fixed pins of a binary, or with fetched signed sets."""
    bundled = PinSet.load(settings.pins)
    if settings.url is None:
        yield PinnedSSLContext(bundled)
        return
    often = timedelta(seconds=settings.poll)
    with PinUpdater(
        pins=bundled,
        root=Path(settings.root).read_bytes(),
        url=settings.url,
        cache=Path(settings.cache),
        settings=UpdateSettings(Timing(interval=often, urgent=often, retry=often)),
    ) as updater:
        yield updater.context


def _use(settings: Settings, context: PinnedSSLContext, stop: Path, log: TextIO) -> None:
    until = time.monotonic() + settings.opened
    while True:
        for host in settings.hosts:
            held, error = context.pins.version, _call(context, host, settings.port)
            line = {"time": time.time(), "host": host, "version": held, "error": error}
            log.write(json.dumps(line) + "\n")
        if stop.exists() or time.monotonic() > until:
            return
        time.sleep(settings.pause)


def _call(context: PinnedSSLContext, host: str, port: int) -> str:
    """Send one request. Return its error, or an empty text."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), _PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.sendall(f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    except (ssl.SSLError, OSError) as exc:
        return type(exc).__name__
    return "" if f"hello from {host}".encode() in answer else "another answer"


def _born(path: str) -> int:
    """Fork a client. The parent gets its process number."""
    if number := os.fork():
        return number
    facts: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    main(Settings(**facts))
    os._exit(0)


if __name__ == "__main__":
    children = [_born(path) for path in sys.argv[1:]]
    endings = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(any(endings))
