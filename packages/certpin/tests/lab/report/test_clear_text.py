"""Credentials in clear text are reported, in whatever case, without their values."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from certpin.lab.case import CONTROL
from certpin.lab.client import Call
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.report.words import clear_text_lines, details, exit_code, tokens_in
from certpin.lab.runner import prove
from certpin.lab.upstream import Upstream
from certpin.lab.verdict import Outcome, Verdict
from certpin.x509 import Chain
from tests.lab._clients import BY_NAME, request, right_client, trusting

if TYPE_CHECKING:
    from certpin.lab import Authority
    from certpin.lab.runner import Run
    from certpin.lab.target import Target

SECRET = "hunter2"
_JWT = b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"GET / HTTP/1.1\r\nAuthorization: Bearer x\r\n\r\n", ["the header authorization"]),
        (b"GET / HTTP/1.1\r\nCOOKIE:a=b\r\n\r\n", ["the header cookie"]),
        (b"GET /?a=1&Access_Token=x HTTP/1.1\r\n\r\n", ["the parameter access_token"]),
        (b"GET /?apikey=x&api_key=y HTTP/1.1", ["the parameter apikey", "the parameter api_key"]),
        (b"POST / HTTP/1.1\r\n\r\n" + _JWT, ["a JSON Web Token"]),
        (b"GET /canary-1 HTTP/1.1\r\n\r\n", ["the canary of the lab's URL"]),
        (b"GET /canary-2 HTTP/1.1\r\nAccept: */*\r\n\r\n", []),
        (b"CONNECT a:443 HTTP/1.1\r\nProxy-Authorization: Basic x\r\n\r\n", []),
        (b"GET /?tokens=1&monkey=2 HTTP/1.1\r\nX-Cookie: no\r\n\r\n", []),
        (b"eyJ.eyJ. and eyJhbGciOiJIUzI1NiJ9 only", []),
        (b"", []),
    ],
)
def test_credentials_are_found_by_their_names_and_form(data: bytes, found: list[str]) -> None:
    assert tokens_in(data, "canary-1") == found


def _run(client: Call, *names: str) -> Run:
    with Lab(style=Style.NONE) as lab:
        return prove(lab, client, [BY_NAME[name] for name in names])


def _plain(target: Target, host: str) -> None:
    """Send an HTTP request with secrets in clear text through the lab's proxy."""
    with socket.create_connection(("127.0.0.1", target.proxy_port), 10) as sock:
        head = f"GET http://{host}/?token={SECRET} HTTP/1.1\r\nHost: {host}\r\n"
        sock.sendall(f"{head}Cookie: {SECRET}\r\n\r\n".encode())
        sock.settimeout(10)
        sock.recv(100)


@pytest.mark.medium
def test_a_request_in_clear_text_before_the_good_one_is_reported() -> None:
    def call(target: Target) -> str:
        _plain(target, target.host)
        return request(target, trusting(target))

    run = _run(Call(call), "rot-backup-live")
    assert run.controlled
    assert exit_code(run) == 0, "no verdict changes"
    lines = clear_text_lines(run)
    host = "api.bank.example"
    assert lines == [
        f"In clear text, the client sent {token} to {host}, in 2 cases (control-good, …)."
        for token in ("the header cookie", "the parameter token")
    ]
    assert set(lines) <= set(details(run))
    assert SECRET not in "".join(details(run))


