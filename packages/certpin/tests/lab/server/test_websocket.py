"""WebSocket (RFC 6455) in the lab: the upgrade, frames, the client's data, and limits."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedOK

from certpin.lab.attacks import CASES
from certpin.lab.client import Call
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.scenario import Answer, AnswerContext, ServerStep
from certpin.lab.server import websocket
from certpin.lab.server.http import Http
from certpin.lab.verdict import KEPT, Outcome
from tests.lab.server._wire import HOSTS, SECOND, TOKEN

if TYPE_CHECKING:
    from certpin.lab.target import Target

ANSWERS = AnswerContext(TOKEN)
ANSWERS.set_hosts(HOSTS)
UPGRADE = (
    b"GET /canary HTTP/1.1\r\nHost: api.bank.example\r\nUpgrade: WebSocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
GREETING = bytes([0x81, len(TOKEN)]) + TOKEN.encode()
NORMAL, PROTOCOL_ERROR = b"\x88\x02\x03\xe8", b"\x88\x02\x03\xea"
HELLO = bytes.fromhex("818537fa213d7f9f4d5158")  # RFC 6455 section 5.7: a masked "Hello"
CONTINUED = bytes.fromhex("018337fa213d7f9f4d") + bytes.fromhex("808237fa213d5b95")  # Hel, lo
MASKED_CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


def upgraded(answer: Answer = Answer.OK, **fields: Any) -> Http:
    application = Http(ServerStep((), b"", answer=answer, **fields), ANSWERS)
    assert receive(application, UPGRADE).startswith(b"HTTP/1.1 101 ")
    return application


def receive(application: Http, data: bytes) -> bytes:
    return application.receive(data, secure=True)


def said(application: Http) -> bytes:
    assert application.data.startswith(UPGRADE)
    return bytes(application.data[len(UPGRADE) :])


def masked(opcode: int, payload: bytes = b"", *, final: bool = True) -> bytes:
    assert len(payload) < 126
    return bytes([opcode | (0x80 if final else 0), 0x80 | len(payload), 0, 0, 0, 0]) + payload


def test_the_accepted_key_is_that_of_the_rfc() -> None:
    assert websocket.accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_upgrade_is_accepted_with_a_message() -> None:
    application = Http(ServerStep((), b""), ANSWERS)
    head, _, message = receive(application, UPGRADE).partition(b"\r\n\r\n")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    assert b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" in head
    assert b"Sec-WebSocket-Protocol" not in head
    assert message == GREETING
    assert not application.closing


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"GET", b"POST"),
        (b"Version: 13", b"Version: 8"),
        (b"Upgrade: WebSocket", b"Upgrade: h2c"),
        (b"Connection: keep-alive, Upgrade", b"Connection: keep-alive"),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZQ=="),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"!"),
    ],
)
def test_any_other_request_is_answered_in_http(old: bytes, new: bytes) -> None:
    application = Http(ServerStep((), b""), ANSWERS)
    assert receive(application, UPGRADE.replace(old, new)).startswith(b"HTTP/1.1 200 ")
    assert application.closing


def test_redirects_and_silence_come_before_the_upgrade() -> None:
    application = Http(ServerStep((), b"", answer=Answer.REDIRECT_SECOND), ANSWERS)
    assert receive(application, UPGRADE).startswith(b"HTTP/1.1 302 ")
    application = Http(ServerStep((), b"", answer=Answer.SILENT), ANSWERS)
    assert receive(application, UPGRADE) == b""
    assert application.closing


@pytest.mark.parametrize(
    ("offered", "chosen"), [(b"graphql-ws, other", b"graphql-ws"), (b"a b", None), (b"", None)]
)
def test_the_first_subprotocol_is_chosen(offered: bytes, chosen: bytes | None) -> None:
    asked = UPGRADE[:-2] + b"Sec-WebSocket-Protocol: %s\r\n\r\n" % offered
    head = receive(Http(ServerStep((), b""), ANSWERS), asked).partition(b"\r\n\r\n")[0]
    lines = [line for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Protocol")]
    assert lines == ([b"Sec-WebSocket-Protocol: " + chosen] if chosen else [])


@pytest.mark.parametrize("message", [HELLO, CONTINUED])
def test_a_message_is_data_and_is_answered_once(message: bytes) -> None:
    application = upgraded()
    assert receive(application, message) == GREETING + NORMAL
    assert said(application) == b"Hello"
    assert not application.closing, "the client closes too"
    assert receive(application, MASKED_CLOSE) == b""
    assert application.closing


def test_a_connection_that_is_kept_answers_every_message() -> None:
    application = upgraded(Answer.KEEP)
    assert receive(application, HELLO * 3) == GREETING * 3
    assert receive(application, MASKED_CLOSE) == NORMAL
    assert application.closing
    assert said(application) == b"Hello" * 3


def test_data_of_an_incomplete_frame_is_recorded() -> None:
    application = upgraded()
    assert receive(application, HELLO[:-1]) == b""
    assert said(application) == b"Hell"


def test_frames_that_come_with_the_request_are_processed() -> None:
    application = Http(ServerStep((), b"", answer=Answer.KEEP), ANSWERS)
    assert receive(application, UPGRADE + HELLO).endswith(GREETING + GREETING)
    assert application.data.endswith(b"Hello")


def test_a_ping_is_answered_with_its_payload() -> None:
    application = upgraded()
    assert receive(application, masked(0x9, b"12")) == b"\x8a\x0212"
    assert receive(application, masked(0xA, b"late")) == b"", "a pong is not answered"
    assert said(application) == b"12late"


@pytest.mark.parametrize(
    "frame",
    [
        b"\x81\x05Hello",  # not masked
        masked(0x41),  # a bit of an extension
        masked(0x3),  # an opcode that is not assigned
        masked(0x9, final=False),  # a ping in pieces
        b"\x89\xfe\0\x80\0\0\0\0",  # a long ping
    ],
)
def test_an_invalid_frame_ends_the_connection(frame: bytes) -> None:
    application = upgraded()
    assert receive(application, frame) == PROTOCOL_ERROR
    assert application.closing


@given(data=st.data())
def test_any_pieces_of_frames_give_the_same_data(data: st.DataObject) -> None:
    frames = data.draw(st.lists(st.sampled_from([HELLO, CONTINUED, masked(0x9, b"Hello")])))
    long = bytes([0x82, 0xFE, 1, 0]) + b"\1\2\3\4" + bytes([1, 2, 3, 4]) * 64
    stream = b"".join(frames) + long
    application, at = upgraded(Answer.KEEP), 0
    while at < len(stream):
        size = data.draw(st.integers(1, 40))
        receive(application, stream[at : at + size])
        at += size
    assert said(application) == b"Hello" * len(frames) + bytes(256)


@given(data=st.binary(max_size=400))
def test_junk_raises_nothing(data: bytes) -> None:
    for junk in (data, HELLO[:6] + data, HELLO + data, masked(0x9, data[:125]) + data):
        receive(upgraded(Answer.KEEP), junk)


def test_messages_are_limited() -> None:
    application = upgraded(Answer.KEEP)
    replies = receive(application, HELLO * 10_000)
    assert replies == GREETING * websocket.MAX_MESSAGES + NORMAL
    assert receive(application, HELLO) == b""


def test_a_frame_without_end_fills_no_memory() -> None:
    application = upgraded()
    receive(application, b"\x82\xff" + b"\x7f" + b"\xff" * 7 + b"\0\0\0\0")
    for _ in range(10):
        receive(application, b"x" * 16_000)
    assert len(application.data) == KEPT
    assert application._socket is not None
    assert len(application._socket._pending) == 0


def test_messages_for_the_foreign_host_are_recorded_separately() -> None:
    application = Http(ServerStep((), b"", answer=Answer.KEEP, foreign=SECOND), ANSWERS)
    receive(application, UPGRADE.replace(b"api.bank.example", SECOND.encode()))
    receive(application, HELLO)
    assert application.astray.endswith(b"Hello")


async def _converse(target: Target, context: ssl.SSLContext) -> str:
    """Receive, send and receive a message, as one task.

    The client with threads (``websockets.sync``) reads and writes one OpenSSL connection at once,
    which Python 3.11 doesn't lock: one handshake in 250 stalled under load.
    """
    url = f"wss://{target.host}/{target.canary}"
    async with connect(
        url,
        ssl=context,
        proxy=None,
        host=target.address,
        port=target.port,
        server_hostname=target.host,
    ) as websocket:
        greeting = str(await websocket.recv())
        await websocket.send("a message")
        assert await websocket.recv() == greeting
        with pytest.raises(ConnectionClosedOK):
            await websocket.recv()
        return greeting


@pytest.mark.medium
@pytest.mark.parametrize("verifies", [True, False])
def test_a_client_of_websockets_is_judged(verifies: bool) -> None:
    """A WebSocket client passes if it verifies certificates, and fails the attack otherwise."""

    def client(target: Target) -> str:
        context = ssl.create_default_context(cafile=str(target.ca))
        if not verifies:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return asyncio.run(_converse(target, context))

    cases = [case for case in CASES if case.name in {"untrusted-ca", "rot-renewed-same-key"}]
    with Lab(style=Style.NONE) as lab:
        run = prove(lab, Call(client), cases)
    found = {result.case.name: result.outcome for result in run.results}
    assert run.controlled, [attempt.ending for each in run.results for attempt in each.attempts]
    assert found["untrusted-ca"] is (Outcome.RIGHT if verifies else Outcome.WRONG)
    assert found["rot-renewed-same-key"] is Outcome.RIGHT
