"""The lab's proxy: requests that it accepts or refuses, split at any point, and junk."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.lab.server.conversation import ProxyRequest
from certpin.lab.server.session import Destination
from tests.lab.server._talk import cut

GREETING = b"\5\1\0"
SUCCEEDED = b"\5\0\0\1\0\0\0\0\0\0"


def socks(kind: int, address: bytes, port: int, command: int = 1) -> bytes:
    """Return a SOCKS5 request (RFC 1928 section 4); ``kind`` is the type of the address."""
    return bytes([5, command, 0, kind]) + address + struct.pack(">H", port)


def named(host: bytes, port: int = 443) -> bytes:
    """Return a SOCKS5 request to connect to a host name."""
    return socks(3, bytes([len(host)]) + host, port)


def ask(*pieces: bytes) -> ProxyRequest:
    """Pass these pieces of input to the lab's proxy, and return its parsed request."""
    front = ProxyRequest()
    for piece in pieces:
        front.receive(piece)
    return front


@pytest.mark.parametrize(
    ("request_", "host", "port"),
    [
        ("CONNECT a.example:443 HTTP/1.1", "a.example", 443),
        ("CONNECT A.Example.:8443 HTTP/1.1", "a.example", 8443),
        ("CONNECT a.example HTTP/1.0", "a.example", 443),
        ("CONNECT [2001:DB8::1]:443 HTTP/1.1", "2001:db8::1", 443),
        ("CONNECT [::1] HTTP/1.1", "::1", 443),
        # As a URL writes ::ffff:192.0.2.7, and an address that is not canonical (RFC 5952).
        ("CONNECT [::ffff:c000:207]:443 HTTP/1.1", "::ffff:192.0.2.7", 443),
        ("CONNECT [2001:db8:0:0::7]:443 HTTP/1.1", "2001:db8::7", 443),
        ("CONNECT ::1:443 HTTP/1.1", "::1", 443),  # http.client before Python 3.13
        ("CONNECT 127.0.0.1:65535 HTTP/1.1", "127.0.0.1", 65_535),
    ],
)
def test_connect_reaches_a_host(request_: str, host: str, port: int) -> None:
    front = ask(f"{request_}\r\nHost: other\r\n\r\nrest".encode())
    assert front.reached == Destination("connect", host, port)
    assert front.rest == b"rest"
    assert front.data_to_send().startswith(b"HTTP/1.1 200 ")
    assert front.data_to_send() == b""


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://a.example/x", "a.example", 80),
        ("http://[::1]:81", "::1", 81),
        ("HTTP://A.Example./x", "a.example", 80),
        ("http://user:pass@a.example/x@y", "a.example", 80),
        ("http://a.example?token=x", "a.example", 80),
        ("http://a.example#x", "a.example", 80),
        ("http://a.example/M\u00fcller", "a.example", 80),
    ],
)
def test_a_request_in_clear_text_keeps_its_bytes(url: str, host: str, port: int) -> None:
    sent = f"GET {url} HTTP/1.1\r\n\r\n".encode()
    front = ask(sent)
    assert front.reached == Destination("connect", host, port, plain=True)
    assert front.relayable
    assert front.head == front.rest == sent
    assert front.data_to_send() == b""


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("https://a.example/x", 443),
        ("HTTPS://a.example:8443", 8443),
        ("wss://a.example", 443),
        ("ws://a.example/x", 80),
        ("ftp://a.example/x", 80),
        ("/x", 81),
    ],
)
def test_a_request_that_should_be_in_tls_is_in_clear_text(url: str, port: int) -> None:
    sent = f"GET {url} HTTP/1.1\r\nHost: A.example:81\r\n\r\n".encode()
    front = ask(sent)
    assert front.reached == Destination("connect", "a.example", port, plain=True)
    assert not front.relayable
    assert front.head == front.rest == sent
    assert front.data_to_send() == b""


def test_a_request_in_clear_text_without_the_end_of_its_head_is_read_at_the_end() -> None:
    sent = b"GET http://a.example/ HTTP/1.1\nAuthorization: x"
    assert ask(sent).reached is None
    front = ask(sent, b"")
    assert front.reached == Destination("connect", "a.example", 80, plain=True)
    assert not front.relayable
    assert front.head == sent
    long = ask(b"GET https://a.example/ HTTP/1.1\r\nCookie: " + b"a" * 17_000)
    assert long.reached == Destination("connect", "a.example", 443, plain=True)


def test_connect_needs_the_end_of_its_head() -> None:
    assert ask(b"CONNECT a.example:443 HTTP/1.1\r\n", b"").failed
    assert ask(b"CONNECT a.example:443 HTTP/1.1\r\nA: " + b"a" * 17_000).failed


