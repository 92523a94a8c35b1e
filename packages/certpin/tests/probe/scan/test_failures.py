"""Servers that do not answer, or not with TLS: one result for each, in bounded time."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import DialError, HandshakeError, ProbeError
from certpin.lab import Authority, Identity, LabServer
from certpin.probe import Endpoint
from certpin.probe.scan import ScanLimits, record, scan, scan_context
from certpin.probe.scan.resolver import Resolver
from tests.probe.scan import _servers
from tests.probe.scan._servers import Server
from tests.probe.scan.conftest import HASTY, PATIENT, by_host
from tests.servers._run import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.probe.scan import ScanResult
    from tests.probe.scan.conftest import Look

HOST = "api.bank.example"
THREE_TIMES = ScanLimits(timeout=20.0, retries=2, pause=0.01)


@pytest.fixture(scope="module")
def identity(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[str] | threading.Event]]:
    """Return a dictionary that maps host names to the addresses to which they resolve.

    If the value is an event, the lookup waits for it, and then finds no address.
    """
    known: dict[str, list[str] | threading.Event] = {}

    def getaddrinfo(host: str, port: int, **extra: Any) -> list[Any]:
        found = known.get(host, [host])
        if isinstance(found, threading.Event):
            found.wait()
            found = []
        return [each for name in found for each in real(name, port, **extra)]

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield known
    for found in known.values():
        if isinstance(found, threading.Event):
            found.set()


def problem(seen: ScanResult, kind: type[ProbeError]) -> str:
    """Return the problem. The record must contain no chain, and nothing about trust."""
    fields = record(seen)
    assert type(seen.error) is kind
    assert [fields[name] for name in ("served", "verified", "chain_verified", "tls")] == [None] * 4
    assert fields["error"] == {"kind": kind.__name__, "problem": seen.error.problem}
    assert seen.error.fix
    return seen.error.problem


@pytest.mark.parametrize(
    "junk",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"220 mail.example ESMTP\r\n",
        b"\x00" * 64,
        b"\xff" * 64,
        b"\x16\x03\x03\x00\x04\x02\x00\x00\x00",
    ],
)
def test_junk_instead_of_tls_is_not_retried(look: Look, junk: bytes) -> None:
    with Server(_servers.say(junk)) as server:
        seen = look(HOST, server.port, THREE_TIMES)
        assert server.connections == seen.attempts == 1
    assert problem(seen, HandshakeError)


def test_a_server_that_never_stops_sending_delays_no_other_host(
    context: ssl.SSLContext, identity: Identity
) -> None:
    with Server(_servers.flood) as flooding, Server(_servers.tls(identity)) as good:
        endpoints = [
            Endpoint(name, port, ("127.0.0.1", port))
            for name, port in (("flood.example", flooding.port), (HOST, good.port))
        ]
        seen = by_host(scan(endpoints, context=context, limits=PATIENT))
    assert "more than 262144 bytes" in problem(seen["flood.example"], HandshakeError)
    assert seen[HOST].verified


def test_an_alert_is_reported_as_text(look: Look) -> None:
    protocol_version = b"\x15\x03\x03\x00\x02\x02\x46"
    with Server(_servers.say(protocol_version)) as server:
        seen = look(HOST, server.port)
    assert "no TLS version" in problem(seen, HandshakeError)


@pytest.mark.parametrize("option", [0, ssl.OP_IGNORE_UNEXPECTED_EOF])  # Python 3.11.2 sets it
def test_a_server_that_closes_is_retried_as_often_as_allowed(root: Authority, option: int) -> None:
    context = scan_context(root.pem.decode())
    context.options |= option
    with Server(_servers.close) as server:
        endpoint, connect = Endpoint(HOST, server.port), ("127.0.0.1", server.port)
        (seen,) = scan([endpoint], context=context, limits=THREE_TIMES, connect=connect)
        assert server.connections == seen.attempts == 3
    assert problem(seen, DialError) == "it closed the connection"


@pytest.mark.slow
@pytest.mark.parametrize("serve", [_servers.say_nothing, _servers.drip])
def test_a_stalling_server_takes_the_time_of_its_attempts(
    look: Look, serve: _servers.Serve
) -> None:
    with Server(serve) as server:
        seen = look(HOST, server.port, HASTY)
        assert seen.attempts == 2
    assert problem(seen, DialError) == "no answer within 0.3 s"
    assert seen.seconds >= 2 * HASTY.timeout + HASTY.pause


def test_a_refused_port_is_retried_as_often_as_allowed(look: Look) -> None:
    seen = look(HOST, free_port(), THREE_TIMES)
    assert seen.attempts == 3
    assert problem(seen, DialError) == "Connection refused"
    assert seen.address == "127.0.0.1"


def test_without_retries_there_is_one_attempt(look: Look) -> None:
    assert look(HOST, free_port(), PATIENT).attempts == 1


def test_an_unknown_name_is_looked_up_once(context: ssl.SSLContext) -> None:
    (seen,) = scan([Endpoint("nobody.invalid")], context=context, limits=THREE_TIMES)
    assert seen.attempts == 1
    assert problem(seen, DialError) == "no address: Name or service not known"
    assert record(seen)["address"] is None


def test_a_busy_name_server_is_retried(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def busy(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", busy)
    (seen,) = scan([Endpoint("api.example")], context=context, limits=THREE_TIMES)
    assert asked == ["api.example"] * 3
    assert seen.attempts == 3
    assert problem(seen, DialError) == "no address: Temporary failure in name resolution"


def test_a_name_that_the_resolver_refuses_is_a_result(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UnicodeError("label too long")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    (seen,) = scan([Endpoint("api.example")], context=context)
    assert problem(seen, DialError) == "no address: label too long"


def test_a_real_name_is_looked_up(context: ssl.SSLContext, identity: Identity) -> None:
    with LabServer(identity) as server:
        (seen,) = scan(
            [Endpoint("localhost", server.port)], context=context, limits=ScanLimits(retries=5)
        )
    assert record(seen)["chain_verified"] is True


def test_the_next_attempt_takes_the_next_address(
    context: ssl.SSLContext,
    identity: Identity,
    names: dict[str, list[str] | threading.Event],
) -> None:
    names[HOST] = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
    with LabServer(identity) as server:
        endpoint = Endpoint(HOST, server.port)
        (seen,) = scan([endpoint], context=context, limits=THREE_TIMES)
    assert (seen.attempts, seen.address) == (3, "127.0.0.1")
    assert record(seen)["chain_verified"] is True


def test_after_the_last_address_comes_the_first(
    context: ssl.SSLContext, names: dict[str, list[str] | threading.Event]
) -> None:
    names[HOST] = ["127.0.0.2", "127.0.0.3"]
    (seen,) = scan([Endpoint(HOST, free_port())], context=context, limits=THREE_TIMES)
    assert (seen.attempts, seen.address) == (3, "127.0.0.2")


@pytest.mark.slow
def test_a_slow_name_server_delays_no_other_host_and_times_out(
    context: ssl.SSLContext,
    identity: Identity,
    names: dict[str, list[str] | threading.Event],
) -> None:
    names |= {"slow.example": threading.Event(), "quick.example": ["127.0.0.1"]}
    with LabServer(identity) as server:
        hosts = [Endpoint(host, server.port) for host in names]
        limits = ScanLimits(timeout=2.0, retries=0)
        first, second = scan(hosts, context=context, limits=limits)
    assert first.endpoint.host == "quick.example"
    assert record(first)["chain_verified"] is True
    assert problem(second, DialError) == "no answer within 2 s"
    assert second.address == ""


@pytest.mark.slow
def test_a_late_lookup_serves_the_next_attempt(
    context: ssl.SSLContext, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name's first lookup takes longer than the first attempt; the second attempt succeeds.

    The first lookup ends when the second begins.
    """
    second = threading.Event()
    real = socket.getaddrinfo
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **extra: Any) -> Any:
        asked.append(host)
        if len(asked) > 1:
            second.set()
        second.wait()
        return real("127.0.0.1", port, **extra)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with LabServer(identity) as server:
        limits = ScanLimits(timeout=2.0, retries=1, pause=0.01)
        (seen,) = scan([Endpoint(HOST, server.port)], context=context, limits=limits)
    assert (seen.attempts, asked) == (2, [HOST] * 2)
    assert record(seen)["chain_verified"] is True


