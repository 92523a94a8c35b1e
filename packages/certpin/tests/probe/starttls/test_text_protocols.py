"""STARTTLS for SMTP, IMAP, POP3 and FTP: server answers other than "begin TLS now"."""

from __future__ import annotations

import pytest

from tests.probe.starttls._play import (
    EHLO,
    Client,
    Conversation,
    Server,
    failure,
    is_garbled,
    is_stripping,
    is_turned_away,
    play,
)

GREETED: dict[str, Conversation] = {
    "smtp": [Server(b"220 mx.example\r\n"), EHLO],
    "imap": [Server(b"* OK ready\r\n"), Client(b"A1 STARTTLS\r\n")],
    "pop3": [Server(b"+OK ready\r\n"), Client(b"STLS\r\n")],
    "ftp": [Server(b"220 ready\r\n"), Client(b"AUTH TLS\r\n")],
}
SMTP_ASKED: Conversation = [
    *GREETED["smtp"],
    Server(b"250-mx.example\r\n250 STARTTLS\r\n"),
    Client(b"STARTTLS\r\n"),
]


@pytest.mark.parametrize(
    "offer",
    [
        b"250 mx.example\r\n",
        b"250-mx.example\r\n250-SIZE 1000\r\n250 HELP\r\n",
        b"250-mx.example\r\n250 XSTARTTLSX\r\n",
        b"250-mx.example\r\n250 AUTH STARTTLS\r\n",
        b"250 STARTTLS\r\n",  # the server's name, not an offer
        b"502 5.5.1 EHLO not implemented\r\n",
        b"502-mx.example\r\n502 STARTTLS\r\n",
    ],
)
def test_smtp_without_the_offer_is_refused_as_stripping(offer: bytes) -> None:
    error = failure("smtp", [*GREETED["smtp"], Server(offer)])
    assert is_stripping(error)
    assert "465" in error.fix


@pytest.mark.parametrize(
    "answer", [b"454 4.7.0 TLS not available\r\n", b"501 5.5.4\r\n", b"250 2.0.0 Ok\r\n"]
)
def test_smtp_that_declines_starttls_is_refused(answer: bytes) -> None:
    assert is_stripping(failure("smtp", [*SMTP_ASKED, Server(answer)]))


def test_smtp_that_declines_the_connection_says_so() -> None:
    error = failure("smtp", [Server(b"554-go\r\n554 away\r\n")])
    assert is_turned_away(error)
    assert "554 'go / away'" in error.problem


def test_smtp_replies_may_come_without_text() -> None:
    assert play("smtp", [*SMTP_ASKED, Server(b"220\r\n")]).done


@pytest.mark.parametrize(
    "greeting",
    [
        b"SSH-2.0-OpenSSH_10.0\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"220-mx.example\r\n250 changed its mind\r\n",
        b"220+mx.example\r\n",
        b"2200 mx.example\r\n",
        b"\xb2\xb2\xb0 mx.example\r\n",
        b"220 mx.example\n",
        b"220 mx\r.example\r\n",
        b"220 mx\0.example\r\n",
        b"\r\n",
        b"\n",
        b"220 " + b"x" * 507 + b"\r\n",
        b"x" * 512,
    ],
)
def test_smtp_with_another_protocol_is_refused(greeting: bytes) -> None:
    assert is_garbled(failure("smtp", [Server(greeting)]))


def test_smtp_lines_may_have_512_octets_and_not_one_more() -> None:
    line = b"220 " + b"x" * 506 + b"\r\n"
    assert len(line) == 512
    assert play("smtp", [Server(line)]).data_to_send() == EHLO
    error = failure("smtp", [Server(line.replace(b"220 ", b"220 x"))])
    assert "longer than 512 octets" in error.problem


def test_imap_that_greets_with_preauth_is_refused_as_stripping() -> None:
    error = failure("imap", [Server(b"* PREAUTH IMAP4rev1 ready\r\n")])
    assert "PREAUTH" in error.problem
    assert is_stripping(error)


@pytest.mark.parametrize(
    "answer",
    [
        b"A1 NO TLS is off\r\n",
        b"A1 BAD unknown command\r\n",
        b"A1\r\n",
        b"* BYE too slow\r\n",
        b"* CAPABILITY IMAP4rev1\r\nA1 NO\r\n",
    ],
)
def test_imap_that_declines_starttls_is_refused(answer: bytes) -> None:
    assert is_stripping(failure("imap", [*GREETED["imap"], Server(answer)]))


@pytest.mark.parametrize("answer", [b"A2 OK\r\n", b"OK\r\n", b"+ more\r\n", b"a1 OK\r\n", b"\r\n"])
def test_imap_that_answers_another_command_is_refused(answer: bytes) -> None:
    assert is_garbled(failure("imap", [*GREETED["imap"], Server(answer)]))


@pytest.mark.parametrize("greeting", [b"* NO\r\n", b"+OK ready\r\n", b"* \r\n", b"OK *\r\n"])
def test_imap_without_a_greeting_is_refused(greeting: bytes) -> None:
    assert is_garbled(failure("imap", [Server(greeting)]))


def test_imap_that_declines_the_connection_says_so() -> None:
    assert is_turned_away(failure("imap", [Server(b"* bye too many\r\n")]))


def test_pop3_that_declines_stls_is_refused() -> None:
    error = failure("pop3", [*GREETED["pop3"], Server(b"-ERR no\r\n")])
    assert is_stripping(error)
    assert "995" in error.fix


def test_pop3_that_declines_the_connection_says_so() -> None:
    assert is_turned_away(failure("pop3", [Server(b"-ERR too many\r\n")]))


@pytest.mark.parametrize("answer", [b"+OKAY\r\n", b"ok\r\n", b"* OK\r\n", b" +OK\r\n", b"x" * 512])
def test_pop3_with_another_protocol_is_refused(answer: bytes) -> None:
    assert is_garbled(failure("pop3", [*GREETED["pop3"], Server(answer)]))


@pytest.mark.parametrize(
    "answer",
    [
        b"500 what?\r\n",
        b"534 policy\r\n",
        b"334 ADAT\r\n",
        b"220 ready\r\n",
        b"504 not TLS\r\n",
    ],
)
def test_ftp_that_declines_auth_tls_is_refused(answer: bytes) -> None:
    assert is_stripping(failure("ftp", [*GREETED["ftp"], Server(answer)]))


def test_ftp_that_declines_the_connection_says_so() -> None:
    assert is_turned_away(failure("ftp", [Server(b"421-too\r\n many\r\n421 users\r\n")]))


def test_ftp_replies_end_with_their_code_and_a_space() -> None:
    talk = b"234-a\r\n500 b\r\n234-c\r\n 234 d\r\n2345 e\r\n\r\n"
    dialogue = play("ftp", [*GREETED["ftp"], Server(talk)])
    assert not dialogue.done
    dialogue.receive(b"234 \r\n")
    assert dialogue.done


@pytest.mark.parametrize(
    "greeting", [b"hello\r\n", b"120 in a minute\r\n", b"220 x\n", b"x" * 8192]
)
def test_ftp_with_another_protocol_is_refused(greeting: bytes) -> None:
    assert is_garbled(failure("ftp", [Server(greeting)]))
