"""What is signed, and that no text of one kind is one of the other."""

from __future__ import annotations

import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import FormatError
from certpin.updates.wultra.texts import answer_text, entry_text, is_challenge
from tests.updates.wultra._bank import FINGERPRINT, HOST, SECONDS

CHALLENGE = base64.b64encode(bytes(16)).decode()  # what an SDK sends
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"
challenges = st.text(ALPHABET, min_size=16, max_size=128)
bodies = st.dictionaries(st.text(), st.text() | st.integers()).map(lambda d: json.dumps(d).encode())


def test_an_entry_is_signed_as_the_sdks_verify_it() -> None:
    text = entry_text(HOST, FINGERPRINT, SECONDS)
    assert text == f"{HOST}&{FINGERPRINT}&{SECONDS}".encode()


def test_an_answer_is_signed_as_the_sdks_verify_it() -> None:
    assert answer_text(CHALLENGE, b'{"a":1}') == CHALLENGE.encode() + b'&{"a":1}'


@given(challenges, bodies)
def test_no_answer_is_an_entry(challenge: str, body: bytes) -> None:
    text = answer_text(challenge, body)
    # An entry is whatever ends with a number after an ampersand: its name may be anything.
    assert not re.fullmatch(rb".*&[^&]*&-?[0-9]+", text, re.DOTALL)


@given(st.text(), st.binary(min_size=32, max_size=32), st.integers())
def test_no_entry_is_an_answer(name: str, digest: bytes, expires: int) -> None:
    fingerprint = base64.b64encode(digest).decode()
    text = entry_text(name.encode(errors="replace").decode(), fingerprint, expires)
    assert not text.endswith(b"}")


def attempts() -> list[str]:
    """Challenges by which somebody would have an entry for a certificate of his own signed."""
    mine = base64.b64encode(bytes(32)).decode()
    return [
        f"{HOST}&{mine}&{SECONDS}",
        f"{HOST}&{mine}",
        "longenough" * 2 + "&",
        f"{HOST}",
    ]


@pytest.mark.parametrize("challenge", attempts())
def test_a_challenge_that_looks_like_an_entry_is_none(challenge: str) -> None:
    with pytest.raises(FormatError):
        answer_text(challenge, b"{}")


@pytest.mark.parametrize(
    "body", [b"", b"1795521600", b"[]", b'{"a":1}\n', b' {"a":1}', f"{SECONDS}".encode()]
)
def test_a_body_that_is_no_object_is_not_signed(body: bytes) -> None:
    with pytest.raises(FormatError, match="no JSON object"):
        answer_text(CHALLENGE, body)


@pytest.mark.parametrize("length", [16, 24, 32, 44, 88, 128])
def test_challenges_of_these_lengths_are_taken(length: int) -> None:
    assert is_challenge("a" * length)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 15,
        "a" * 129,
        "a" * 16 + "\n",
        "a" * 15 + " ",
        "a" * 15 + "&",
        "a" * 15 + "{",
        "a" * 15 + ".",
        "a" * 15 + "ä",
        "a" * 15 + "\N{ARABIC-INDIC DIGIT ONE}",
    ],
)
def test_no_challenge(text: str) -> None:
    assert not is_challenge(text)


def test_what_begins_a_certificate_a_request_or_a_handshake_is_no_challenge() -> None:
    for begin in (b"0\x82\x01\x00" + b"A" * 16, b"0\x81\xc8" + b"A" * 16, b" " * 64):
        assert not is_challenge(begin.decode("latin-1"))
