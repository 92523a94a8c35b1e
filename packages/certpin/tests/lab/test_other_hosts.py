"""Hosts that are not under test: the lab's proxy refuses them, and every report names them."""

from __future__ import annotations

import json
import re
import shlex
import socket
import ssl
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Identity, LabServer
from certpin.lab.case import CONTROL
from certpin.lab.client import Call, Command
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.report.html import to_html
from certpin.lab.report.json import run_facts
from certpin.lab.report.words import advice, details, exit_code, headline, other_host_lines
from certpin.lab.runner import prove
from certpin.lab.server.conversation import Proxied, RefusedHost
from certpin.lab.upstream import Upstream
from certpin.lab.verdict import OtherHost, Verdict
from certpin.x509 import Chain
from tests.cli.conftest import invoke
from tests.lab._clients import BY_NAME, request, right_client, trusting
from tests.lab.report import _runs
from tests.lab.server.test_front import GREETING, SUCCEEDED, named

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.lab import Authority
    from certpin.lab.client import ClientUnderTest
    from certpin.lab.runner import Run
    from certpin.lab.target import Target

HOST = "api.bank.example"
ATTACKS = ("rogue-ca-in-store", "untrusted-ca")
NOT_ALLOWED = b"\5\2\0\1\0\0\0\0\0\0"  # RFC 1928 section 6
# A pinned request, and after its refusal a request without any check to another host.
_FALLBACK = (
    'curl -sS --pinnedpubkey "$1" "$2" || '
    'curl -sSk -H "Authorization: Bearer hunter2" "https://$3/${2##*/}"'
)
# A request to another host, which the pinned request needs.
_PINNED = 'exec curl -sS --pinnedpubkey "$1" "$2"'
_NEEDING = f'curl -sSk "https://$3/" && {_PINNED}'
_URLLIB = """
import ssl, sys, urllib.request
urllib.request.urlopen(sys.argv[1], context=ssl._create_unverified_context()).read()
"""
_NEEDING_URLLIB = f'{shlex.join((sys.executable, "-c", _URLLIB))} "https://$3/" && {_PINNED}'


@contextmanager
def _untouched() -> Iterator[str]:
    """Yield the address of a listening port. Fails if a client has connected to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def _prove(client: ClientUnderTest, *names: str, style: Style = Style.LEAF) -> Run:
    with Lab(HOST, style) as lab:
        return prove(lab, client, [BY_NAME[name] for name in names])


def _curl(script: str, *words: str, via: str = "connect") -> Command:
    return Command(("sh", "-c", script, "client", "{pinnedpubkey}", "{url}", *words), via)


# The connection.


@pytest.mark.slow
@pytest.mark.peer("curl")
@pytest.mark.parametrize("via", ["connect", "socks5"])
def test_a_fallback_to_another_host_is_refused_and_named(via: str) -> None:
    with _untouched() as address:
        run = _prove(_curl(_FALLBACK, address, via=via), *ATTACKS)
    assert headline(run) == "None of the 2 attacks got through", "no verdict changes"
    assert exit_code(run) == 0
    note = f"the client also asked for {address}: refused, and not judged"
    (line,) = other_host_lines(run)
    assert line == f"T{note[1:]}, in 2 cases (rogue-ca-in-store, …)."
    assert line in details(run)
    assert "Attack the hosts that were not judged, too (--host)." in advice(run)
    assert line in to_html(run)
    host, _, port = address.rpartition(":")
    named = [{"host": host, "port": int(port), "relayed": False}]
    facts = run_facts(run)
    assert line in facts["summary"]
    for result in facts["results"][1:-1]:
        assert result["why"].endswith(f"; {note}")
        assert [made["other_hosts"] for made in result["attempts"]] == [named]
    assert facts["results"][0]["attempts"][0]["other_hosts"] == []


@pytest.mark.slow
@pytest.mark.peer("curl")
def test_the_command_names_them_in_each_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cases = [word for name in ATTACKS for word in ("--case", name)]
    with _untouched() as address:
        client = ("--", "sh", "-c", _FALLBACK, "client", "{pinnedpubkey}", "{url}", address)
        done = invoke("prove", *cases, *client)
        verbose = invoke("prove", "--verbose", "--evidence", "evidence", *cases, *client)
    note = f"also asked for {address}: refused, and not judged"
    assert (done.code, verbose.code) == (0, 0)
    assert done.out.count(note) == 1
    assert verbose.out.count(note) == 1 + len(ATTACKS), "and beneath each row"
    for name in ("results.json", "report.html"):
        assert note in (tmp_path / "evidence" / name).read_text("utf-8")


@pytest.mark.slow
@pytest.mark.peer("curl")
@pytest.mark.parametrize("needing", [_NEEDING, _NEEDING_URLLIB], ids=["curl", "urllib"])
def test_a_client_that_needs_another_host_fails_the_control_with_the_reason(
    needing: str, intermediate: Authority
) -> None:
    """It works with the printed variables: it connects to that host without the lab's proxy."""
    with LabServer(intermediate.issue("127.0.0.1")) as login:
        address = f"127.0.0.1:{login.port}"
        run = _prove(_curl(needing, address), *ATTACKS)
        assert login.received == []
        (_, line) = other_host_lines(run)
        written = re.search(r"write (env .*) before the command\.", line)
        assert written
        client = _curl(needing, address)
        direct = _prove(Command((*shlex.split(written[1]), *client.words)), *ATTACKS)
        assert len(login.received) == 4
    assert not run.controlled
    assert exit_code(run) == 3
    (control,) = run.results
    assert control.why.endswith(f"the client also asked for {address}: refused, and not judged")
    assert line == (
        "If the client needs such a host, let it connect there without the lab: write env "
        "NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 before the command. The client must also trust the "
        "authority of that host: the lab's variables name only the lab's roots ({ca})."
    )
    assert direct.controlled
    assert other_host_lines(direct) == []


