"""Pins: every common spelling is read, and no kind is guessed."""

from __future__ import annotations

import base64
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from certpin.errors import PinParseError
from certpin.lab import Authority
from certpin.pins import Pin, pins_of

DIGESTS = st.binary(min_size=32, max_size=32)
PINS = st.builds(Pin, st.sampled_from(["sha256", "cert-sha256"]), DIGESTS)

DIGEST = bytes(range(100, 132))
BASE64 = base64.b64encode(DIGEST).decode()
HEX = DIGEST.hex(":").upper()
KEY, WHOLE = Pin("sha256", DIGEST), Pin("cert-sha256", DIGEST)
# Its base64 begins with a slash, as that of one digest in 64 does.
SLASHED = b"\xff" * 31 + b"\x07"

SPELLINGS = {
    f"sha256/{BASE64}": KEY,
    f"sha256//{BASE64}": KEY,
    f'pin-sha256="{BASE64}"': KEY,
    f'pin-sha256="{BASE64}";': KEY,
    f"pin-sha256={BASE64}": KEY,
    f'pin-sha256 = "{BASE64}"': KEY,
    f" sha256/{BASE64}\n": KEY,
    f"cert-sha256/{HEX}": WHOLE,
    f"cert-sha256/{HEX.lower()}": WHOLE,
    f"cert-sha256/{DIGEST.hex()}": WHOLE,
    f"sha256 Fingerprint={HEX}": WHOLE,
    f"SHA256 Fingerprint={HEX}": WHOLE,
    f"SHA256 Fingerprint={HEX}\r\n": WHOLE,
}


@pytest.mark.parametrize("text", SPELLINGS)
def test_every_spelling_of_a_pin_is_read(text: str) -> None:
    assert Pin.parse(text) == SPELLINGS[text]


@given(PINS)
@example(Pin("sha256", SLASHED))
def test_a_pin_is_read_as_it_was_written(pin: Pin) -> None:
    assert Pin.parse(str(pin)) == pin


@given(DIGESTS)
@example(SLASHED)
def test_a_pin_of_curl_is_read_whatever_it_begins_with(digest: bytes) -> None:
    text = base64.b64encode(digest).decode()
    assert Pin.parse(f"sha256//{text}") == Pin.parse(f"sha256/{text}") == Pin("sha256", digest)


def test_the_kind_is_never_guessed_from_a_length() -> None:
    for text in (BASE64, HEX, DIGEST.hex()):
        with pytest.raises(PinParseError, match="is not a pin"):
            Pin.parse(text)
    for text in (f"sha256/{HEX}", f"sha256/{DIGEST.hex()}", f"cert-sha256/{BASE64}"):
        with pytest.raises(PinParseError):
            Pin.parse(text)


@pytest.mark.parametrize("digest", [DIGEST.hex(), DIGEST.hex().upper(), HEX])
@pytest.mark.parametrize("text", ["sha256/{}", "sha256//{}", 'pin-sha256="{}"'])
def test_hexadecimal_of_a_key_is_refused_with_its_pin(text: str, digest: str) -> None:
    """It is the output of ``openssl dgst -sha256``; "copy the whole pin again" was no help."""
    with pytest.raises(PinParseError, match="is hexadecimal, and the pin of a key is") as caught:
        Pin.parse(text.format(digest))
    assert f"(openssl dgst -sha256), write sha256/{BASE64}; if it is the" in caught.value.fix


REFUSED = {
    "nothing": "",
    "no digest": "sha256/",
    "three slashes": f"sha256///{BASE64}",
    "another hash": f"sha1/{BASE64}",
    "a capital": f"SHA256/{BASE64}",
    "two pins": f"sha256/{BASE64} sha256/{BASE64}",
    "half a quotation": f'pin-sha256="{BASE64}',
    "another half": f'pin-sha256={BASE64}"',
    "a fingerprint by sha1": "SHA1 Fingerprint=" + ":".join(["AA"] * 20),
    "a letter that folds to s": f"\u017fha256 Fingerprint={HEX}",
}


@pytest.mark.parametrize("what", REFUSED)
def test_other_text_is_refused_as_a_pin(what: str) -> None:
    with pytest.raises(PinParseError) as caught:
        Pin.parse(REFUSED[what])
    assert "sha256/BASE64" in caught.value.fix


