"""IMAP: tags, literals, SASL, the message, and the predictable next tag."""

from __future__ import annotations

import pytest

from certpin.lab.scenario import Opening
from tests.lab.server._talk import TOKEN, says, server


def test_greeting_does_not_mention_tls() -> None:
    greeting = server("imap").begin(secure=False)
    assert greeting.startswith(b"* OK ")
    assert b"CAPABILITY" not in greeting


@pytest.mark.parametrize(
    ("words", "last"),
    [
        ([b"a1 LOGIN me secret\r\n"], f"a1 OK {TOKEN}"),
        ([b"a1 login {2}\r\n", b"me {6+}\r\n", b"secret\r\n"], f"a1 OK {TOKEN}"),
        ([b"a1 LOGIN {2}\r\n"], "+ go ahead"),
        ([b"a1 LOGIN {0}\r\n", b" x\r\n"], f"a1 OK {TOKEN}"),
        ([b"a1 APPEND x {10}\r\n", b"12345678\r\n", b"\r\n"], "a1 OK done"),
        ([b"a1 AUTHENTICATE PLAIN AGEAYg==\r\n"], f"a1 OK {TOKEN}"),
        ([b"a1 AUTHENTICATE PLAIN\r\n"], "+ "),
        ([b"a1 AUTHENTICATE LOGIN\r\n", b"YQ==\r\n"], "+ "),
        ([b"a1 AUTHENTICATE LOGIN\r\n", b"YQ==\r\n", b"Yg==\r\n"], f"a1 OK {TOKEN}"),
        ([b"a1 AUTHENTICATE LOGIN\r\n", b"*\r\n"], "a1 BAD cancelled"),
        ([b"a1 SELECT INBOX\r\n"], f"a1 OK [READ-WRITE] {TOKEN}"),
        ([b"a1 STARTTLS\r\n"], "a1 BAD no TLS in TLS"),
        ([b"a1 NOOP\r\n"], "a1 OK done"),
        ([b"a1\r\n"], "* BAD no command"),
        ([b"\r\n"], "* BAD no command"),
    ],
)
def test_a_command_gets_its_answer(words: list[bytes], last: str) -> None:
    answer = says(server("imap"), *words, secure=True)
    assert answer.split(b"\r\n")[-2].decode() == last


@pytest.mark.parametrize("command", [b"FETCH 1 BODY[]", b"UID FETCH 1 (BODY[])"])
def test_the_message_is_as_long_as_it_says(command: bytes) -> None:
    answer = says(server("imap"), b"a1 " + command + b"\r\n", secure=True)
    head, _, rest = answer.partition(b"}\r\n")
    size = int(head.partition(b"{")[2])
    assert rest[size:] == b")\r\na1 OK done\r\n"
    assert TOKEN.encode() in rest[:size]


def test_a_literal_is_data_whatever_it_says() -> None:
    application = server("imap")
    says(application, b"a1 LOGIN {11}\r\n", b"a9 LOGOUT\r\n {1}\r\n", b"x\r\n")
    assert application.data == b"a1 LOGIN {11}\r\na9 LOGOUT\r\n {1}\r\nx\r\n"
    assert not application.closing


@pytest.mark.parametrize(("tag", "foreseen"), [("a1", "a2"), ("A0009", "A0010"), ("9", "10")])
def test_an_attacker_foresees_the_next_tag(tag: str, foreseen: str) -> None:
    answer = says(server("imap", Opening.INJECT), f"{tag} STARTTLS\r\n".encode())
    go_ahead, capability, last, _ = answer.split(b"\r\n")
    assert go_ahead.startswith(tag.encode() + b" OK ")
    assert capability.startswith(b"* CAPABILITY ")
    assert last.startswith(foreseen.encode() + b" OK ")
