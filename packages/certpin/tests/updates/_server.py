"""HTTPS server on loopback for the files of a folder, which records requests and can misbehave."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

from certpin.lab.lab_server import server_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from certpin.lab import Identity

    # Answers a request, with the connection of that request.
    Answer = Callable[["Handler"], None]

_ENDLESS = 64 * 1024 * 1024  # bytes: twice the largest limit, that of all files together


class Handler(BaseHTTPRequestHandler):
    """HTTP handler of a ``FolderServer`` for one connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self.server.owner.requests.append(self.path)
        for part, answer in self.server.owner.answers.items():
            if part in self.path:
                answer(self)
                return
        self.serve_file()

    def serve_file(self, path: str = "") -> None:
        """Send the file at ``path`` (default: the requested path), or status 404 if missing."""
        file = self.server.owner.folder / unquote(path or self.path).lstrip("/")
        if file.is_file():
            self.answer(200, file.read_bytes())
        else:
            self.answer(404, b"no such file\n")

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.server.owner.sent += len(body)

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    owner: FolderServer

    def handle_error(self, *_: Any) -> None:
        pass  # clients disconnect, which some tests are about


class FolderServer:
    """HTTPS server for a folder, which runs in a thread within a `with` block.

    ``answers`` replaces responses: it maps a part of a request's path to the function that answers
    such requests, which gets the ``Handler``.
    """

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.folder = folder
        self.requests: list[str] = []
        self.sent = 0
        self.answers: dict[str, Answer] = {}
        self.let_go = threading.Event()  # ends slow answers
        self.entered = threading.Event()  # a slow answer is running
        self._open: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.owner = self
        self._server.get_request = self._accept  # type: ignore[method-assign]
        self.use(identity)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/"

    def use(self, identity: Identity) -> None:
        """Serve the certificate of ``identity`` from the next connection on."""
        self._tls = server_context(identity)

    def taken(self) -> list[str]:
        """Return the paths that clients requested since the last call."""
        taken, self.requests = self.requests, []
        return taken

    def drip(self, handler: Handler) -> None:
        """Send a body one byte at a time until the client disconnects."""
        handler.send_response(200)
        handler.send_header("Content-Length", "10000")
        handler.end_headers()
        self._drag(handler, b"x")

    def drip_headers(self, handler: Handler) -> None:
        """Send headers without an end, byte by byte."""
        self._drag(handler, b"H")

    def never_end(self, handler: Handler) -> None:
        """Send 64 MiB of a body without its end, as fast as the client reads."""
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        with suppress(OSError):
            for _ in range(_ENDLESS // 0x10000):
                handler.wfile.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        handler.close_connection = True

    def stall(self, handler: Handler) -> None:
        """Send nothing for 30 seconds, or until the event ``let_go`` is set."""
        self.entered.set()
        self.let_go.wait(30)
        handler.close_connection = True

    def _drag(self, handler: Handler, byte: bytes) -> None:
        with suppress(OSError):
            while not self.let_go.wait(0.02):
                handler.wfile.write(byte)
                handler.wfile.flush()
                self.entered.set()
        handler.close_connection = True

    def _accept(self) -> tuple[socket.socket, Any]:
        plain, address = self._server.socket.accept()
        plain.settimeout(10)
        tls = self._tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self._open.add(tls)
        return tls, address

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.let_go.set()
        self._server.shutdown()
        for each in self._open:
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)
        self._server.server_close()  # waits for the thread of each connection
        self._thread.join()
