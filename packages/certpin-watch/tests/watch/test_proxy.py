"""The proxy of examples/watch in a real nginx: its routes, and its limits for an address."""

from __future__ import annotations

import itertools
import os
import re
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin_watch.monitor.results import MAX_REQUEST
from certpin_watch.permissions import WORKER_JOBS, WORKER_RESULTS
from tests.documentation._blocks import blocks
from tests.servers._run import free_port, require, running, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Authority

ROOT = Path(__file__).parents[4]
EXAMPLE = ROOT / "examples/watch/nginx.conf"


class _Slow(BaseHTTPRequestHandler):
    """A substitute for the service: it answers when the test allows it, and records requests."""

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, _Upstream)
        self.rfile.read(int(self.headers["content-length"]))
        server.asked.append((self.path, self.headers["x-forwarded-for"]))
        server.go.wait(10)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print no log."""


class _Upstream(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Slow)
        self.asked: list[tuple[str, str]] = []
        self.go = threading.Event()


@contextmanager
def _proxied(intermediate: Authority, rate: str = "rate=20r/s") -> Iterator[tuple[int, _Upstream]]:
    """Run a real nginx with the example's configuration, and a substitute for the service behind
    it.

    Only ports, paths of certificates and the rate limit differ from the example.

    Yields:
        The port of nginx, and the server in place of the service.
    """
    with scratch() as folder, _Upstream() as upstream:
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        for name in ("reports", "watch"):
            intermediate.issue(f"{name}.bank.example").write(folder, name)
        port = free_port()
        text = EXAMPLE.read_text(encoding="utf-8").replace("listen 443", f"listen 127.0.0.1:{port}")
        text = text.replace("rate=20r/s", rate).replace(
            "127.0.0.1:8460", f"127.0.0.1:{upstream.server_port}"
        )
        text = re.sub(r"/etc/ssl/(\w+)\.(pem|key)", rf"{folder}/\1.\2", text)
        paths = "".join(
            f"{each}_temp_path {folder}/{each};"
            for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        main = f"daemon off; {user} pid {folder}/pid; error_log stderr crit; events {{}}"
        path = folder / "nginx.conf"
        path.write_text(f"{main} http {{ access_log off; {paths}\n{text}\n}}")
        argv: list[str | Path] = [require("nginx"), "-p", folder, "-c", path, "-e", "stderr"]
        with running(argv, port):
            try:
                yield port, upstream
            finally:
                upstream.go.set()
                upstream.shutdown()


def _post(
    port: int, path: str = "/reports", host: str = "reports.bank.example", size: int = 2
) -> int:
    """Post a request of ``size`` bytes to the proxy, without verifying its certificate, and return
    the response's status.
    """
    context = ssl._create_unverified_context()
    raw = context.wrap_socket(
        socket.create_connection(("127.0.0.1", port), timeout=20), server_hostname=host
    )
    with raw, raw.makefile("rb") as answer:
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 8.8.8.8\r\n"
        raw.sendall(f"{head}Content-Length: {size}\r\nConnection: close\r\n\r\n".encode())
        raw.sendall(b"{}" * (size // 2))
        return int(answer.readline().split()[1])


@pytest.mark.peer("nginx")
def test_nginx_limits_the_requests_of_an_address(intermediate: Authority) -> None:
    with _proxied(intermediate) as (port, upstream), ThreadPoolExecutor(24) as pool:
        waiting = [pool.submit(_post, port) for _ in range(24)]
        refused = [each.result() for each in itertools.islice(as_completed(waiting), 8)]
        assert refused == [429] * 8  # sixteen are processed; the others are refused at once
        upstream.go.set()
        assert [each.result() for each in waiting].count(204) == 16
        assert set(upstream.asked) == {("/reports", "127.0.0.1")}  # not the header of the client
    with _proxied(intermediate, "rate=1r/m") as (port, upstream), ThreadPoolExecutor(8) as pool:
        upstream.go.set()
        statuses = [each.result() for each in [pool.submit(_post, port) for _ in range(103)]]
        assert statuses.count(204) == 101  # the burst, and one
        assert _post(port, "/login") == 404
        assert _post(port, "/readyz", "watch.bank.example") == 404


@pytest.mark.peer("nginx")
def test_nginx_lets_the_results_of_workers_pass(intermediate: Authority) -> None:
    users = "watch.bank.example"
    with _proxied(intermediate) as (port, upstream):
        upstream.go.set()
        for path in (WORKER_JOBS, WORKER_RESULTS):
            assert _post(port, path, users, MAX_REQUEST) == 204
        assert _post(port, WORKER_RESULTS, users, MAX_REQUEST + 2) == 413
        assert _post(port, "/login", users, 300_000) == 413
        assert _post(port, WORKER_RESULTS) == 404
        assert [path for path, _ in upstream.asked] == [WORKER_JOBS, WORKER_RESULTS]


def test_the_documentation_shows_a_part_of_the_example() -> None:
    (block,) = [each.text for each in blocks("operate/service.md") if each.language == "nginx"]
    assert "limit_conn" in block
    assert block in EXAMPLE.read_text(encoding="utf-8")
