"""The header comment of exported files: no name of a pin set can end the comment."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import FormatError
from certpin.formats.header import commented, header, quoted, read_header
from tests.formats._text import exported, imported
from tests.kit import pin_set, policy

PINS = pin_set(policy("api.bank.example", match="leaf"))
ENDS = ("*/", "-->", "--", "\n", "\r", "\u2028", "'", "`", "#", "%", "$", "<", ">", "&", "?>", "]]")


@given(st.text(), st.integers(1, 2**63 - 1))
def test_name_and_version_are_read_back(name: str, version: int) -> None:
    pins = replace(PINS, name=name[:300], version=version)
    assert read_header(commented(pins, "curl", "#")) == (pins.name, version)


@given(st.text() | st.sampled_from(ENDS))
def test_a_name_cannot_end_a_comment_in_any_language(name: str) -> None:
    first, second = header(replace(PINS, name=name), "curl")
    assert first.isascii()
    assert not any(end in first + second for end in ENDS)


def test_a_plain_name_is_readable() -> None:
    assert header(PINS, "curl")[0] == 'certpin pin set "test", version 1'
    assert quoted("bank-app") == r'"bank\u002dapp"'


def test_a_file_without_header_has_no_name() -> None:
    assert read_header("pinnedpubkey = x") == ("", 1)


@pytest.mark.parametrize(
    "line",
    [
        r'certpin pin set "\x", version 1',
        'certpin pin set "a\tb", version 1',
    ],
)
def test_a_damaged_header_is_refused(line: str) -> None:
    with pytest.raises(FormatError, match="the header line is damaged"):
        read_header(line)


def test_a_version_that_no_pin_file_can_have_is_refused() -> None:
    text = exported("wget", replace(PINS, version=2**63 - 1))
    assert imported("wget", text).version == 2**63 - 1
    with pytest.raises(
        FormatError, match="the version of the pin set is above 9223372036854775807"
    ):
        imported("wget", text.replace(str(2**63 - 1), str(2**63)))
