"""Rules for every protocol that begins in clear text: split input, junk, limits, recorded data."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from certpin.lab.scenario import Answer, Opening
from certpin.lab.server.lines import LONGEST_LINE
from certpin.lab.server.protocols import PROTOCOLS, suits
from certpin.lab.verdict import KEPT
from tests.lab.server._talk import cut, says, server

STARTING = sorted(name for name, spoken in PROTOCOLS.items() if spoken.starting)
HELLO = b"\x16\3\1\0\5hello"
SSL_REQUEST = struct.pack(">II", 8, 80_877_103)
STARTUP = struct.pack(">II", 27, 196_608) + b"user\0me\0database\0x\0"
WISH = {"smtp": b"EHLO me\r\nSTARTTLS\r\n", "imap": b"a1 STARTTLS\r\n", "postgres": SSL_REQUEST}
FIRST = {"smtp": b"EHLO me\r\n", "imap": b"a2 CAPABILITY\r\n", "postgres": STARTUP}
SECOND = {
    "smtp": b"AUTH PLAIN c2VjcmV0\r\n",
    "imap": b"a3 LOGIN me secret\r\n",
    "postgres": b"Q" + struct.pack(">I", 13) + b"select 1\0",
}
BYE = {"smtp": b"QUIT\r\n", "imap": b"a9 LOGOUT\r\n", "postgres": b"X\0\0\0\4"}

PARTS = (b"DATA\r\n", b"text\r\n", b".\r\n", b"AUTH LOGIN\r\n", b"b APPEND x {4}\r\n", b"\r\n")
MORE = (b"b AUTHENTICATE LOGIN\r\n", b"*\r\n", b"b UID FETCH 1 BODY[]\r\n", b"x" * LONGEST_LINE)
known = (WISH, FIRST, SECOND, BYE)
words = st.sampled_from(
    [HELLO, *PARTS, *MORE, *(messages[name] for messages in known for name in messages)]
)
speech = st.lists(words | st.binary(max_size=40), max_size=8).map(b"".join)
openings = st.sampled_from([Opening.TLS, Opening.STRIP, Opening.INJECT])


@pytest.mark.parametrize("name", STARTING)
@given(
    data=speech,
    places=st.lists(st.integers(0, 2000), max_size=12),
    opening=openings,
    answer=st.sampled_from([Answer.OK, Answer.SILENT]),
    secure=st.booleans(),
)
@example(
    b"x" * 3 * LONGEST_LINE, [LONGEST_LINE - 1, LONGEST_LINE + 1], Opening.TLS, Answer.OK, True
)
def test_any_pieces_of_the_input_give_the_same_data(
    name: str, data: bytes, places: list[int], opening: Opening, answer: Answer, secure: bool
) -> None:
    whole, pieces = server(name, opening, answer), server(name, opening, answer)
    expected = says(whole, data, secure=secure)
    got, rest = b"", b""
    for piece in cut(data, places):
        if pieces.upgrade:
            rest += piece  # the bytes that a session passes to TLS
        else:
            got += pieces.receive(piece, secure=secure)
    assert got == expected
    assert pieces.data == whole.data
    assert (pieces.upgrade, pieces.closing) == (whole.upgrade, whole.closing)
    assert pieces.tampered == whole.tampered
    assert pieces.rest + rest == whole.rest


@pytest.mark.medium
@pytest.mark.parametrize("name", STARTING)
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("junk", [b"x", b"\0\0\4\0", b"x\r\n", b"a {999999999}\r\n", b"\xff\n"])
def test_an_endless_client_fills_no_memory(name: str, junk: bytes, *, secure: bool) -> None:
    application = server(name)
    peak = 0
    for _ in range(70):
        application.receive(junk * (32 * 1024 // len(junk)), secure=secure)
        held = vars(application).values()
        peak = max(
            peak, sum(len(buffer) for buffer in held if isinstance(buffer, bytes | bytearray))
        )
    assert len(application.data) <= KEPT
    assert application.closing
    assert peak < 2 * KEPT + 1024 * 1024 + 64 * 1024


@pytest.mark.parametrize("name", STARTING)
def test_request_for_tls_is_not_data(name: str) -> None:
    application = server(name)
    says(application, WISH[name])
    assert application.upgrade
    assert application.data == b""
    assert not application.tampered


@pytest.mark.parametrize("name", STARTING)
def test_whatever_should_have_been_protected_is_data(name: str) -> None:
    first = b"" if name == "postgres" else FIRST[name]
    application = server(name)
    says(application, first)
    assert application.data == b""
    said = STARTUP if name == "postgres" else SECOND[name]
    says(application, said, BYE[name])
    assert application.data == said


@pytest.mark.parametrize("name", STARTING)
def test_half_of_what_should_have_been_protected_is_data(name: str) -> None:
    said = (STARTUP if name == "postgres" else SECOND[name])[:-4]
    application = server(name)
    says(application, said)
    assert application.data == said


@pytest.mark.parametrize(
    ("name", "said", "counts"),
    [
        ("smtp", b"AUT", True),
        ("smtp", b"STARTTL", False),
        ("smtp", b"", False),
        ("imap", b"a1 LOG", False),  # or LOGOUT
        ("imap", b"a1 LOGI", True),
        ("imap", b"a1", False),
        ("postgres", STARTUP[:4], True),
        ("postgres", SSL_REQUEST[:4], False),
    ],
)
def test_partial_command_is_data_unless_it_may_become_a_courtesy(
    name: str, said: bytes, *, counts: bool
) -> None:
    application = server(name)
    says(application, said)
    assert application.data == (said if counts else b"")


@pytest.mark.parametrize("name", STARTING)
def test_under_tls_a_first_word_shows_that_the_client_went_on(name: str) -> None:
    application = server(name)
    assert says(application, FIRST[name], secure=True)
    assert application.data == FIRST[name]


@pytest.mark.parametrize("name", ["smtp", "imap"])
def test_a_goodbye_gives_nothing_away(name: str) -> None:
    for secure in (False, True):
        application = server(name)
        assert says(application, BYE[name], secure=secure)
        assert application.closing
        assert application.data == b""


@pytest.mark.parametrize("name", STARTING)
def test_a_strip_offers_no_tls_and_plays_along(name: str) -> None:
    application = server(name, Opening.STRIP)
    answer = says(application, WISH[name])
    assert b"STARTTLS" not in answer
    assert not application.upgrade
    assert application.tampered
    assert application.data == b""
    first = b"" if name == "postgres" else FIRST[name]
    assert says(application, STARTUP if name == "postgres" else first + SECOND[name])
    assert application.data


@pytest.mark.parametrize("name", ["smtp", "imap"])
def test_an_offer_says_starttls_and_no_way_to_log_in(name: str) -> None:
    offer = says(server(name), FIRST[name])
    assert b"STARTTLS" in offer
    assert b"AUTH" not in offer
    assert b"STARTTLS" not in says(server(name), FIRST[name], secure=True)
    assert b"AUTH" in says(server(name), FIRST[name], secure=True)


@pytest.mark.parametrize("name", STARTING)
def test_an_injection_comes_with_the_go_ahead(name: str) -> None:
    honest, hostile = server(name), server(name, Opening.INJECT)
    go_ahead = says(honest, WISH[name])
    both = says(hostile, WISH[name])
    assert both.startswith(go_ahead)
    assert len(both) > len(go_ahead)
    assert hostile.tampered


@pytest.mark.parametrize("name", STARTING)
def test_a_client_that_was_never_answered_and_goes_on_took_the_injected_answer(name: str) -> None:
    application = server(name, Opening.INJECT)
    assert says(application, FIRST[name], secure=True) == b""
    assert application.closing
    assert application.data == b"", "the first command goes to the honest server"
    assert application.listens
    assert says(application, SECOND[name], secure=True) == b""
    assert application.data == SECOND[name]


@pytest.mark.parametrize("name", STARTING)
def test_one_that_says_goodbye_unanswered_has_taken_nothing(name: str) -> None:
    application = server(name, Opening.INJECT)
    says(application, FIRST[name], BYE[name], secure=True)
    assert application.data == b""


@pytest.mark.parametrize("name", STARTING)
def test_a_silent_server_answers_nothing_under_tls(name: str) -> None:
    application = server(name, answer=Answer.SILENT)
    assert says(application, FIRST[name], secure=True) == b""
    assert application.closing
    assert application.data == FIRST[name]


@pytest.mark.parametrize("name", STARTING)
def test_tls_may_begin_without_starttls(name: str) -> None:
    application = server(name)
    assert says(application, HELLO) == b""
    assert application.upgrade
    assert application.rest == HELLO
    assert application.data == b"", "a ClientHello is not data"


def test_a_case_says_what_it_needs() -> None:
    assert suits("smtp", "")
    assert suits("smtp", "starttls")
    assert suits("postgres", "starttls")
    assert suits("http", "http")
    assert not suits("http", "starttls")
    assert not suits("smtps", "starttls")
    assert not suits("smtp", "http")