@pytest.mark.medium
def test_a_name_that_does_not_resolve_is_named_too() -> None:
    def call(target: Target) -> str:
        with socket.create_connection(("127.0.0.1", target.proxy_port), 10) as sock:
            sock.sendall(b"CONNECT Fallback.Example.:8443 HTTP/1.1\r\n\r\n")
            answer = _all_of(sock)
        assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
        return request(target, trusting(target)) + answer.decode()

    run = _prove(Call(call), "untrusted-ca", style=Style.NONE)
    assert run.controlled
    assert run.results[1].verdict is Verdict.REJECT, "the proxy's answer is no answer of a server"
    (line,) = other_host_lines(run)
    assert "fallback.example:8443: refused, and not judged, in 2 cases" in line


def _all_of(sock: socket.socket) -> bytes:
    sock.settimeout(10)
    data = b""
    while piece := sock.recv(4096):
        data += piece
    return data


@pytest.mark.medium
@pytest.mark.parametrize(
    "url", ["http://{}/?token=hunter2", "https://{}/", "/"], ids=["http", "https", "path"]
)
def test_a_request_in_clear_text_for_another_host_is_refused(url: str) -> None:
    with _untouched() as address, Lab(HOST) as lab:
        server = lab.case_server(CONTROL)
        target = server.open()
        with socket.create_connection(("127.0.0.1", target.proxy_port), 10) as sock:
            head = f"GET {url.format(address)} HTTP/1.1\r\nHost: {address}\r\n\r\n"
            sock.sendall(head.encode())
            assert _all_of(sock).startswith(b"HTTP/1.1 403 ")
        server.close()
    assert [other.address for other in server.others] == [address]
    assert [each.receiver for each in server.requests] == ["127.0.0.1"], "its data is reported"


@pytest.mark.parametrize(
    ("request_", "before"),
    [(named(b"other.example"), b""), (GREETING + named(b"other.example"), b"\5\0")],
    ids=["after the greeting", "with the greeting"],
)
def test_socks_refuses_by_its_rules(request_: bytes, before: bytes) -> None:
    proxied = Proxied(lambda reached, _head: RefusedHost(reached))
    if not before:
        proxied.receive(GREETING)
        assert proxied.data_to_send() == b"\5\0"
    proxied.receive(request_)
    assert proxied.done
    assert proxied.passing is None
    answer = proxied.data_to_send()
    assert answer == before + NOT_ALLOWED
    assert SUCCEEDED not in answer
    proxied.receive(b"\x16\3\1")
    assert proxied.data_to_send() == b""


