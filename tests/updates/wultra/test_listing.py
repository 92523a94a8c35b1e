"""A list is read one way, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from certpin.errors import FormatError
from certpin.updates.wultra import check_list
from certpin.updates.wultra.listing import MAX_LIST_BYTES, decoded, read_list
from tests.updates.wultra._bank import FINGERPRINT, HOST, NOW, SECONDS, Bank, entry, listing

BANK = Bank()


def test_an_entry_as_it_stands_there() -> None:
    (found,) = read_list(listing(entry(signature="AAAA", more=[1]), comment="x")).entries
    assert (found.name, found.fingerprint, found.expires) == (HOST, FINGERPRINT, SECONDS)
    assert (found.signature, found.depth, found.place) == ("AAAA", 0, "fingerprints[0]")


def test_the_body_of_an_answer_has_a_timestamp() -> None:
    assert read_list(listing(entry(), timestamp=7)).timestamp == 7
    assert read_list(listing(entry())).timestamp is None


def test_null_is_as_good_as_nothing() -> None:
    found = read_list(
        listing(entry(signature=None, depth=None), timestamp=None, domainsConfig=None)
    )
    assert (found.timestamp, found.switches, found.entries[0].signature) == (None, False, None)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff", "not UTF-8"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a": %s}' % (b"1" * 5000), "not JSON"),
        (b'{"comment": NaN, "fingerprints": []}', "there is no NaN"),
        (b"[]", "must be a mapping"),
        (b"{}", "fingerprints is missing"),
        (listing(entry(name=1)), "fingerprints[0].name must be a text"),
        (listing(entry(name="\ud800")), "fingerprints[0].name is not text"),
        (listing(entry(expires=1.5)), "must be a whole number"),
        (listing(entry(expires=True)), "must be a whole number"),
        (listing(entry(signature=[])), "signature must be a text"),
        (listing(entry(depth="1")), "depth must be a whole number"),
        (b'{"fingerprints": [], "fingerprints": []}', "stands twice"),
        (b" " * MAX_LIST_BYTES + b"{}", "no list for a phone"),
        (json.dumps({"status": "OK", "responseObject": [entry()]}).encode(), "is missing"),
    ],
)
def test_what_is_no_list_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_list(data)
    assert words in str(caught.value)


def test_of_two_names_in_one_entry_no_parser_chooses() -> None:
    text = listing(entry()).decode().replace('"name"', '"name": "evil.example", "name"')
    with pytest.raises(FormatError, match="stands twice"):
        read_list(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "AAA",
        "AA==\n",
        "AA-_",
        "AB==",
        " AAAA",
        "ä",
        "AAAA=",
        "\N{FULLWIDTH LATIN CAPITAL LETTER A}AAA",
    ],
)
def test_loose_base64_is_none(text: str) -> None:
    assert decoded(text) is None


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
fields = ("name", "fingerprint", "expires", "signature", "depth")
entries = st.fixed_dictionaries(
    {}, optional={name: values | st.just(entry(signature="AA==").get(name)) for name in fields}
)
documents = st.fixed_dictionaries(
    {"fingerprints": st.lists(entries, max_size=2)},
    optional={"timestamp": values, "domainsConfig": values},
)


@given(documents.map(lambda d: json.dumps(d).encode()) | st.binary())
@example(listing(entry(expires=10**4000, signature="AA==")))
@example(listing(entry(expires=-(10**15), signature="AA==")))
@example(listing(entry(signature="MAYCAQECAQE="), entry(signature="MAYCAQECAQE=", name="a")))
def test_whatever_is_read_is_judged_or_refused_and_never_holds(data: bytes) -> None:
    try:
        checked = check_list(data, BANK.key, NOW)
    except FormatError:
        return
    assert not checked.holds
