"""Five hundred connections at once, and each host gets the verdict of its own client."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from certpin.lab.judge import Verdict
from certpin.lab.serve.gate import most_connections
from tests.lab._device import cases, device_lab, results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.lab.serve.device import DeviceLab

CROWD = 500
_PATIENCE = 60.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def files() -> None:
    """Enough open files for both ends."""
    assert most_connections() > 2 * CROWD


async def _connect(port: int, host: str) -> Streams:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def _request(streams: Streams, host: str, context: ssl.SSLContext) -> bool:
    """Whether the client was content."""
    reader, writer = streams
    try:
        await writer.start_tls(context, server_hostname=host)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        return b"lab-answer" in await reader.read()
    except (ssl.SSLError, OSError):
        return False
    finally:
        writer.close()
        with suppress(ssl.SSLError, OSError):
            await writer.wait_closed()


async def _all_at_once(lab: DeviceLab, clients: Sequence[tuple[str, ssl.SSLContext]]) -> list[bool]:
    """Everybody's connection stands before the first says hello."""
    async with asyncio.timeout(_PATIENCE):
        streams = await asyncio.gather(*(_connect(lab.port, host) for host, _ in clients))
        requests = (
            _request(each, host, context)
            for each, (host, context) in zip(streams, clients, strict=True)
        )
        return await asyncio.gather(*requests)


def _contexts(lab: DeviceLab) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a client that trusts the right root alone, and of one that trusts the rogue's too."""
    right = ssl.create_default_context(cadata=lab.authorities.root.pem.decode())
    wrong = ssl.create_default_context(cadata=lab.page.roots_pem.decode())
    return right, wrong


@pytest.mark.slow
@pytest.mark.usefixtures("files")
def test_five_hundred_hosts_at_once_each_get_their_own_verdict() -> None:
    hosts = [f"h{number}.example" for number in range(CROWD)]
    with device_lab(cases("rogue-ca-in-store"), *hosts) as lab:
        contexts = _contexts(lab)
        clients = [(host, contexts[number % 2]) for number, host in enumerate(hosts)]
        content = [asyncio.run(_all_at_once(lab, clients)) for _ in range(4)]
        told = results(lab)
    assert all(content[0])
    # asyncio closes without an alert: such a client has to refuse twice.
    assert content[1] == [context is contexts[1] for _, context in clients]
    assert content[2] == content[1]
    assert all(content[3])
    expected = {
        host: Verdict.ACCEPT if context is contexts[1] else Verdict.REJECT
        for host, context in clients
    }
    assert {host: result.verdict for host, result in told} == expected
    assert len(told) == CROWD


@pytest.mark.slow
@pytest.mark.usefixtures("files")
def test_five_hundred_connections_to_two_hosts_all_meet_the_case_that_was_on() -> None:
    hosts = ("right.example", "wrong.example")
    with device_lab(cases("rogue-ca-in-store", "untrusted-ca"), *hosts) as lab:
        clients = list(zip(hosts, _contexts(lab), strict=True))
        crowd = [clients[number % 2] for number in range(CROWD)]
        assert all(asyncio.run(_all_at_once(lab, clients)))
        content = asyncio.run(_all_at_once(lab, crowd))
        assert content == [host == "wrong.example" for host, _ in crowd]
        for _ in range(2):  # untrusted-ca, and no other
            assert not any(asyncio.run(_all_at_once(lab, clients)))
        assert all(asyncio.run(_all_at_once(lab, clients)))
        told = {(host, result.case.name): result.verdict for host, result in results(lab)}
    assert told == {
        ("right.example", "rogue-ca-in-store"): Verdict.REJECT,
        ("wrong.example", "rogue-ca-in-store"): Verdict.ACCEPT,
        ("right.example", "untrusted-ca"): Verdict.REJECT,
        ("wrong.example", "untrusted-ca"): Verdict.REJECT,
    }
