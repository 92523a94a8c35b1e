"""Check the NATS client against a hostile NATS server, and against hostile messages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig

from certpin.errors import ConfigError
from certpin_watch.collector.jetstream import PullConsumer, connect_client
from certpin_watch.collector.outage import ConsumerGoneError
from tests.servers._run import free_port, running, scratch
from tests.servers.nats import nats as server
from tests.watch.test_examples import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator


# Statuses with which a server answers a request: no messages, busy, deleted, and a heartbeat.
_STATUSES = ("404", "408", "409", "503", "100")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with server() as running:
        yield running.url


async def _with_consumer(url: str, name: str, then: Any) -> Any:
    client = await connect_client(url)
    try:
        jetstream = client.jetstream()
        await jetstream.add_stream(name=name, subjects=[f"{name}.>"])
        config = ConsumerConfig(durable_name="taker", ack_policy=AckPolicy.EXPLICIT)
        return await then(jetstream, await PullConsumer.open(client, jetstream, name, config))
    finally:
        await client.close()


def test_message_with_a_status_header_is_delivered(url: str) -> None:
    async def then(jetstream: Any, consumer: PullConsumer) -> list[bytes]:
        for status in _STATUSES:
            await jetstream.publish("ONE.x", status.encode(), headers={"Status": status})
        found = [*await consumer.fetch(3, 0.5), *await consumer.fetch(10, 0.5)]
        for message in found:
            await message.ack()
        assert await consumer.fetch(10, 0.01) == []
        return [message.data for message in found]

    assert asyncio.run(_with_consumer(url, "ONE", then)) == [
        status.encode() for status in _STATUSES
    ]


def test_consumer_of_a_deleted_stream_raises(url: str) -> None:
    async def then(jetstream: Any, consumer: PullConsumer) -> None:
        assert await consumer.fetch(10, 0.01) == []
        await jetstream.delete_stream("TWO")
        with pytest.raises(ConsumerGoneError):
            await consumer.fetch(10, 0.01)

    asyncio.run(_with_consumer(url, "TWO", then))


@pytest.mark.slow
def test_no_password_goes_to_a_tls_address_in_clear_text() -> None:
    heard = bytearray()

    async def in_clear_text(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","max_payload":1048576,"auth_required":true}\r\n')
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                while data := await reader.read(4096):
                    heard.extend(data)
        writer.close()

    async def connect() -> None:
        async with await asyncio.start_server(in_clear_text, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            address = f"tls://watch:a-password@127.0.0.1:{port}"
            with pytest.raises((OSError, nats.errors.Error, TimeoutError)):
                await connect_client(
                    address, connect_timeout=0.5, allow_reconnect=False, max_reconnect_attempts=1
                )

    asyncio.run(connect())
    assert heard[:2] == b"\x16\x03"  # a TLS handshake, and nothing before it
    assert b"a-password" not in heard


def test_unknown_version_of_the_nats_client_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Client, "_process_info", lambda *_: None)  # as before 2.10
    with pytest.raises(ConfigError, match="nats-py"):
        asyncio.run(connect_client("tls://watch:a-password@127.0.0.1:1"))


def test_example_server_admits_only_the_services() -> None:
    text = (EXAMPLES / "nats.conf").read_text(encoding="utf-8")
    port = free_port()

    def answer(user: str, password: str) -> bytes:
        """Log in to the NATS server with these credentials, and return the first line of its
        response.

        The test uses a socket, because nats-py would leave the connection open.
        """
        options = {"user": user, "pass": password, "verbose": False, "pedantic": False}
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            lines = connection.makefile("rb")
            assert lines.readline().startswith(b"INFO ")
            connection.sendall(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
            with lines:
                return lines.readline().strip()

    with scratch() as folder:
        path = folder / "nats.conf"
        text = text.replace("store_dir: /data", f'store_dir: "{folder}/data"')
        path.write_text(f'listen: "127.0.0.1:{port}"\n{text}')
        program = Path(sys.executable).with_name("nats-server")
        with running([program, "-c", path], port, env={"NATS_PASSWORD": "ours"}):
            assert answer("certpin", "ours") == b"PONG"
            for user, password in (("", ""), ("certpin", "theirs"), ("zurich", "ours")):
                assert b"Authorization Violation" in answer(user, password)
