"""Many concurrent clients of an interactive lab, for the tests and the benchmark."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

from certpin.lab.verdict import Verdict
from tests.lab._device import cases, device_lab, results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.lab.device.lab import DeviceLab

CROWD = 500
_PATIENCE = 60.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _connect(port: int, host: str) -> Streams:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def _request(streams: Streams, host: str, context: ssl.SSLContext) -> bool:
    """Send a request through an open tunnel. Return True if the lab's response arrived."""
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


async def all_at_once(lab: DeviceLab, clients: Sequence[tuple[str, ssl.SSLContext]]) -> list[bool]:
    """Open a connection for each client before any of them sends its ClientHello.

    Returns:
        for each client, whether it received the lab's response
    """
    async with asyncio.timeout(_PATIENCE):
        streams = await asyncio.gather(*(_connect(lab.port, host) for host, _ in clients))
        requests = (
            _request(stream, host, context)
            for stream, (host, context) in zip(streams, clients, strict=True)
        )
        return await asyncio.gather(*requests)


def contexts(lab: DeviceLab) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a context that trusts only the good root, and one that trusts the rogue root too."""
    right = ssl.create_default_context(cadata=lab.authorities.root.pem.decode())
    wrong = ssl.create_default_context(cadata=lab.page.roots_pem.decode())
    return right, wrong


def verdicts() -> tuple[dict[str, Verdict | None], dict[str, Verdict]]:
    """Run a lab with 500 hosts, where every second host has an app that accepts the attack.

    Returns:
        the lab's verdict for each host, and the expected verdict for each host
    """
    hosts = [f"h{number}.example" for number in range(CROWD)]
    with device_lab(cases("rogue-ca-in-store"), *hosts) as lab:
        right, wrong = contexts(lab)
        clients = [(host, wrong if number % 2 else right) for number, host in enumerate(hosts)]
        content = [asyncio.run(all_at_once(lab, clients)) for _ in range(4)]
        verdict_of = {host: result.verdict for host, result in results(lab)}
    assert all(content[0])
    # asyncio closes without an alert, so the client must refuse twice.
    assert content[1] == content[2] == [context is wrong for _, context in clients]
    assert all(content[3])
    fooled = {host: context is wrong for host, context in clients}
    return verdict_of, {
        host: Verdict.ACCEPT if is_fooled else Verdict.REJECT for host, is_fooled in fooled.items()
    }
