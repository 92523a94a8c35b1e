"""The lab's HTTP/2 server: what it records as the client's data, and what it answers."""

from __future__ import annotations

import pytest
from h2.events import ResponseReceived, StreamEnded
from h2.settings import SettingCodes

from certpin.lab.scenario import Answer
from certpin.lab.verdict import KEPT
from tests.lab.server._h2 import (
    ASKED,
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    PREFACE,
    SETTINGS,
    answers,
    asking,
    client,
    exchange,
    frame,
    spoken,
)
from tests.lab.server._wire import HOST, SECOND, TOKEN

# Answers.


def test_an_answer_holds_the_token_and_ends_the_connection() -> None:
    application, (connection, said) = spoken(), asking()
    events = connection.receive_data(application.receive(said, secure=True))
    assert answers(events) == ([b"200"], TOKEN.encode() + b"\n", False)
    assert application.closing
    assert answers(connection.receive_data(application.farewell()))[2]


def test_requests_that_came_at_the_same_time_are_all_answered() -> None:
    application, connection = spoken(), client()
    for stream in (1, 3, 5):
        connection.send_headers(stream, ASKED, end_stream=stream < 5)
    assert answers(exchange(application, connection))[0] == [b"200"] * 2
    coming = application.closing
    connection.end_stream(5)
    assert answers(exchange(application, connection))[0] == [b"200"]
    assert (coming, application.closing) == (False, True)
    connection.send_headers(7, ASKED, end_stream=True)
    assert answers(exchange(application, connection))[0] == [b"200"], "as long as it stands"


def test_a_connection_that_is_kept_answers_again() -> None:
    application, connection = spoken(Answer.KEEP), client()
    for stream in (1, 3, 5):
        connection.send_headers(stream, ASKED, end_stream=True)
        assert answers(exchange(application, connection)) == (
            [b"200"],
            TOKEN.encode() + b"\n",
            False,
        )
    assert not application.closing


@pytest.mark.parametrize(
    ("answer", "to"),
    [
        (Answer.REDIRECT_SAME, "/again"),
        (Answer.REDIRECT_SECOND, f"https://{SECOND}/"),
        (Answer.REDIRECT_PLAIN, f"http://{HOST}/"),
    ],
)
def test_a_redirect_leads_on(answer: Answer, to: str) -> None:
    application, (connection, said) = spoken(answer), asking()
    events = connection.receive_data(application.receive(said, secure=True))
    assert answers(events) == ([b"302"], b"", False)
    assert application.closing
    (response,) = (event for event in events if isinstance(event, ResponseReceived))
    assert dict(response.headers)[b"location"] == to.encode()


def test_a_silent_server_takes_the_request_and_leaves() -> None:
    application, (connection, said) = spoken(Answer.SILENT), asking(b"body")
    assert answers(connection.receive_data(application.receive(said, secure=True))) == (
        [],
        b"",
        False,
    )
    assert application.closing
    assert application.data.endswith(b"body")


def test_the_answer_to_head_has_no_body() -> None:
    application, (connection, said) = spoken(), asking(method="HEAD")
    events = connection.receive_data(application.receive(said, secure=True))
    assert answers(events)[:2] == ([b"200"], b"")
    assert any(isinstance(event, StreamEnded) for event in events)


def test_an_answer_waits_for_the_body() -> None:
    application, (connection, said) = spoken(), asking(b"x" * 100)
    assert not answers(connection.receive_data(application.receive(said[:-1], secure=True)))[0]
    assert answers(connection.receive_data(application.receive(said[-1:], secure=True)))[0] == [
        b"200"
    ]


def test_a_large_body_gets_window_after_window() -> None:
    application, connection = spoken(), client()
    connection.send_headers(1, ASKED)
    exchange(application, connection)
    for _ in range(40):
        connection.send_data(1, b"x" * 16_000)
        exchange(application, connection)
    connection.end_stream(1)
    assert answers(exchange(application, connection))[0] == [b"200"]
    assert len(application.data) == KEPT


# Data.


def test_headers_bodies_and_trailers_are_data_as_text() -> None:
    application, connection = spoken(), client()
    connection.send_headers(1, [*ASKED, ("cookie", "secret")])
    connection.send_data(1, b"body")
    connection.send_headers(1, [("x-trailer", "last")], end_stream=True)
    exchange(application, connection)
    said = bytes(application.data)
    assert b":path: /canary\r\n" in said
    for part in (b"cookie: secret\r\n", b"\r\n\r\nbody", b"x-trailer: last\r\n"):
        assert part in said
    assert said.count(b"/canary") == 1, "what was understood is kept once"


def test_protocol_overhead_is_not_data() -> None:
    application, connection = spoken(), client()
    connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1_000_000})
    connection.increment_flow_control_window(1_000_000)
    connection.ping(b"12345678")
    connection.prioritize(1, weight=16, depends_on=0, exclusive=False)
    exchange(application, connection)
    assert application.data == b""
    application.receive(frame(0xBE, b"an extension", stream=0), secure=True)
    assert application.data == b""
    assert not application.closing


def test_any_cut_of_a_request_counts_from_its_first_octets_on() -> None:
    said = asking(b"the body")[1]
    quiet = len(client().data_to_send())
    for cut in range(len(said)):
        application = spoken()
        application.receive(said[:cut], secure=True)
        assert bool(application.data) == (cut > quiet + 3), cut


def test_a_block_of_headers_that_never_ends_counts() -> None:
    application = spoken()
    application.receive(PREFACE + frame(SETTINGS, b"", stream=0), secure=True)
    application.receive(frame(HEADERS, b"\x82\x04\x07/canary"), secure=True)
    assert b"/canary" in application.data
    application.receive(frame(CONTINUATION, b"\x84", END_HEADERS), secure=True)
    assert b":path: /canary\r\n" in application.data


def test_request_counts_although_junk_follows_at_once() -> None:
    """A request is recorded even if junk follows in the same input.

    The library h2 reports no events of an input that ends with an error.
    """
    _, said = asking()
    application = spoken(Answer.KEEP)
    application.receive(said + frame(DATA, b"x", stream=0), secure=True)
    assert application.closing
    assert b":path: /canary\r\n" in application.data


@pytest.mark.parametrize("junk", [b"GET /canary HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\ncanary"])
def test_bytes_that_are_not_http2_count_as_data(junk: bytes) -> None:
    application = spoken()
    application.receive(junk[:1], secure=True)
    application.receive(junk[1:], secure=True)
    assert application.closing
    assert application.data[1:] in junk
    assert application.data


def test_headers_that_break_the_rules_are_data_too() -> None:
    application, (_, said) = spoken(), asking(Upper="canary-2")
    application.receive(said, secure=True)
    assert b"canary-2" in application.data


@pytest.mark.parametrize("authority", [SECOND, f"{SECOND.upper()}:443"])
def test_requests_for_the_foreign_host_are_recorded_separately(authority: str) -> None:
    application, connection = spoken(Answer.REDIRECT_SECOND_KEEP, foreign=SECOND), client()
    connection.send_headers(1, ASKED, end_stream=True)
    assert answers(exchange(application, connection)) == ([b"302"], b"", False)
    assert application.astray == b""
    asked = [(name, authority if name == ":authority" else value) for name, value in ASKED]
    connection.send_headers(3, asked)
    connection.send_data(3, b"body", end_stream=True)
    assert answers(exchange(application, connection))[0] == [b"200"]
    assert HOST.encode() not in application.astray
    assert application.astray.endswith(b"\r\n\r\nbody")
