"""Requests of a worker: wrong addresses, tokens and pins, and every refusal of the service."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import ConfigError
from certpin_watch.cli.worker import read_token
from certpin_watch.monitor import worker as working
from certpin_watch.monitor.results import MAX_REQUEST, JobRequest
from certpin_watch.monitor.uplink import ServiceAccess, ServiceError, ServiceLink, parse_service_url
from certpin_watch.monitor.worker import Backoff, WorkerEvents, jittered, work
from certpin_watch.permissions import token_text
from tests import kit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TOKEN = token_text("A" * 12, "B" * 43)
REQUEST = JobRequest("0123456789abcdef", 1)
BATCH = b'{"location":"fra1","lease":60,"wait":0.1}'


def access(address: str, **more: Any) -> ServiceAccess:
    return ServiceAccess(parse_service_url(address), lambda: TOKEN, **more)


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Run an HTTP server that sends ``answers`` in order, one for each request, and repeats the
    last.

    Yields:
        The server's URL, and a list to which it appends the headers of each request.
    """
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answers[min(len(asked), len(answers)) - 1])
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


def http(status: str, body: bytes = b"{}", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *more]
    return "\r\n".join([*lines, "", ""]).encode() + body


def refused(*answers: bytes) -> ServiceError:
    async def ask() -> ServiceError:
        async with answering(*answers) as (url, _), ServiceLink(access(url)) as link:
            with pytest.raises(ServiceError) as caught:
                await link.jobs(REQUEST)
            return caught.value

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "text",
    ["http://watch.bank.example", "http://192.0.2.7:8460", "http://localhost.bank.example"],
)
def test_an_http_address_of_another_machine_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="in clear text"):
        parse_service_url(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "watch.bank.example", "nats://watch.bank.example", "https://", "https://a..b"),
        *("https://anna@watch.bank.example", "https://watch.bank.example/?a=b", "https://a:x"),
        *("https://watch.bank.example/#x", "https://watch bank.example", "https://[::1"),
    ],
)
def test_an_invalid_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not the address of a monitoring service"):
        parse_service_url(text)


def test_an_address_may_have_a_path_and_this_machine_needs_no_tls() -> None:
    assert parse_service_url("https://bank.example/watch/").url == "https://bank.example/watch"
    assert parse_service_url("http://127.0.0.1:8460").host == "127.0.0.1"


def test_an_invalid_token_is_refused_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("certpin_s3cr3t")
    token = partial(read_token, f"file:{tmp_path}/token", "--token-file")
    with pytest.raises(ConfigError, match="not a token of the service") as caught:
        ServiceAccess(parse_service_url("https://a.example"), token).check()
    assert "s3cr3t" not in str(caught.value)


def test_a_pin_file_without_the_host_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    pins = "".join(f'[[host.pin]]\npin = "{pin}"\n' for pin in (kit.NOBODY, kit.NOBODY_ELSE))
    path.write_text(f'schema = 1\nname = "a"\nversion = 1\n[[host]]\nname = "b.example"\n{pins}')
    with pytest.raises(ConfigError, match=r"no pins for a\.example"):
        access("https://a.example", pins=path).check()
    access("https://b.example", pins=path).check()


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("junk")
    with pytest.raises(ConfigError, match="cannot be used"):
        access("https://a.example", ca_file=tmp_path / "ca.pem").check()


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (http("401 Unauthorized"), "refused", "it was revoked"),
        (http("403 Forbidden"), "refused", "not that of a worker"),
        (http("404 Not Found"), "misdirected", "it answers 404"),
        (
            http("302 Found", b"", "Location: https://evil.example/"),
            "misdirected",
            "it answers 302",
        ),
        (
            http("400 Bad Request", b"{}", "Content-Type: application/problem+json"),
            "rejected",
            "cannot read",
        ),
        (http("413 Content Too Large"), "large", "cannot read"),
        (http("429 Too Many Requests", b"", "Retry-After: 7"), "away", "answers 429"),
        (http("503 Service Unavailable"), "away", "answers 503"),
        (http("200 OK", b"<html>"), "misdirected", "answers something else"),
        (http("200 OK", b" " * (MAX_REQUEST + 1)), "misdirected", "answers more"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "away", "cannot be reached"),
        (b"SSH-2.0-OpenSSH\r\n", "away", "cannot be reached"),
    ],
)
def test_each_refusal_has_a_fix(answer: bytes, kind: str, words: str) -> None:
    error = refused(answer)
    assert (error.kind, words in error.problem, bool(error.fix)) == (kind, True, True), error
    assert error.retry_after == (7.0 if b"429" in answer else 0.0)
    assert TOKEN not in str(error)


def test_http_to_a_tls_port_is_reported_as_a_wrong_address() -> None:
    alert = b"\x15\x03\x03\x00\x02\x02\x16"  # the alert of a TLS server for an HTTP request
    error = refused(alert)
    assert error.kind == "misdirected"
    assert "write https://127.0.0.1" in error.fix
    page = http("400 Bad Request", b"<html>", "Content-Type: text/html")  # the page of nginx
    error = refused(page)
    assert (error.kind, "write https://127.0.0.1" in error.fix) == ("misdirected", True)


def test_a_redirect_does_not_get_the_token() -> None:
    async def ask() -> list[bytes]:
        async with answering(http("200 OK", BATCH)) as (elsewhere, stolen):
            moved = http("307 Temporary Redirect", b"", f"Location: {elsewhere}/")
            async with answering(moved) as (url, _), ServiceLink(access(url)) as link:
                with pytest.raises(ServiceError):
                    await link.jobs(REQUEST)
        return stolen

    assert asyncio.run(ask()) == []


def test_a_proxy_does_not_get_the_token_of_a_service_on_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def ask() -> list[bytes]:
        batch = http("200 OK", BATCH)
        async with answering(batch) as (proxy, stolen), answering(batch) as (url, asked):
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, proxy)
            for name in ("no_proxy", "NO_PROXY"):
                monkeypatch.delenv(name, raising=False)
            async with ServiceLink(access(url)) as link:
                assert (await link.jobs(REQUEST)).location == "fra1"
        assert len(asked) == 1
        return stolen

    assert asyncio.run(ask()) == []


@pytest.mark.medium
def test_an_unreachable_service_is_retried_and_reported_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(working, "FIRST_PAUSE", 0.01)
    said: list[str] = []
    stop = asyncio.Event()

    class Events(WorkerEvents):
        def connected(self, location: str) -> None:
            said.append(location)
            stop.set()

        def trouble(self, problem: str, fix: str) -> None:
            said.append(problem)
            assert fix

    async def run() -> None:
        down = [http("503 Service Unavailable")] * 3
        async with answering(*down, http("200 OK", BATCH)) as (url, asked):
            async with ServiceLink(access(url)) as link:
                await work(link, stop, events=Events())
            assert len(asked) == 4

    asyncio.run(run())
    assert [line.partition(" ")[2] for line in said] == ["answers 503", ""]
    assert said[1] == "fra1"


def test_pauses_grow_to_a_limit_and_differ_between_workers() -> None:
    backoff = Backoff()
    pauses = [backoff.pause() for _ in range(12)]
    assert all(0.5 <= pause <= working.MAX_PAUSE for pause in pauses)
    assert pauses[-1] >= working.MAX_PAUSE / 2
    assert backoff.pause(at_least=300.0) == 300.0
    assert len({jittered(1.0) for _ in range(20)}) > 1
