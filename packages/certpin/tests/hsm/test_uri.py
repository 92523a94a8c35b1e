"""PKCS#11 URIs (RFC 7512): parsed strictly, and no error repeats a value that may be a PIN."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from certpin.errors import TokenError
from certpin.hsm import TokenURI, is_token_uri
from certpin.hsm.uri import MAX_URI_CHARACTERS

SECRET = "83614205"


def test_a_key_and_its_token_are_read() -> None:
    uri = TokenURI.parse("pkcs11:token=The%20bank;serial=00aF;object=next%3B1;type=private")
    assert dict(uri.token) == {"token": "The bank", "serial": "00aF"}
    assert (uri.label, uri.id, uri.module, uri.pin_file) == ("next;1", None, None, None)


def test_an_id_is_bytes_of_any_kind() -> None:
    assert TokenURI.parse("pkcs11:id=%00%ff=a").id == b"\x00\xff=a"


def test_the_module_and_the_file_of_the_pin_are_read() -> None:
    uri = TokenURI.parse("pkcs11:object=a?module-path=/opt/hsm.so&pin-source=file:/run/pin")
    assert (uri.module, uri.pin_file) == (Path("/opt/hsm.so"), Path("/run/pin"))


@pytest.mark.parametrize(
    "source", ["file:/run/pin", "file:///run/pin", "file://localhost/run/pin", "file:%2Frun%2Fpin"]
)
def test_a_file_may_be_named_as_file_uris_name_it(source: str) -> None:
    assert TokenURI.parse(f"pkcs11:object=a?pin-source={source}").pin_file == Path("/run/pin")


def test_what_pkcs11_tools_print_is_read() -> None:
    uri = TokenURI.parse(
        "pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=093348f4;token=bank;"
        "slot-id=017;library-version=2;id=%70;object=k;type=private"
    )
    assert uri.token["slot-id"] == "17"
    assert uri.token["library-version"] == "2.0"
    assert TokenURI.parse("pkcs11:object=k;library-version=2.06").token == {
        "library-version": "2.6"
    }


@pytest.mark.parametrize("text", ["pkcs11:object=a", "PKCS11:object=a", "pkcs11:", "Pkcs11:%"])
def test_the_scheme_of_token_uris_is_recognised(text: str) -> None:
    assert is_token_uri(text)


@pytest.mark.parametrize("text", ["", "pkcs11", "./pkcs11:a", "backup.key", "file:/a"])
def test_other_text_is_not_a_token_uri(text: str) -> None:
    assert not is_token_uri(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("backup.key", "not a PKCS#11 URI"),
        ("pkcs11:", "names no key"),
        ("pkcs11:token=bank", "names no key"),
        ("pkcs11:object=a;type=cert", "not a private key"),
        ("pkcs11:object=a;colour=red", "unknown attribute: colour"),
        ("pkcs11:object=a;x-colour=red", "unknown attribute: x-colour"),
        ("pkcs11:object=a?max-tries=9", "unknown attribute: max-tries"),
        ("pkcs11:object=a;object=b", "object twice"),
        ("pkcs11:object=a;id=%01;id=%01", "id twice"),
        ("pkcs11:object=a;", "not NAME=VALUE"),
        ("pkcs11:object", "not NAME=VALUE"),
        ("pkcs11:Object=a", "not NAME=VALUE"),
        ("pkcs11:object=a?", None),
        ("pkcs11:object=a b", "must be encoded"),
        ("pkcs11:object=%4", "must be encoded"),
        ("pkcs11:object=a%zz", "must be encoded"),
        ("pkcs11:object=a/b", "must be encoded"),
        ("pkcs11:object=ä", "must be encoded"),
        ("pkcs11:object=%FF", "not UTF-8"),
        ("pkcs11:object=a%00b", "a NUL"),
        ("pkcs11:object=a;slot-id=-1", "not a number"),
        ("pkcs11:object=a;slot-id=%D9%A1", "not a number"),
        ("pkcs11:object=a;library-version=2.6.1", "not a version"),
        ("pkcs11:object=a?module-name=softhsm", "not supported"),
        ("pkcs11:object=a?module-path=softhsm.so", "not an absolute path"),
        ("pkcs11:object=a?pin-source=/run/pin", "names no file"),
        ("pkcs11:object=a?pin-source=|cat", "names no file"),
        ("pkcs11:object=a?pin-source=file:pin", "not an absolute path"),
        ("pkcs11:object=a?pin-source=file://far/pin", "not an absolute path"),
        (f"pkcs11:object={'a' * MAX_URI_CHARACTERS}", "at most"),
    ],
)
def test_an_invalid_uri_is_refused(text: str, words: str | None) -> None:
    if words is None:
        assert TokenURI.parse(text).label == "a"
        return
    with pytest.raises(TokenError) as caught:
        TokenURI.parse(text)
    assert words in caught.value.problem


def test_a_pin_in_a_uri_is_refused() -> None:
    with pytest.raises(TokenError, match="contains a PIN") as caught:
        TokenURI.parse(f"pkcs11:object=a?pin-value={SECRET}")
    assert "CERTPIN_PKCS11_PIN" in caught.value.fix


@pytest.mark.parametrize(
    "text",
    [
        f"pkcs11:object=a?pin-value={SECRET}",
        f"pkcs11:object=a?pin-value={SECRET}%",
        f"pkcs11:object=a?pin-value={SECRET}&pin-value={SECRET}",
        f"pkcs11:token=b?pin-value={SECRET}",
        f"pkcs11:object=a?{SECRET}",
        f"pkcs11:object=a?pin-value {SECRET}",
        f"pkcs11:object=a;pin={SECRET}",
        f"pkcs11:object=a?pin-source={SECRET}",
    ],
)
def test_no_error_repeats_a_pin(text: str) -> None:
    with pytest.raises(TokenError) as caught:
        TokenURI.parse(text)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.__cause__)


def test_the_text_of_a_uri_names_neither_module_nor_pin() -> None:
    text = "pkcs11:token=The%20bank;object=a%3Bb;id=%01%FF"
    uri = TokenURI.parse(f"{text}?module-path=/opt/hsm.so&pin-source=file:/run/pin")
    assert str(uri) == text


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(st.dictionaries(st.sampled_from(["token", "serial", "model", "manufacturer"]), _TEXT), _TEXT)
def test_any_token_label_round_trips(token: dict[str, str], label: str) -> None:
    uri = TokenURI(token, label, b"\x00;")
    again = TokenURI.parse(str(uri))
    assert (again.token, again.label, again.id) == (token, label, b"\x00;")


_PIECES = st.sampled_from(
    [
        *(
            "pkcs11:",
            "token=",
            "object=",
            "id=",
            "type=",
            "slot-id=",
            "library-version=",
            "private",
        ),
        *(";", "?", "&", "=", "%", "%00", "%FF", "%C3%A4", "a", "1", ".", "file:", "//", "/"),
        *("pin-source=", "pin-value=", "module-path=", "module-name=", "\x1b", "\ud800", "٣"),
    ]
)


@given(st.lists(_PIECES, max_size=12).map("".join) | st.text(max_size=60))
@example("pkcs11:object=a;slot-id=٣")
@example("pkcs11:object=\ud800")
def test_hostile_text_is_a_uri_or_a_typed_error(text: str) -> None:
    for candidate in (text, "pkcs11:object=a" + text):
        try:
            uri = TokenURI.parse(candidate)
        except TokenError:
            continue
        assert TokenURI.parse(str(uri)).token == uri.token