def test_abandoned_names_are_not_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = socket.getaddrinfo
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **extra: Any) -> Any:
        asked.append(host)
        return real(host, port, **extra)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("certpin.probe.scan.resolver._THREADS", 1)  # it asks in order
    resolver = Resolver("waits".__eq__)
    resolver.ask("gone", "127.0.0.2", 443)
    resolver.ask("waits", "127.0.0.1", 443)
    select.select([resolver], [], [], 10.0)
    assert [who for who, _ in resolver.answers()] == ["waits"]
    assert asked == ["127.0.0.1"]
    resolver.close()


def test_an_error_outside_a_look_up_ends_the_wait_for_its_answer() -> None:
    def wanted(_: str) -> bool:
        raise RuntimeError("a mistake")

    resolver = Resolver(wanted)
    resolver.ask("anything", "127.0.0.1", 443)
    assert select.select([resolver], [], [], 10.0)[0]
    with pytest.raises(RuntimeError, match="a mistake"):
        list(resolver.answers())
    resolver.close()


@pytest.mark.slow
def test_a_silent_server_delays_no_other_host(
    context: ssl.SSLContext, identity: Identity, names: dict[str, list[str] | threading.Event]
) -> None:
    names["good.example"] = ["127.0.0.1"]
    with Server(_servers.say_nothing) as silent, LabServer(identity) as good:
        hosts = [Endpoint("127.0.0.1", silent.port), Endpoint("good.example", good.port)]
        seen = list(scan(hosts, context=context, limits=HASTY))
    assert [each.endpoint.host for each in seen] == ["good.example", "127.0.0.1"]


