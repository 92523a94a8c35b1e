"""Small TLS servers in threads, in place of servers that Debian doesn't package.

Tests connect other projects' clients to them. ``silent`` completes the handshake, and ends the
connection after the client's first bytes: that is enough for Kafka and RabbitMQ, because a client
that refuses the chain must do so before it sends its first byte.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from xmlrpc.server import SimpleXMLRPCServer

from tests.servers._run import LOOPBACK, free_port, require_module, running, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ANSWERS = {
    "/": {"tagline": "You Know, for Search"},
    "/v1/models": {"object": "list", "data": [{"id": "model", "object": "model"}]},
}


@contextlib.contextmanager
def silent(certificate: Path, key: Path) -> Iterator[int]:
    """Run a TLS server that reads once from each client and sends no data; yield its port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.request.recv(1024)

    with _serving(_Silent((LOOPBACK, 0), Handler), certificate, key) as port:
        yield port


@contextlib.contextmanager
def json_api(certificate: Path, key: Path) -> Iterator[int]:
    """Run a web server with responses like Elasticsearch's and OpenAI's; yield its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = json.dumps(_ANSWERS[self.path]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Elastic-Product", "Elasticsearch")  # its client asks for it
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with _serving(_Web((LOOPBACK, 0), Handler), certificate, key) as port:
        yield port


@contextlib.contextmanager
def dated(certificate: Path, key: Path, date: str, *, age: str = "") -> Iterator[int]:
    """Run a web server that responds with the headers ``Date`` and ``Age``; yield its port.

    A header with an empty value is left out.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(200)
            if date:
                self.send_header("Date", date)
            if age:
                self.send_header("Age", age)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with _serving(_Web((LOOPBACK, 0), Handler), certificate, key) as port:
        yield port


@contextlib.contextmanager
def xml_rpc(certificate: Path, key: Path) -> Iterator[int]:
    """Run Python's XML-RPC server with TLS, and yield its port."""
    server = _XMLRPC((LOOPBACK, 0), logRequests=False)
    server.register_introspection_functions()
    with _serving(server, certificate, key) as port:
        yield port


@contextlib.contextmanager
def socket_io(certificate: Path, key: Path) -> Iterator[int]:
    """Run python-socketio's server, on aiohttp with TLS, and yield its port."""
    require_module("socketio", "python-socketio")
    port = free_port()
    with scratch() as directory:
        program = directory / "server.py"
        program.write_text(_SOCKET_IO)
        with running([sys.executable, program, str(port), certificate, key], port):
            yield port


_SOCKET_IO = f"""\
import ssl, sys
import socketio
from aiohttp import web

port, certificate, key = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
app = web.Application()
socketio.AsyncServer(async_mode="aiohttp").attach(app)
web.run_app(app, host="{LOOPBACK}", port=int(port), ssl_context=context, print=None)
"""


class _Quiet(socketserver.BaseServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors: clients that refuse close the connection early."""


class _Silent(_Quiet, socketserver.ThreadingTCPServer):
    pass


class _Web(_Quiet, ThreadingHTTPServer):
    pass


class _XMLRPC(_Quiet, SimpleXMLRPCServer):
    pass


@contextlib.contextmanager
def _serving(
    server: socketserver.TCPServer | HTTPServer, certificate: Path, key: Path
) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def without_tls() -> Iterator[int]:
    """A PostgreSQL server that declines TLS on one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"N")
                connection.recv(4096)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)
