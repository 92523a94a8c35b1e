"""The reader of ClientHellos, with those of OpenSSL and with malformed ones."""

from __future__ import annotations

import ssl
import warnings
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.lab.server.records import LONGEST_HELLO, ClientHello, HelloReader, NotTLSError
from tests.lab.server._wire import HOST, anyone, hello_of, records

_LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=63)
NAMES = st.lists(_LABEL, min_size=2, max_size=3).map(lambda labels: ".".join(labels) + ".example")
PROTOCOLS = st.lists(st.sampled_from(["h2", "http/1.1", "imap", "x" * 255]), max_size=4)
SIZES = st.lists(st.integers(1, 600), min_size=1, max_size=8)


def _context(newest: str = "TLSv1_3", protocols: tuple[str, ...] = ()) -> ssl.SSLContext:
    context = anyone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion[newest]
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def read_hello(data: bytes) -> ClientHello | None:
    return HelloReader().feed(data)


HELLO = hello_of(_context(protocols=("h2", "http/1.1")))


@given(name=NAMES, protocols=PROTOCOLS)
def test_reads_hellos_of_openssl(name: str, protocols: list[str]) -> None:
    hello = read_hello(hello_of(_context(protocols=tuple(protocols)), name))
    assert hello == ClientHello(name, tuple(protocols), (0x0304, 0x0303))


def test_it_reads_the_one_version_of_an_older_client() -> None:
    hello = read_hello(hello_of(_context("TLSv1_2")))
    assert hello is not None
    assert hello.versions == (0x0303,)


@pytest.mark.parametrize("host", [None, "192.0.2.1", "::1"])
def test_hello_without_a_name_has_an_empty_name(host: str | None) -> None:
    hello = read_hello(hello_of(_context(), host))
    assert hello is not None
    assert hello.server_name == ""


def test_a_name_is_read_in_lower_case() -> None:
    # OpenSSL sends the name unchanged, but Python lower-cases it, so the bytes are edited.
    hello = read_hello(HELLO.replace(HOST.encode(), HOST.upper().encode()))
    assert hello is not None
    assert hello.server_name == HOST


@pytest.mark.medium
@given(cuts=st.lists(st.integers(0, len(HELLO)), max_size=5), behind=st.binary(max_size=9))
def test_it_may_come_in_any_pieces(cuts: list[int], behind: bytes) -> None:
    data = HELLO + behind
    reader, at, found = HelloReader(), 0, None
    for cut in [*sorted(cuts), len(data)]:
        assert found is None or at >= len(HELLO), "not before it is whole"
        found = found or reader.feed(data[at:cut])
        at = cut
    assert found == read_hello(HELLO)
    assert bytes(reader.raw[: len(HELLO)]) == HELLO


@pytest.mark.medium
@given(sizes=SIZES)
def test_it_may_come_in_any_records(sizes: list[int]) -> None:
    cut = records(HELLO[5:], sizes)
    assert read_hello(cut) == read_hello(HELLO)
    assert all(read_hello(cut[:end]) is None for end in range(0, len(cut), 41))


@given(data=st.binary(max_size=300))
def test_junk_is_no_clienthello_and_raises_nothing_else(data: bytes) -> None:
    _only_refuses(data)
    _only_refuses(b"\x16\3\1" + data)
    _only_refuses(records(b"\1" + len(data).to_bytes(3) + data, [64]) if data else b"")


@given(data=st.data())
def test_a_damaged_hello_raises_nothing_else(data: st.DataObject) -> None:
    damaged = bytearray(HELLO)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(HELLO) - 1))] = data.draw(st.integers(0, 255))
    _only_refuses(bytes(damaged))
    _only_refuses(bytes(damaged[: data.draw(st.integers(0, len(HELLO)))]))


def _only_refuses(data: bytes) -> Any:
    try:
        return read_hello(data)
    except NotTLSError:
        return None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x15\3\1\0\2\2\50",  # an alert
        b"\x16\2",
        b"\x16\3\1\0\4\2\0\0\0",  # a ServerHello
        b"\x16\3\1\0\5\2",  # its beginning
        b"\x16\3\1\0\0",  # an empty record
        HELLO[:5] + b"\1\0\0\0" + HELLO[9:],  # a message of no octets
        b"\x16\3\1\0\4\1\0\0\1\x16\3\1\0\1\0",  # one of one
    ],
)
def test_other_bytes_are_refused_at_once(data: bytes) -> None:
    with pytest.raises(NotTLSError):
        read_hello(data)


@pytest.mark.parametrize("size", [LONGEST_HELLO - 3, 0xFFFFFF])
def test_one_of_more_octets_than_openssl_reads_is_refused_by_its_header(size: int) -> None:
    begin = b"\1" + (LONGEST_HELLO - 4).to_bytes(3) + b"\0" * 2000
    assert read_hello(records(begin, [1000])) is None
    with pytest.raises(NotTLSError, match="more octets"):
        read_hello(records(b"\1" + size.to_bytes(3) + b"\0" * 2000, [1000]))


def test_the_headers_of_small_records_fill_no_memory() -> None:
    message = b"\1" + (LONGEST_HELLO - 4).to_bytes(3) + b"\0" * (LONGEST_HELLO - 4)
    reader = HelloReader()
    pieces = (records(message[at : at + 1024], [1]) for at in range(0, len(message), 1024))
    with pytest.raises(NotTLSError):
        deque(map(reader.feed, pieces), maxlen=0)
    assert len(reader.raw) < 3 * LONGEST_HELLO


@pytest.mark.medium
def test_each_byte_is_examined_once() -> None:
    """The parser takes each record once, so a client that sends single bytes delays no others."""
    message = b"\1" + (20_000).to_bytes(3) + b"\0" * 19_000
    reader = HelloReader()
    taken: list[bool] = []
    take = reader._take_record

    def count() -> bool:
        taken.append(take())
        return taken[-1]

    reader._take_record = count  # type: ignore[method-assign]
    for octet in records(message, [1]):
        assert reader.feed(bytes([octet])) is None
    assert taken.count(True) == len(message), "each record once"