NOT_BASE64 = {
    "url-safe base64": "sha256/" + "-_" * 21 + "A=",
    "no padding": f"sha256/{BASE64[:-1]}",
    "half padding": f"sha256/{'A' * 42}=",
    "no ASCII": "sha256/" + "é" * 44,
    "a space within": f"sha256/{BASE64[:20]}\u00a0{BASE64[20:]}",
}


@pytest.mark.parametrize("what", NOT_BASE64)
def test_text_that_is_not_base64_is_refused(what: str) -> None:
    with pytest.raises(PinParseError):
        Pin.parse(NOT_BASE64[what])


def test_loose_base64_is_refused_with_the_canonical_text() -> None:
    loose = BASE64[:-2] + chr(ord(BASE64[-2]) + 1) + "="
    assert base64.b64decode(loose) == DIGEST
    with pytest.raises(PinParseError, match="not canonical base64") as caught:
        Pin.parse(f"sha256/{loose}")
    assert caught.value.fix == f"write sha256/{BASE64}"


@pytest.mark.parametrize("count", [0, 1, 20, 31, 33, 48, 64])
def test_a_digest_of_another_length_is_refused(count: int) -> None:
    text = base64.b64encode(bytes(range(count))).decode() or "="
    with pytest.raises(PinParseError):
        Pin.parse(f"sha256/{text}")
    with pytest.raises(PinParseError, match="32 bytes in hexadecimal") as caught:
        Pin.parse(f"cert-sha256/{bytes(range(count)).hex(':') or ':'}")
    assert "openssl x509 -noout -fingerprint -sha256" in caught.value.fix
    with pytest.raises(PinParseError, match="32 bytes, and this has"):
        Pin("sha256", bytes(count))


MIXED_HEX = {
    "colons here and there": HEX.replace(":", "", 1),
    "a colon at the end": HEX + ":",
    "spaces": HEX.replace(":", " "),
    "dashes": HEX.replace(":", "-"),
    "odd pairs": DIGEST.hex()[1:] + "0:",
    "no ASCII digits": "٣" * 64,
}


@pytest.mark.parametrize("what", MIXED_HEX)
def test_loose_hexadecimal_is_refused(what: str) -> None:
    with pytest.raises(PinParseError):
        Pin.parse(f"cert-sha256/{MIXED_HEX[what]}")


PREFIXES = st.sampled_from(
    [
        "",
        "sha256/",
        "sha256//",
        "pin-sha256=",
        'pin-sha256="',
        "cert-sha256/",
        "SHA256 Fingerprint=",
    ]
)
JUNK = st.text(max_size=100) | st.text(string.hexdigits + ':=/+"; ', max_size=120)


@given(PREFIXES, JUNK)
def test_junk_raises_the_typed_error_and_nothing_else(prefix: str, junk: str) -> None:
    try:
        pin = Pin.parse(prefix + junk)
    except PinParseError as exc:
        refusal = exc
    else:
        assert Pin.parse(str(pin)) == pin
        return
    assert refusal.fix
    assert len(str(refusal)) < 600


PLACEHOLDERS = [
    "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "sha256/BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA=",
    "sha256/" + "/" * 42 + "8=",
    "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    "sha256/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM=",
    "sha256/7HIpactkIAq2Y49orFOOQKurWxmmSFZhBCoQYcRhJ3Y=",
    "sha256/HXXQgxueCIU5TTLHob/bPbwcKOKw6DkfsTWYHbxbqTY=",
    "cert-sha256/" + ":".join(["00"] * 32),
    "cert-sha256/" + ":".join(["1A"] * 32),
]


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_a_placeholder_is_recognised(text: str) -> None:
    assert Pin.parse(text).is_placeholder


def test_a_generated_pin_is_not_a_placeholder() -> None:
    certificate = Authority("Own").certificate
    assert not any(pin.is_placeholder for pin in pins_of(certificate))


def test_both_pins_of_a_certificate_are_made() -> None:
    certificate = Authority("Own").certificate
    key, whole = pins_of(certificate)
    assert key == Pin("sha256", certificate.spki_sha256) == Pin.of_key(certificate.spki_sha256)
    assert whole == Pin("cert-sha256", certificate.sha256)


def test_the_same_digest_of_another_kind_is_another_pin() -> None:
    assert KEY != WHOLE
    assert len({KEY, WHOLE, Pin("sha256", DIGEST)}) == 2


def test_a_pin_is_frozen() -> None:
    with pytest.raises(AttributeError):
        KEY.digest = DIGEST  # type: ignore[misc]
