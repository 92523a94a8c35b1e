"""The clients of the end-to-end test: each process imitates a user's app with pinned connections.

    python _client.py SETTINGS.json…

This program imports all modules and forks one client for each settings file. A client opens the
app, sends requests to each host with its current pins, closes the app, and begins again. It writes
each request as a line to its log. It ends when the file ``stop`` exists.
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
    """The settings of one client.

    Attributes:
        pins: the pin file that is bundled with the app.
        root: the bundled TUF root metadata, which signed pin sets are verified with.
        url: where to fetch signed pin sets. None for a client that keeps its bundled pins.
        cache: the folder of fetched pin sets.
        port: the local port of all hosts.
        hosts: the host names to send requests to.
        poll: seconds between two fetches.
        opened: seconds that the app is open.
        closed: seconds that the app is closed.
        pause: seconds between requests.
        log: the file to which each request is written.
        stop: if this file exists, the client ends.
    """

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
        """Write the settings to a JSON file, which a client process reads. Return its path."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path


def main(settings: Settings) -> None:
    """Open the app, send requests, and close the app again, until the file ``stop`` exists."""
    stop = Path(settings.stop)
    with Path(settings.log).open("a", encoding="utf-8", buffering=1) as log:
        while not stop.exists():
            with _app(settings) as context:
                _use(settings, context, stop, log)
            if not stop.exists():
                time.sleep(settings.closed)


@contextlib.contextmanager
def _app(settings: Settings) -> Iterator[PinnedSSLContext]:
    """Yield the TLS context of an opened app, which checks pins.

    It has fixed bundled pins, or pins that a running updater fetches, if the settings have a URL.
    """
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
    """Send one HTTP request. Return its error, or an empty text on success.

    The error is the name of an exception, or "another answer" for an unexpected response.
    """
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
    """Fork a client with the settings in a file. Return its process ID, in the parent only."""
    if number := os.fork():
        return number
    facts: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    main(Settings(**facts))
    os._exit(0)


if __name__ == "__main__":
    children = [_born(path) for path in sys.argv[1:]]
    endings = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(any(endings))