def test_a_slow_caller_does_not_make_servers_look_slow(
    context: ssl.SSLContext, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour passes for each host that is read, and for each result that is handled."""
    hours = 0

    def host(number: int) -> Endpoint:
        nonlocal hours
        hours += 1
        return Endpoint(f"{number}.example")

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + hours * 3600.0)
    monkeypatch.setattr("certpin.probe.scan.scanner.time", clock)
    limits = ScanLimits(window=2, timeout=600.0, retries=0)
    seen = []
    with Server(_servers.tls(identity)) as server:
        here = ("127.0.0.1", server.port)
        for each in scan(map(host, range(5)), context=context, limits=limits, connect=here):
            seen.append(record(each))
            hours += 1
    assert [each["chain_verified"] for each in seen] == [True] * 5
    assert all(each["seconds"] < 600 for each in seen)


def test_a_context_that_does_not_verify_is_refused() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises(ValueError, match="CERT_REQUIRED"):
        next(scan([Endpoint(HOST)], context=context))


def test_an_override_must_be_an_ip_address(context: ssl.SSLContext) -> None:
    with pytest.raises(ValueError, match="'localhost' is not an IP address"):
        next(scan([Endpoint(HOST)], context=context, connect=("localhost", 443)))


def test_an_override_replaces_the_address_of_every_host(
    context: ssl.SSLContext, identity: Identity
) -> None:
    hosts = [f"{number}.example" for number in range(20)]
    with Server(_servers.tls(identity)) as server:
        here = ("127.0.0.1", server.port)
        seen = by_host(scan(map(Endpoint, hosts), context=context, connect=here))
    assert sorted(seen) == sorted(hosts)
    assert {(each.endpoint.port, each.address) for each in seen.values()} == {(443, "127.0.0.1")}