@pytest.mark.medium
def test_an_https_proxy_refuses_other_hosts_too() -> None:
    """The case can be run: the host under test is reached through another tunnel."""

    def call(target: Target) -> str:
        context = trusting(target)
        for host in ("other.example", target.host):
            sock = socket.create_connection(("127.0.0.1", target.proxy_port), 10)
            with context.wrap_socket(sock, server_hostname="localhost") as proxy:
                proxy.sendall(f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode())
                answer = proxy.recv(4096)
                if host == target.host:
                    assert answer.startswith(b"HTTP/1.1 200 ")
                    return _inside(proxy, context, target)
                assert answer.startswith(b"HTTP/1.1 403 ")
        raise AssertionError

    with Lab(HOST, Style.NONE) as lab:
        control = BY_NAME["https-proxy-untrusted"].control
        assert control is not None
        server = lab.case_server(control)
        call(server.open())
        server.close()
    assert server.others == (OtherHost("other.example", 443, relayed=False),)


def _inside(proxy: ssl.SSLSocket, context: ssl.SSLContext, target: Target) -> str:
    """Begin TLS with the host in a tunnel inside the TLS with the proxy, and end."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=target.host)
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            proxy.sendall(outgoing.read())
            incoming.write(proxy.recv(65_536))
        else:
            return str(tls.version())


# The connections that the lab still relays.


@pytest.mark.medium
def test_the_labs_own_port_is_reached_through_its_proxy() -> None:
    def call(target: Target) -> str:
        with socket.create_connection(("127.0.0.1", target.proxy_port), 10) as sock:
            sock.sendall(f"CONNECT 127.0.0.1:{target.port} HTTP/1.1\r\n\r\n".encode())
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
            with trusting(target).wrap_socket(sock, server_hostname=target.host) as tls:
                tls.sendall(f"GET /{target.canary} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                return tls.recv(4096).decode()

    run = _prove(Call(call), style=Style.NONE)
    assert run.controlled
    assert other_host_lines(run) == []


@pytest.mark.medium
def test_the_labs_further_port_is_reached_through_its_proxy() -> None:
    """A redirect can lead a client with a proxy to the lab's address."""
    with Lab(HOST, Style.NONE) as lab:
        server = lab.case_server(BY_NAME["redirect-to-other-port"])
        target = server.open()
        answer = request(target, trusting(target))
        found = re.search(rf"Location: https://{HOST}:(\d+)/", answer)
        assert found
        assert int(found[1]) != target.port
        with socket.create_connection(("127.0.0.1", target.proxy_port), 10) as sock:
            sock.sendall(f"CONNECT 127.0.0.1:{found[1]} HTTP/1.1\r\n\r\n".encode())
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        server.close()
    assert server.others == ()


@pytest.fixture
def identity(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST)


@pytest.mark.medium
@pytest.mark.peer("curl")
def test_a_released_app_gets_to_other_hosts_and_they_are_named(
    identity: Identity, intermediate: Authority, root: Authority
) -> None:
    """The lab relays to them, as to the real server of the host under test."""
    served = Chain.from_der([identity.certificate.der])
    with LabServer(identity) as server, LabServer(intermediate.issue("127.0.0.1")) as login:
        client = _curl('curl -sSk "https://$3/" && exec curl -sS "$2"', f"127.0.0.1:{login.port}")
        upstream = Upstream(("127.0.0.1", server.port), served, root.pem, options=("--upstream",))
        with Lab(HOST, Style.NONE, upstream=upstream) as lab:
            run = prove(lab, client, [BY_NAME["untrusted-ca"]])
    assert run.controlled
    assert len(login.received) == 3
    assert run.results[1].verdict is Verdict.REJECT
    (line,) = other_host_lines(run)
    assert f"127.0.0.1:{login.port}: relayed, and not judged, in 2 cases" in line


# The evidence and the sentences.