@pytest.mark.parametrize(
    "target",
    [
        "",
        ":443",
        "\u00fc:443",
        "a:0",
        "a:65536",
        "a:0000443",
        "a:4430000",
        "::1",
        "a:b:443",
        ".:443",
        "[]:443",
    ],
)
def test_connect_to_nowhere_is_refused(target: str) -> None:
    front = ask(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
    assert front.failed
    assert front.reached is None
    assert front.data_to_send() == b""


@pytest.mark.parametrize(
    "junk",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\3\1", b"\xff\r\n\r\n", b"x" * 16_385, b"\r\n\r\n"],
)
def test_invalid_requests_are_refused(junk: bytes) -> None:
    front = ask(junk)
    assert front.failed
    assert front.reached is None


@pytest.mark.parametrize(
    ("request_", "host"),
    [
        (named(b"A.example."), "a.example"),
        (socks(1, bytes([192, 0, 2, 1]), 443), "192.0.2.1"),
        (socks(4, ipaddress.ip_address("2001:db8::1").packed, 443), "2001:db8::1"),
        (socks(4, ipaddress.ip_address("::ffff:192.0.2.7").packed, 443), "::ffff:192.0.2.7"),
    ],
)
def test_socks5_reaches_a_host(request_: bytes, host: str) -> None:
    front = ask(GREETING)
    assert front.data_to_send() == b"\5\0"
    front.receive(request_ + b"rest")
    assert front.data_to_send() == SUCCEEDED
    assert front.reached == Destination("socks5", host, 443)
    assert front.rest == b"rest"


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"\5\1\2", b"\5\xff"),  # only the password method
        (b"\5\0", b"\5\xff"),  # no method at all
        (GREETING + socks(1, bytes(4), 443, command=2), b"\5\0\5\7"),  # BIND
        (GREETING + socks(9, bytes(4), 443), b"\5\0\5\x08"),
        (GREETING + named(b""), b"\5\0"),
        (GREETING + named(b"a", 0), b"\5\0"),
        (GREETING + named(b"\xff"), b"\5\0"),
        (GREETING + b"CONNECT a:443 HTTP/1.1\r\n\r\n", b"\5\0\5\7"),  # two protocols in one
    ],
)
def test_socks5_that_cannot_be_is_refused(sent: bytes, answer: bytes) -> None:
    front = ask(sent)
    assert front.failed
    assert front.reached is None
    assert front.data_to_send()[: len(answer)] == answer


def test_connection_does_not_change_from_socks5_to_http() -> None:
    front = ask(GREETING, b"CONNECT a:443 HTTP/1.1\r\n\r\n")
    assert front.failed
    assert front.reached is None


def test_input_after_the_end_is_ignored() -> None:
    failed = ask(b"\r\n\r\n")
    failed.receive(b"CONNECT a:443 HTTP/1.1\r\n\r\n")
    assert failed.reached is None
    reached = ask(b"CONNECT a:443 HTTP/1.1\r\n\r\n")
    reached.receive(b"CONNECT b:443 HTTP/1.1\r\n\r\n")
    assert reached.reached == Destination("connect", "a", 443)


hosts = st.sampled_from([b"a.example", b"A.B.", b"", b"\xff", b"127.0.0.1", b"[::1]", b"::1"])
ports = st.integers(0, 65_535)
requests = st.one_of(
    st.builds(lambda h, p: b"CONNECT %s:%d HTTP/1.1\r\n\r\n" % (h, p), hosts, ports),
    st.builds(lambda h: b"GET http://%s/ HTTP/1.1\r\n\r\n" % h, hosts),
    st.builds(lambda h, p: GREETING + named(h, p), hosts, ports),
    st.builds(lambda k, a, p: GREETING + socks(k, a, p), st.integers(0, 6), st.binary(), ports),
    st.binary(max_size=60),
    st.binary(max_size=60).map(lambda junk: b"\5" + junk),
)


@given(data=requests, rest=st.binary(max_size=9), places=st.lists(st.integers(0, 99), max_size=9))
def test_any_pieces_give_the_same_result(data: bytes, rest: bytes, places: list[int]) -> None:
    whole = ask(data + rest)
    pieces, later = ProxyRequest(), b""
    for piece in cut(data + rest, places):
        if pieces.reached:
            later += piece  # the connection's own
        pieces.receive(piece)
    assert pieces.reached == whole.reached
    assert bool(pieces.failed) == bool(whole.failed)
    assert pieces.data_to_send() == whole.data_to_send()
    if whole.reached:
        assert bytes(pieces.rest) + later == whole.rest


def test_a_head_without_end_is_bounded() -> None:
    front = ProxyRequest()
    for _ in range(100):
        front.receive(b"x" * 1024)
    assert front.failed
    assert len(front.rest) <= 17 * 1024
