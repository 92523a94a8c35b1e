"""``certpin pin HOST`` for servers that present no chain, or demand something of the client."""

from __future__ import annotations

import http.server
import socket
import ssl
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority, LabServer
from tests.cli.conftest import HOST, Run

if TYPE_CHECKING:
    from pathlib import Path


def test_a_server_with_only_tls_1_2_is_read(run: Run, root: Authority, ca: Path) -> None:
    with LabServer(root.issue("localhost")) as server:
        server._context.maximum_version = ssl.TLSVersion.TLSv1_2
        done = run("pin", f"localhost:{server.port}", "--ca-file", ca, "--json")
    assert (done.code, done.json["targets"][0]["tls_version"]) == (0, "TLSv1.2")


def test_under_tls_1_3_a_server_that_requests_a_client_certificate_is_read(
    run: Run, root: Authority, ca: Path
) -> None:
    with LabServer(root.issue("localhost")) as server:
        server._context.verify_mode = ssl.CERT_REQUIRED
        assert run("pin", f"localhost:{server.port}", "--ca-file", ca).code == 0


def test_under_tls_1_2_a_server_that_requests_a_client_certificate_is_inconclusive(
    run: Run, root: Authority, ca: Path
) -> None:
    with LabServer(root.issue("localhost")) as server:
        server._context.verify_mode = ssl.CERT_REQUIRED
        server._context.maximum_version = ssl.TLSVersion.TLSv1_2
        done = run("pin", f"localhost:{server.port}", "--ca-file", ca)
    assert (done.code, done.out) == (3, "")
    assert "it may want a client certificate" in done.err


def test_a_port_without_tls_is_reported(run: Run) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as plain:
        Thread(target=plain.handle_request, daemon=True).start()
        done = run("pin", f"localhost:{plain.server_port}")
    assert (done.code, done.out) == (3, "")
    assert "the answer is not TLS" in done.err
    assert "--starttls" in done.err


def test_a_closed_port_is_inconclusive(run: Run) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        done = run("pin", f"127.0.0.1:{closed.getsockname()[1]}")
    assert (done.code, done.out) == (3, "")
    assert "Connection refused" in done.err


def test_an_unknown_name_is_inconclusive(run: Run) -> None:
    done = run("pin", "nobody.invalid")
    assert (done.code, done.out) == (3, "")
    assert "Name or service not known" in done.err


def test_a_silent_server_is_given_up_after_the_timeout(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = run("pin", f"127.0.0.1:{silent.getsockname()[1]}", "--timeout", "0.05")
    assert done.code == 3
    assert "it did not answer in time" in done.err


@pytest.mark.parametrize("seconds", ["0", "nan", "inf", "601", "-1", "soon"])
def test_an_invalid_timeout_is_refused(run: Run, seconds: str) -> None:
    assert run("pin", "localhost", "--timeout", seconds).code == 2


@pytest.mark.parametrize(
    "target",
    [f"http://{HOST}", f"https://me:secret@{HOST}", f"me@{HOST}", f"{HOST}:0", "a b", "a\nb"],
)
def test_an_invalid_host_is_refused_and_no_password_is_printed(run: Run, target: str) -> None:
    done = run("pin", target)
    assert (done.code, done.out) == (2, "")
    assert "certpin: " in done.err
    assert "secret" not in done.err
