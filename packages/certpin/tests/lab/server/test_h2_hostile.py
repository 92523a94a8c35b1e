"""HTTP/2 with hostile clients: junk, and floods with known CVEs."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest
from h2.settings import SettingCodes
from hypothesis import given
from hypothesis import strategies as st

from certpin.lab.scenario import Answer
from certpin.lab.server.http import MAX_REQUESTS
from certpin.lab.verdict import KEPT
from tests.lab.server._h2 import (
    ASKED,
    CONTINUATION,
    END_HEADERS,
    HEADERS,
    PING,
    PREFACE,
    SETTINGS,
    asking,
    client,
    exchange,
    frame,
    spoken,
)
from tests.lab.server._wire import SECOND

if TYPE_CHECKING:
    from certpin.lab.server.h2 import Http2

FRAMES = st.builds(
    frame,
    st.integers(0, 12),
    st.binary(max_size=60),
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 3, 5, 2**31 - 1, 2**32 - 1]),
)


@given(data=st.binary(max_size=200), foreign=st.sampled_from(["", SECOND]))
def test_junk_raises_nothing(data: bytes, foreign: str) -> None:
    for junk in (data, PREFACE + data, asking()[1] + data):
        application = spoken(Answer.KEEP, foreign=foreign)
        application.receive(junk, secure=True)


@given(
    frames=st.lists(FRAMES, max_size=12), answer=st.sampled_from(Answer), size=st.integers(1, 99)
)
def test_junk_frames_raise_nothing(frames: list[bytes], answer: Answer, size: int) -> None:
    application = spoken(answer, foreign=SECOND)
    said = PREFACE + frame(SETTINGS, b"", stream=0) + b"".join(frames)
    for at in range(0, len(said), size):
        application.receive(said[at : at + size], secure=True)
    application.farewell()
    assert len(application.data) <= KEPT


@given(data=st.data())
def test_a_damaged_request_raises_nothing(data: st.DataObject) -> None:
    said = bytearray(asking(b"body", cookie="secret")[1])
    for _ in range(data.draw(st.integers(1, 5))):
        said[data.draw(st.integers(24, len(said) - 1))] = data.draw(st.integers(0, 255))
    spoken(Answer.KEEP).receive(bytes(said), secure=True)


def test_no_window_for_the_answer_ends_the_connection() -> None:
    application, connection = spoken(), client()
    connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    connection.send_headers(1, ASKED, end_stream=True)
    application.receive(connection.data_to_send(), secure=True)
    assert application.closing
    assert b"/canary" in application.data


def _peak(application: Http2, piece: bytes, limit: int) -> tuple[int, int]:
    """Send ``piece`` repeatedly until the server closes or ``limit`` bytes are sent.

    Returns:
        the number of bytes sent, and the peak of allocated memory in bytes
    """
    taken = 0
    tracemalloc.start()
    try:
        while not application.closing and taken < limit:
            application.receive(piece, secure=True)
            taken += len(piece)
        return taken, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _begun(answer: Answer = Answer.KEEP) -> Http2:
    application = spoken(answer)
    application.receive(PREFACE + frame(SETTINGS, b"", stream=0), secure=True)
    return application


@pytest.mark.parametrize("size", [0, 1, 16_000])
def test_a_flood_of_continuations_is_cut_off(size: int) -> None:
    """The server closes on endless CONTINUATION frames (CVE-2024-27316)."""
    application = _begun()
    application.receive(frame(HEADERS, b"\x82"), secure=True)
    taken, peak = _peak(application, frame(CONTINUATION, b"\x84" * size), 4 * 2**20)
    assert application.closing
    assert taken <= 70 * (size + 9)
    assert peak < 4 * 2**20


def test_rapid_resets_are_cut_off() -> None:
    """The server closes when a client opens and resets streams in a flood (CVE-2023-44487)."""
    application, connection = _begun(), client()
    connection.data_to_send()
    resets = 0
    while not application.closing:
        connection.send_headers(2 * resets + 1, ASKED)
        connection.reset_stream(2 * resets + 1)
        application.receive(connection.data_to_send(), secure=True)
        resets += 1
    assert resets <= MAX_REQUESTS + 1


def test_requests_without_end_are_cut_off() -> None:
    application, connection = _begun(), client()
    connection.data_to_send()
    for number in range(MAX_REQUESTS + 1):
        assert not application.closing
        connection.send_headers(2 * number + 1, ASKED, end_stream=True)
        exchange(application, connection)
    assert application.closing


def test_a_frame_that_is_too_long_is_refused_by_its_header() -> None:
    application = _begun()
    application.receive(b"\xff\xff\xff\0\0\0\0\0\1", secure=True)
    assert application.closing


def test_a_bomb_of_headers_is_refused() -> None:
    """The server refuses a long header that one byte each repeats many times (CVE-2016-6581)."""
    application = _begun()
    long = b"\x40\x01x" + b"\x7f\x81\x1e" + b"y" * 4000  # a literal, indexed: 4000 octets
    block = b"\x82\x87\x84" + long + b"\xbe" * 12_000
    application.receive(frame(HEADERS, block[:16_000], END_HEADERS), secure=True)
    assert application.closing
    assert len(application.data) <= KEPT


@pytest.mark.medium
@pytest.mark.parametrize("kind", [PING, SETTINGS])
def test_a_flood_of_the_protocols_own_frames_fills_no_memory(kind: int) -> None:
    """Floods of PING or SETTINGS, which the server must answer, keep memory bounded.

    CVE-2019-9512, CVE-2019-9515.
    """
    application = _begun()
    payload = b"12345678" if kind == PING else b""
    _, peak = _peak(application, frame(kind, payload, stream=0) * 50, 2**16)
    assert peak < 2**17 * 2
    assert application.data == b""
