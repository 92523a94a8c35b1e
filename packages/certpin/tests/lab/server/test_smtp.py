"""SMTP: dialogues, SASL, the message, and the limits of RFC 5321 section 4.5.3.1."""

from __future__ import annotations

import pytest

from certpin.lab.server.lines import LONGEST_LINE, MAX_LINES
from tests.lab.server._talk import TOKEN, says, server


def code(*words: bytes, secure: bool = True) -> bytes:
    """Pass these inputs to the SMTP server, and return the three-digit code of its last reply."""
    application = server("smtp")
    replies = [application.receive(word, secure=secure) for word in words]
    return replies[-1].splitlines()[-1][:3]


def test_the_server_speaks_first_and_not_again_under_tls() -> None:
    assert server("smtp").begin(secure=False).startswith(b"220 ")
    assert server("smtp").begin(secure=True) == b""


def test_a_message_is_answered_with_the_token() -> None:
    application = server("smtp")
    start = says(
        application, b"EHLO me\r\n", b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n", secure=True
    )
    assert start.splitlines()[-1].startswith(b"250 ")
    assert says(application, b"DATA\r\n", secure=True).startswith(b"354 ")
    assert says(application, b"QUIT\r\n..\r\n.x\r\n", secure=True) == b"", "it is text"
    end = says(application, b".\r\n", secure=True)
    assert end == f"250 2.0.0 OK: queued as {TOKEN}\r\n".encode()
    assert says(application, b"QUIT\r\n", secure=True).startswith(b"221 ")
    assert application.closing


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([b"AUTH PLAIN AGEAYg==\r\n"], b"235"),
        ([b"AUTH PLAIN\r\n"], b"334"),
        ([b"AUTH PLAIN\r\n", b"AGEAYg==\r\n"], b"235"),
        ([b"auth login\r\n", b"YQ==\r\n"], b"334"),
        ([b"AUTH LOGIN\r\n", b"YQ==\r\n", b"Yg==\r\n"], b"235"),
        ([b"AUTH LOGIN YQ==\r\n", b"Yg==\r\n"], b"235"),
        ([b"AUTH LOGIN\r\n", b"*\r\n"], b"501"),
        ([b"AUTH\r\n", b"x\r\n"], b"235"),
    ],
)
def test_every_login_succeeds(words: list[bytes], expected: bytes) -> None:
    assert code(*words) == expected


def test_each_step_of_a_login_is_data_in_clear_text_too() -> None:
    application = server("smtp")
    says(application, b"EHLO me\r\n", b"AUTH LOGIN\r\n", b"QUIT\r\n", b"HELP\r\n")
    assert application.data == b"AUTH LOGIN\r\nQUIT\r\nHELP\r\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"MAIL FROM:<" + b"l" * 64 + b"@" + b"d" * 185 + b".example>\r\n", b"250"),  # 4.5.3.1.1-3
        (b"NOOP " + b"x" * 505 + b"\r\n", b"250"),  # 4.5.3.1.4: 512 octets
        (b"AUTH PLAIN " + b"A" * (LONGEST_LINE - 13) + b"\r\n", b"235"),  # RFC 4954 section 4
        (b"HELO me\r\n", b"250"),
        (b"VRFY me\r\n", b"252"),
        (b"GET / HTTP/1.1\r\n", b"500"),
        (b"\r\n", b"500"),
    ],
)
def test_a_command_gets_its_answer(line: bytes, expected: bytes) -> None:
    assert code(line) == expected


def test_answers_are_no_longer_than_they_may_be() -> None:
    """Each line of a reply has at most 512 octets (RFC 5321 section 4.5.3.1.5)."""
    answer = says(server("smtp"), b"EHLO me\r\n", b"DATA\r\n", b".\r\n")
    assert max(map(len, answer.splitlines(keepends=True))) <= 512


def test_a_hundred_recipients_and_long_lines_of_text_are_taken() -> None:
    """The server accepts 100 recipients, lines of 1000 octets and a message of 64 KiB.

    RFC 5321 sections 4.5.3.1.6 to 4.5.3.1.8.
    """
    application = server("smtp")
    assert says(application, *[b"RCPT TO:<a@b>\r\n"] * 100, secure=True).count(b"250 ") == 100
    says(application, b"DATA\r\n", (b"x" * 998 + b"\r\n") * 70, secure=True)
    assert TOKEN.encode() in says(application, b".\r\n", secure=True)
    assert not application.closing


def test_a_line_that_is_too_long_ends_it() -> None:
    application = server("smtp")
    assert says(application, b"NOOP " + b"x" * LONGEST_LINE + b"\r\nNOOP\r\n") == b""
    assert application.closing
    assert says(application, b"MAIL FROM:<a@b>\r\n") == b""


@pytest.mark.medium
def test_too_many_lines_end_it() -> None:
    application = server("smtp")
    says(application, b"NOOP\r\n" * MAX_LINES)
    assert not application.closing
    assert says(application, b"NOOP\r\n") == b""
    assert application.closing


def test_bytes_behind_starttls_are_not_answered() -> None:
    """CVE-2011-0411, on the server's side: bytes from before TLS are not run as commands."""
    application = server("smtp")
    answer = says(application, b"STARTTLS\r\nMAIL FROM:<a@b>\r\n")
    assert answer == b"220 2.0.0 go ahead\r\n"
    assert application.rest == b"MAIL FROM:<a@b>\r\n"
