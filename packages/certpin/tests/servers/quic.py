"""HTTP/3 on loopback: a web server that advertises HTTP/3, and an attacker's HTTP/3 server.

This module needs the package qh3, which only the environment of requirements/niquests.txt has.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from qh3.asyncio.protocol import QuicConnectionProtocol
from qh3.asyncio.server import QuicServer
from qh3.h3.connection import H3_ALPN, H3Connection
from qh3.h3.events import HeadersReceived
from qh3.quic.configuration import QuicConfiguration

from certpin.lab.lab_server import server_context
from tests.servers._run import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.lab import Identity


@dataclass
class Attacker:
    """A running HTTP/3 server of an attacker.

    ``datagrams`` counts the UDP datagrams that it received, and ``headers`` has the headers of each
    request.
    """

    port: int = 0
    datagrams: int = 0
    headers: list[dict[bytes, bytes]] = field(default_factory=list)

    def tokens(self) -> list[bytes]:
        """Return the ``Authorization`` header of each request; empty if there was none."""
        return [each.get(b"authorization", b"") for each in self.headers]


@contextlib.contextmanager
def attacker(identity: Identity, folder: Path) -> Iterator[Attacker]:
    """Run an attacker's HTTP/3 server on a free UDP port while the block runs.

    Args:
        identity: the server's certificate and key.
        folder: where the certificate and key are written.
    """
    seen, ready = Attacker(), Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()
    certificate, key = identity.write(folder, "attacker")
    configuration = QuicConfiguration(
        is_client=False, alpn_protocols=H3_ALPN, max_datagram_frame_size=65536
    )
    configuration.load_cert_chain(certificate, key)

    async def serve() -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        transport, server = await loop.create_datagram_endpoint(
            lambda: _counting(seen)(configuration=configuration, create_protocol=_recording(seen)),
            local_addr=(LOOPBACK, 0),
        )
        seen.port = transport.get_extra_info("sockname")[1]
        ready.set_result((loop, end))
        await end.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    loop, end = ready.result(timeout=10)
    try:
        yield seen
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()


def _counting(seen: Attacker) -> Any:
    class Counting(QuicServer):
        def datagram_received(self, data: Any, addr: Any) -> None:
            seen.datagrams += 1
            super().datagram_received(data, addr)

    return Counting


def _recording(seen: Attacker) -> Any:
    class Recording(QuicConnectionProtocol):
        http: Any = None

        def quic_event_received(self, event: Any) -> None:
            self.http = self.http or H3Connection(self._quic)
            for each in self.http.handle_event(event):
                if isinstance(each, HeadersReceived):
                    seen.headers.append(dict(each.headers))
                    self.http.send_headers(each.stream_id, [(b":status", b"200")])
                    self.http.send_data(each.stream_id, b"from the attacker\n", end_stream=True)
                    self.transmit()

    return Recording


@dataclass
class Web:
    """An HTTPS server over TCP; ``tokens`` has the ``Authorization`` header of each request."""

    port: int
    tokens: list[str] = field(default_factory=list)


@contextlib.contextmanager
def web(identity: Identity, http3: int) -> Iterator[Web]:
    """Run an HTTPS server over TCP while the block runs; it advertises HTTP/3 (RFC 7838: Alt-Svc).

    Args:
        identity: the server's certificate and key.
        http3: the UDP port that it advertises.
    """
    tokens: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            tokens.append(self.headers.get("Authorization", ""))
            body = b"from the bank\n"
            self.send_response(200)
            self.send_header("Alt-Svc", f'h3=":{http3}"; ma=86400')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Ignore errors: clients that refuse close the connection early."""

    with Server((LOOPBACK, 0), Handler) as server:
        context = server_context(identity)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield Web(server.server_address[1], tokens)
        finally:
            server.shutdown()
            thread.join()