@pytest.mark.medium
def test_a_header_in_the_request_to_the_proxy_is_reported() -> None:
    """A credential in the headers of CONNECT is reported; curl before 7.42 sent such headers.

    CVE-2015-3153.
    """

    def call(target: Target) -> str:
        with socket.create_connection(("127.0.0.1", target.proxy_port), 10) as sock:
            head = f"CONNECT {target.host}:443 HTTP/1.1\r\nAuthorization: {SECRET}\r\n\r\n"
            sock.sendall(head.encode())
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")
            context = trusting(target)
            with context.wrap_socket(sock, server_hostname=target.host) as tls:
                tls.sendall(f"GET /{target.canary} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                return tls.recv(4096).decode()

    run = _run(Call(call))
    assert run.controlled
    (line,) = clear_text_lines(run)
    assert "the header authorization to the proxy, in 1 case (control-good)." in line


def _fallback(request_line: str) -> Call:
    """Return a client that repeats a refused request to the proxy, with ``request_line``."""

    def call(target: Target) -> str:
        try:
            return request(target, trusting(target))
        except OSError:
            head = request_line.format(host=target.host, canary=target.canary)
            head += f" HTTP/1.1\r\nHost: {target.host}\r\nAuthorization: {SECRET}\r\n\r\n"
            with socket.create_connection(("127.0.0.1", target.proxy_port), 10) as sock:
                sock.sendall(head.encode())
                sock.recv(100)
            raise

    return Call(call)


@pytest.mark.medium
@pytest.mark.parametrize(
    "request_line",
    [
        "GET https://{host}/{canary}",
        "GET HTTP://{host}/{canary}",
        "GET http://user:pass@{host}/{canary}",
        "GET http://{host}?token={canary}",
        "GET ws://{host}/{canary}",
        "GET /{canary}",
    ],
    ids=["https", "upper-case", "user", "query", "websocket", "path"],
)
def test_a_refused_request_that_a_proxy_gets_in_clear_text_is_a_finding(request_line: str) -> None:
    run = _run(_fallback(request_line), "untrusted-ca")
    control, attack, *_ = run.results
    assert control.outcome is Outcome.RIGHT
    assert (attack.verdict, attack.outcome) == (Verdict.LEAK, Outcome.WRONG)
    lines = "".join(clear_text_lines(run))
    assert "the header authorization to api.bank.example, in 1 case (untrusted-ca)." in lines
    assert "canary-" not in lines, "the value of a parameter is not printed"


@pytest.mark.medium
def test_no_server_gets_in_clear_text_what_belongs_into_tls(intermediate: Authority) -> None:
    """Such a request is reported. Only one for an ``http://`` URL is relayed to its server.

    The lab relays, because the host under test has a real server.
    """
    served = Chain.from_der([intermediate.issue("api.bank.example").certificate.der])
    real = Upstream(("127.0.0.1", 1), served, b"")
    with socket.create_server(("127.0.0.1", 0)) as other, Lab(upstream=real) as lab:
        other.settimeout(10)
        port = other.getsockname()[1]
        server = lab.case_server(CONTROL)
        target = server.open()
        for url in (f"https://127.0.0.1:{port}/", "/", "/nowhere", f"http://127.0.0.1:{port}/"):
            host = "" if url == "/nowhere" else f"127.0.0.1:{port}"
            with socket.create_connection(("127.0.0.1", target.proxy_port), 10) as sock:
                sock.sendall(f"GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                if url.startswith("http:"):
                    with other.accept()[0] as got:
                        assert got.recv(100).startswith(b"GET http:")
                else:
                    assert sock.recv(100) == b""
        server.close()
    receivers = [request.receiver for request in server.requests]
    assert receivers == ["127.0.0.1", "127.0.0.1", "the proxy", "127.0.0.1"]
    assert server.requests[2].head.startswith(b"GET /nowhere ")


@pytest.mark.medium
def test_a_client_that_sends_nothing_in_clear_text_has_no_line() -> None:
    run = _run(right_client(Style.NONE), "rot-backup-live", "untrusted-ca")
    assert clear_text_lines(run) == []


def test_the_heads_that_a_case_keeps_are_limited() -> None:
    with Lab() as lab:
        server = lab.case_server(CONTROL)
        target = server.open()
        try:
            for _ in range(6):
                with socket.create_connection(("127.0.0.1", target.proxy_port), 10) as sock:
                    sock.sendall(
                        f"CONNECT {target.host}:443 HTTP/1.1\r\nA: {'a' * 15_000}\r\n\r\n".encode()
                    )
                    assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        finally:
            server.close()
        assert sum(len(each.head) for each in server.requests) == 64 * 1024
        assert all(each.head for each in server.requests)


@pytest.mark.medium
def test_clear_text_without_a_proxy_is_reported() -> None:
    """A token in a clear-text request straight to the lab's port is reported."""

    def call(target: Target) -> str:
        with socket.create_connection((target.address, target.port), 10) as sock:
            sock.sendall(f"GET /?token={SECRET} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert sock.recv(100)
        return request(target, trusting(target))

    (line,) = clear_text_lines(_run(Call(call)))
    assert "the parameter token to api.bank.example, in 1 case (control-good)." in line
