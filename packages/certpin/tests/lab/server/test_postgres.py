"""PostgreSQL: startup, both kinds of query, and wrong sizes."""

from __future__ import annotations

import struct

import pytest

from certpin.lab.server.protocols import PROTOCOLS
from tests.lab.server._talk import TOKEN, says, server

STARTUP = struct.pack(">II", 27, 196_608) + b"user\0me\0database\0x\0"
GSS, CANCEL = struct.pack(">II", 8, 80_877_104), struct.pack(">IIII", 16, 80_877_102, 1, 1)


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Return a PostgreSQL message of a client, with its type, its length and this body."""
    return kind + struct.pack(">I", 4 + len(body)) + body


def kinds(data: bytes) -> bytes:
    """Return the type bytes of the server's messages. Fails if the data has other bytes."""
    found = b""
    while data:
        size = int.from_bytes(data[1:5])
        assert len(data) >= 1 + size
        found, data = found + data[:1], data[1 + size :]
    return found


def test_any_user_may_connect() -> None:
    welcome = kinds(says(server("postgres"), STARTUP, secure=True))
    assert welcome[:1] == b"R"
    assert welcome.endswith(b"KZ")


def test_a_query_is_answered_with_the_token() -> None:
    answer = says(server("postgres"), STARTUP, secure=True)
    answer = says(server("postgres"), STARTUP, message(b"Q", b"select 1\0"), secure=True)[
        len(answer) :
    ]
    assert kinds(answer) == b"TDCZ"
    assert TOKEN.encode() in answer


@pytest.mark.parametrize(("of", "expected"), [(b"S", b"1tTZ"), (b"P", b"1TZ")])
def test_an_extended_query_is_described(of: bytes, expected: bytes) -> None:
    application = server("postgres")
    says(application, STARTUP, secure=True)
    asked = message(b"P", b"\0select 1\0\0\0") + message(b"D", of + b"\0") + message(b"S")
    assert kinds(says(application, asked, secure=True)) == expected
    asked = message(b"B", bytes(8)) + message(b"E", bytes(5)) + message(b"H") + message(b"S")
    assert kinds(says(application, asked, secure=True)) == b"2DCZ"


def test_no_other_encryption_is_had_and_nothing_is_cancelled() -> None:
    application = server("postgres")
    assert says(application, GSS, GSS) == b"NN"
    assert says(application, CANCEL, STARTUP) == b""
    assert application.closing
    assert application.data == b""


@pytest.mark.parametrize("size", [0, 7, 10_001, 2**32 - 1])
def test_a_startup_whose_size_lies_ends_it(size: int) -> None:
    application = server("postgres")
    assert says(application, struct.pack(">I", size) + bytes(20_000)) == b""
    assert application.closing
    assert len(application.data) <= 4


@pytest.mark.parametrize("size", [0, 3, 1024 * 1024 + 1, 2**32 - 1])
def test_a_message_whose_size_lies_ends_it(size: int) -> None:
    application = server("postgres")
    says(application, STARTUP, secure=True)
    assert says(application, b"Q" + struct.pack(">I", size) + bytes(99), secure=True) == b""
    assert application.closing


def test_too_many_messages_end_it() -> None:
    application = server("postgres")
    says(application, STARTUP, message(b"H") * 10_000, secure=True)
    assert application.closing


def test_libpq_is_offered_the_protocol_that_it_insists_on() -> None:
    assert "postgresql" in PROTOCOLS["postgres"].alpn()