@pytest.mark.medium
def test_the_hosts_that_an_attempt_keeps_are_limited() -> None:
    with Lab(HOST) as lab:
        server = lab.case_server(CONTROL)
        target = server.open()
        for name in ["a" * 10_000, "host-1", *(f"host-{number}" for number in range(120))]:
            with socket.create_connection(("127.0.0.1", target.proxy_port), 10) as sock:
                sock.sendall(f"CONNECT {name}:443 HTTP/1.1\r\n\r\n".encode())
                assert sock.recv(4096).startswith(b"HTTP/1.1 403 ")
        server.close()
    assert len(server.others) == 100
    assert [other.host for other in server.others[:3]] == ["a" * 253, "host-1", "host-0"]


def test_a_host_is_named_in_one_line() -> None:
    proxied = Proxied(lambda reached, _head: RefusedHost(reached))
    proxied.receive(GREETING + named(b"x\nNone of the 9 attacks got through."))
    assert proxied.data_to_send().endswith(NOT_ALLOWED), "a name that a client can send"
    other = OtherHost("x\nNone of the 9 attacks", 443, relayed=False)
    refused = _runs.met(BY_NAME["untrusted-ca"], gives=False, others=(other,))
    (line,) = other_host_lines(_runs.run((refused,)))
    assert len(line.splitlines()) == 1


def test_the_sentences_name_some_hosts_and_count_the_others() -> None:
    others = tuple(OtherHost(f"h{number}.example", 443, relayed=False) for number in range(13))
    refused = _runs.met(BY_NAME["untrusted-ca"], gives=False, others=others)
    lines = other_host_lines(_runs.run((refused,)))
    assert len(lines) == 11
    assert lines[0].startswith("The client also asked for h0.example:443: refused, and not judged")
    assert lines[-1] == "It asked for 3 more hosts: see --json."


def test_only_hosts_that_the_control_requested_are_needed() -> None:
    """A host that the client requests after an attack does not explain a failed control."""
    other = OtherHost("::1", 8443, relayed=False)
    refused = _runs.met(BY_NAME["untrusted-ca"], gives=False, others=(other,))
    run = _runs.run((refused,))
    failed = replace(run, results=(*run.results[:-1], _runs.undecided(CONTROL)))
    assert not failed.controlled
    (line,) = other_host_lines(failed)
    assert "[::1]:8443" in line
    assert "NO_PROXY" not in line


def _advised(*hosts: str, relayed: bool = False) -> list[str]:
    """Return the sentences of advice for a control that failed after requests for these hosts."""
    others = tuple(OtherHost(host, 443, relayed) for host in hosts)
    control = _runs.met(CONTROL, gives=False, others=others)
    failed = replace(_runs.run(()), results=(control,))
    assert not failed.controlled
    return other_host_lines(failed)[len(others) :]


def test_a_relayed_host_needs_no_advice() -> None:
    assert len(_advised("login.example")) == 1
    assert _advised("login.example", relayed=True) == []


@pytest.mark.parametrize(
    "host",
    [
        "x;id",
        "x$(id)",
        "x y",
        "x\nenv",
        "*",
        ".example",
        "x,bank.example",
        "bank.example:443",
        "0.0.0.0/0",
        "::1%$(id)",
        "-S",
        "",
    ],
)
def test_only_a_host_is_written_into_a_command(host: str) -> None:
    """A client that uses SOCKS5 can send any text, and NO_PROXY has patterns and lists."""
    assert _advised(host) == []
    (line,) = _advised(host, "login.example", "::1")
    assert " env NO_PROXY=login.example,::1 no_proxy=login.example,::1 before" in line


@pytest.mark.parametrize(
    ("host", "under_test"), [("bank.example", HOST), ("cdn.bank.example", "cdn.bank.example")]
)
def test_no_advice_takes_a_host_under_test_out_of_the_lab(host: str, under_test: str) -> None:
    """NO_PROXY is about all names that end in its names."""
    refused = f"NO_PROXY can't be used for {host}: the client would also connect to {under_test} "
    (line,) = _advised(host)
    assert line == f"{refused}without the lab."
    usable, line = _advised(host, "login.example")
    assert " env NO_PROXY=login.example no_proxy=login.example before" in usable
    assert line.startswith(refused)


@pytest.mark.medium
def test_a_client_without_other_hosts_has_no_line() -> None:
    run = _prove(right_client(Style.LEAF), *ATTACKS)
    assert other_host_lines(run) == []
    assert "--host" not in advice(run)
    assert json.dumps(run_facts(run)).count('"other_hosts": []') == 4
