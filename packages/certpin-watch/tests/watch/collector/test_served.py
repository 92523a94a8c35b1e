"""Check the collector behind a real HTTP server, with clients that violate HTTP or disconnect."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from certpin_watch.store import open_store
from certpin_watch.store.schema import prepare
from tests._peak import CERTPIN
from tests.servers._run import LOOPBACK, free_port, running
from tests.servers.nats import nats
from tests.watch.collector import bodies
from tests.watch.collector.load_clients import Clients, counted, missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow
_SERVING = [sys.executable, "-m", "tests.watch.collector.server"]
_HEAD = b"POST /reports HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
REPORT = bodies.body(1)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    number, folder = free_port(), tmp_path_factory.mktemp("served")
    words = [str(number), f"sqlite:///{folder}/w.db", "--body-seconds", "1"]
    with running([*_SERVING, *words], number):
        yield number


def _answer(port: int, *pieces: bytes, close: bool = False) -> bytes:
    """Send ``pieces`` to a port, and return the bytes of the response up to the end of its headers.

    With ``close``, the client closes its sending side first. If the server closes the connection,
    return what was received.
    """
    with socket.create_connection((LOOPBACK, port), timeout=20) as client:
        for piece in pieces:
            client.sendall(piece)
        if close:
            client.shutdown(socket.SHUT_WR)
        heard = b""
        with contextlib.suppress(ConnectionError):
            while b"\r\n\r\n" not in heard and (data := client.recv(65536)):
                heard += data
        return heard


def _length(number: int) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % number


def test_chunked_report_is_accepted(port: int) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (REPORT[:9], REPORT[9:]))
    answer = _answer(port, _HEAD, b"Transfer-Encoding: chunked\r\n\r\n", chunks, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 204")


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ((_HEAD, _length(len(REPORT)), REPORT[:-1]), b"408"),  # the last byte never comes
        ((_HEAD, b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\n{"), b"408"),
        ((_HEAD, _length(10**9), b"{"), b"413"),
        ((_HEAD, b"Content-Encoding: zstd\r\n", _length(10**5), b"{"), b"415"),
        ((_HEAD, b"Content-Length: 2, 3\r\n\r\n", b"{}"), b"400"),
        ((_HEAD, b"Content-Length: x\r\n\r\n", b"{}"), b"400"),
        ((_HEAD, b"Transfer-Encoding: chunked\r\n\r\n", b"+2\r\n{}\r\n0\r\n\r\n"), b"400"),
    ],
)
def test_body_that_contradicts_its_headers_is_refused(
    port: int, pieces: tuple[bytes, ...], status: bytes
) -> None:
    assert _answer(port, *pieces).startswith(b"HTTP/1.1 " + status)


def test_client_that_disconnects_midway_harms_no_other(port: int) -> None:
    for cut in (0, 1, len(REPORT) - 1):
        _answer(port, _HEAD, _length(len(REPORT)), REPORT[:cut], close=True)
    assert _answer(port, _HEAD, _length(len(REPORT)), REPORT).startswith(b"HTTP/1.1 204")


def test_idle_clients_do_not_block_others(port: int) -> None:
    with contextlib.ExitStack() as idle:
        for _ in range(300):
            client = idle.enter_context(socket.create_connection((LOOPBACK, port)))
            client.sendall(_HEAD + _length(100))
        elsewhere = _HEAD + b"X-Forwarded-For: 192.0.2.7\r\n"
        assert _answer(port, elsewhere, _length(len(REPORT)), REPORT).startswith(b"HTTP/1.1 204")
        # One network may send 256 bodies at once, each on its connection.
        own = (_answer(port, _HEAD, _length(len(REPORT)), REPORT) for _ in range(50))
        assert any(answer.startswith(b"HTTP/1.1 429") for answer in own)


def test_writers_share_the_work_and_stop_on_sigterm(tmp_path: Path) -> None:
    number, answers, url = free_port(), free_port(), f"sqlite:///{tmp_path}/w.db"
    with nats() as server:
        settings = tmp_path / "watch.toml"
        settings.write_text(f"store = {json.dumps(url)}\nnats = {json.dumps(server.url)}\n")
        store = open_store(url)
        prepare(store)
        command = [*CERTPIN, "watch", "writer", "--config", str(settings)]
        serving = [*_SERVING, str(number), url, "--nats", server.url]
        with (
            running([*command, "--listen", f"127.0.0.1:{answers}"], answers) as first,
            running(command, server.port),
            running(serving, number),
        ):
            with Clients(number) as clients:
                clients.wait_for(100)
                first.send_signal(signal.SIGTERM)
                assert first.wait(20) == 0
                clients.wait_for(100)
            while missing(store, clients.accepted):
                pass
        total, known = counted(store)
        assert total == known
        store.close()
