"""The server side of HTTP/1.1: complete requests, data, and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.lab.scenario import Answer, AnswerContext, ServerStep
from certpin.lab.server import http
from certpin.lab.server.http import Http, redirect, respond
from certpin.lab.verdict import KEPT
from tests.lab.server._wire import HOST, HOSTS, SECOND, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWERS = AnswerContext(TOKEN)
ANSWERS.set_hosts(HOSTS)
GET = b"GET /canary HTTP/1.1\r\nHost: api.bank.example\r\n\r\n"
CHUNKED = (
    b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    b"4;name=value\r\nWiki\r\nA\r\n0123456789\r\n0\r\nTrailer: one\r\n\r\n"
)
CHUNKED_HEAD = CHUNKED[: CHUNKED.index(b"4;")]
COUNTED = b"POST / HTTP/1.1\r\ncontent-length:  11\r\n\r\nhello world"


@pytest.fixture(autouse=True, scope="module")
def same_time() -> Iterator[None]:
    """Set a fixed date in the server's responses, because tests compare them byte by byte."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "formatdate", lambda **_: "Sun, 01 Nov 2026 12:00:00 GMT")
        yield


def spoken(answer: Answer = Answer.OK, **fields: Any) -> Http:
    return Http(ServerStep((), b"", answer=answer, **fields), ANSWERS)


def receive(application: Http, data: bytes) -> bytes:
    return application.receive(data, secure=True)


def test_server_waits_for_a_request() -> None:
    assert spoken().begin(secure=True) == b""


def test_an_answer_holds_the_token_and_ends_the_connection() -> None:
    application = spoken()
    answer = receive(application, GET)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n" + TOKEN.encode() + b"\n")
    assert application.closing
    assert application.data == GET


@pytest.mark.parametrize("request_", [GET, COUNTED, CHUNKED])
def test_a_request_is_answered_once_and_when_all_of_it_is_there(request_: bytes) -> None:
    application = spoken(Answer.KEEP)
    for octet in request_[:-1]:
        assert receive(application, bytes([octet])) == b""
    assert receive(application, request_[-1:]) == respond(TOKEN, keep=True)
    assert application.data == request_


@given(data=st.data())
def test_any_pieces_of_a_request_give_the_same_data(data: st.DataObject) -> None:
    requests = data.draw(st.lists(st.sampled_from([GET, COUNTED, CHUNKED]), max_size=5))
    stream = b"".join(requests)
    application, replies, at = spoken(Answer.KEEP), b"", 0
    while at < len(stream):
        size = data.draw(st.integers(1, 40))
        replies += receive(application, stream[at : at + size])
        at += size
    assert replies == respond(TOKEN, keep=True) * len(requests)
    assert application.data == stream


@given(data=st.binary(max_size=400), answer=st.sampled_from(Answer))
def test_junk_raises_nothing(data: bytes, answer: Answer) -> None:
    for junk in (data, GET[:-2] + data, COUNTED[:-20] + data, CHUNKED_HEAD + data):
        application = spoken(answer, foreign=SECOND)
        receive(application, junk)
        receive(application, GET)
        assert len(application.data) <= KEPT


@pytest.mark.parametrize(
    ("answer", "to"),
    [
        (Answer.REDIRECT_SAME, "/again"),
        (Answer.REDIRECT_SECOND, f"https://{SECOND}/"),
        (Answer.REDIRECT_PLAIN, f"http://{HOST}/"),
        (Answer.REDIRECT_UNPINNED, "https://www.partner.example/"),
    ],
)
def test_a_redirect_leads_on_and_ends_the_connection(answer: Answer, to: str) -> None:
    application = spoken(answer)
    assert receive(application, GET) == redirect(to)
    assert f"\r\nLocation: {to}\r\n".encode() in redirect(to)
    assert application.closing


def test_redirects_name_the_port_if_there_is_one() -> None:
    answer_context = AnswerContext(TOKEN)
    answer_context.set_hosts(("::1", SECOND), 8443)
    assert answer_context.plain == "http://[::1]:8443/"
    assert answer_context.second == f"https://{SECOND}:8443/"
    assert answer_context.unpinned == ""


def test_a_silent_server_takes_the_request_and_leaves() -> None:
    application = spoken(Answer.SILENT)
    assert receive(application, COUNTED[:-1]) == b""
    assert not application.closing, "the rest of it is data too"
    assert receive(application, COUNTED[-1:]) == b""
    assert application.closing


def test_expect_continue_is_answered() -> None:
    application = spoken()
    head = COUNTED[:-11].replace(b"\r\n\r\n", b"\r\nExpect: 100-Continue\r\n\r\n")
    assert receive(application, head) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert receive(application, b"hello world").startswith(b"HTTP/1.1 200")
    assert receive(spoken(), head + b"hello world").startswith(b"HTTP/1.1 200"), "too late for that"


def test_the_answer_to_head_has_no_body() -> None:
    answer = receive(spoken(), GET.replace(b"GET", b"HEAD"))
    assert b"Content-Length: 13\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_a_client_that_will_close_is_closed() -> None:
    application = spoken(Answer.KEEP)
    receive(application, GET[:-2] + b"Connection: Close\r\n\r\n")
    assert application.closing


def test_requests_for_the_foreign_host_are_recorded_separately() -> None:
    application = spoken(Answer.REDIRECT_SECOND_KEEP, foreign=SECOND)
    own = receive(application, COUNTED.replace(b"\r\n\r\n", b"\r\nHost: api.bank.example\r\n\r\n"))
    assert own == redirect(f"https://{SECOND}/", keep=True)
    assert not application.closing
    assert not application.astray
    other = COUNTED.replace(b"\r\n\r\n", b"\r\nhost: CDN.bank.example:443\r\n\r\n")
    assert receive(application, other) == respond(TOKEN, keep=True)
    assert application.astray.startswith(b"POST / HTTP/1.1")
    assert application.astray.endswith(b"hello world")
    assert b"api.bank" not in application.astray


# Limits.


def test_requests_of_one_connection_are_limited() -> None:
    application = spoken(Answer.KEEP)
    replies = receive(application, b"\r\n\r\n" * 100_000)
    assert replies.count(b"HTTP/1.1 200") == http.MAX_REQUESTS
    assert application.closing
    assert receive(application, GET) == b""


def test_a_head_without_end_ends_the_connection() -> None:
    application = spoken()
    for _ in range(5):
        assert not application.closing
        receive(application, b"x" * 16_000)
    assert application.closing
    assert application.data == b"x" * KEPT


def test_a_body_without_end_fills_no_memory() -> None:
    application = spoken()
    receive(application, b"POST / HTTP/1.1\r\nContent-Length: 999999999999999999999999\r\n\r\n")
    for _ in range(100):
        receive(application, b"x" * 16_000)
    assert not application.closing
    assert len(application.data) == KEPT
    assert len(application._pending) == 0


@pytest.mark.parametrize("line", [b"x" * 5000, b"xyz\r\n", b"-1\r\n" * 9 + b"?\r\n"])
def test_invalid_chunk_ends_the_body(line: bytes) -> None:
    application = spoken()
    assert receive(application, CHUNKED_HEAD + line).startswith(b"HTTP/1.1 200")
