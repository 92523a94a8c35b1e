"""No input at the lab's port raises an exception, and junk does not become a verdict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.lab.device.connection import DeviceConnection, routed_connection
from certpin.lab.device.page import Page
from certpin.lab.scenario import Answer, Scenario
from certpin.lab.server.session import Destination
from tests.lab._serving import HONEST, ONE, Rehearsal, case, hello_for

PAGE = Page(b"R", b"R2", b"PEM", "")
HOST = b"a.example"
_BEGINNINGS = (
    b"",
    b"GET /",
    b"HEAD /",
    b"CONNECT " + HOST + b":443 HTTP/1.1\r\n\r\n",
    b"CONNECT " + HOST + b":443 HTTP/1.1\r\n\r\n\x16\3\1\0\5\1",
    b"CONNECT 192.0.2.1:443 HTTP/1.1\r\n\r\n\x16\3\1",
    b"GET http://" + HOST + b"/ HTTP/1.1\r\n\r\n",
    b"GET http://certpin.lab/",
    b"\5\1\0",
    b"\5\1\0\5\1\0\3\x09" + HOST + b"\1\xbb",
    b"\5\1\0\5\1\0\1",
)


@given(st.sampled_from(_BEGINNINGS), st.lists(st.binary(max_size=64), max_size=8))
def test_no_bytes_raise_or_are_a_verdict(beginning: bytes, pieces: list[bytes]) -> None:
    lab = Rehearsal(ONE)
    visitor = DeviceConnection(lab.schedule, PAGE)
    for piece in (beginning, *pieces, b""):
        if not visitor.done and not visitor.passing:
            visitor.receive(piece)
            visitor.data_to_send()
    visitor.ended()
    assert lab.reported == []
    assert lab.schedule.queues["a.example"].control is None


@pytest.mark.parametrize("host", ["b.example", "192.0.2.1", "sub.a.example", "a.example.evil"])
def test_hosts_that_are_not_under_test_pass_through_with_all_they_said(host: str) -> None:
    visitor = DeviceConnection(Rehearsal(ONE).schedule, PAGE)
    visitor.receive(f"CONNECT {host}:22 HTTP/1.1\r\n\r\nSSH-2.0".encode())
    assert visitor.passing is not None
    assert (visitor.passing.host, visitor.passing.port) == (host, 22)
    assert visitor.early == b"SSH-2.0"


@pytest.mark.parametrize(
    "asked",
    [
        b"GET http://a.example/ HTTP/1.1\r\n\r\n",
        b"CONNECT a.example:80 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"\5\1\0\5\1\0\3\x09a.example\0\x50GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_client_redirected_to_clear_text_is_found_with_every_transport(asked: bytes) -> None:
    astray = Scenario((HONEST.but(answer=Answer.REDIRECT_PLAIN),), lures=True)
    lab = Rehearsal(case("astray", astray))
    lab.gives_once()
    lab.gives_once()
    visitor = DeviceConnection(lab.schedule, PAGE)
    visitor.receive(asked)
    assert lab.verdicts() == {"astray": "ACCEPT"}


@pytest.mark.parametrize("host", ["A.Example", "a.example."])
def test_a_host_is_known_in_every_spelling(host: str) -> None:
    visitor = DeviceConnection(Rehearsal(ONE).schedule, PAGE)
    visitor.receive(f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode())
    assert visitor.passing is None
    assert not visitor.done


def test_an_address_whose_client_speaks_no_tls_passes_through() -> None:
    visitor = DeviceConnection(Rehearsal(ONE).schedule, PAGE)
    visitor.receive(b"CONNECT 192.0.2.1:443 HTTP/1.1\r\n\r\nhello")
    assert visitor.passing is not None
    assert visitor.early == b"hello"


def test_a_client_that_was_routed_here_meets_the_case_of_its_name() -> None:
    lab = Rehearsal(ONE)
    lab.gives_once()
    conversation = routed_connection(lab.schedule, Destination("wireguard", "192.0.2.1", 443))
    conversation.receive(hello_for("a.example"))
    assert conversation.passing is None
    # The server needs a certificate, so the missing common parameter is the client's choice.
    assert lab.schedule.queues["a.example"].in_doubt == 1


def test_a_client_that_was_routed_here_for_another_name_passes_through() -> None:
    conversation = routed_connection(
        Rehearsal(ONE).schedule, Destination("wireguard", "192.0.2.1", 443)
    )
    hello = hello_for("b.example")
    conversation.receive(hello)
    assert conversation.passing == Destination("wireguard", "192.0.2.1", 443)
    assert conversation.early == hello
