"""The reason that the lab records for a TLS error, as reported by Python or OpenSSL."""

from __future__ import annotations

import ssl

import pytest

from certpin.lab.server.session import Session
from certpin.lab.server.tls import reason_of
from tests.lab.server._wire import anyone, case_run, hello_of


@pytest.mark.parametrize(
    ("exc", "reason"),
    [
        (ssl.SSLError(1, "[SSL] record layer failure (_ssl.c:2580)"), "RECORD_LAYER_FAILURE"),
        (ssl.SSLError(1, "[SSL: NEW_ONE] a new one (_ssl.c:1)"), "A_NEW_ONE"),
        (ssl.SSLError("No cipher can be selected."), "NO_CIPHER_CAN_BE_SELECTED"),
    ],
)
def test_reason_that_is_only_in_the_message(exc: ssl.SSLError, reason: str) -> None:
    assert reason_of(exc) == reason


def test_an_alert_without_a_name_is_called_so() -> None:
    session = Session(case_run())
    client = anyone()
    client.maximum_version = ssl.TLSVersion.TLSv1_2  # its alerts are not encrypted yet
    session.receive(hello_of(client))
    session.receive(b"\x15\3\3\0\2\2\xfa")  # RFC 8446 section 6.2 has no alert 250
    assert session.seen.problem == "an alert that OpenSSL has no name for"


def test_a_reason_that_python_knows() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    incoming = ssl.MemoryBIO()
    incoming.write(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ssl.SSLError) as caught:
        context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()
    assert reason_of(caught.value) == "HTTP_REQUEST"
