"""Chromium's built-in pins: the fields of its two files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate

from certpin.errors import CertpinError, FormatError
from certpin.formats import FORMATS, table
from certpin.pins import TrustAnchors, pins_of
from tests.formats._files import PINS, digests, load, two
from tests.formats._sets import KEYS as KEYS_OF_SETS
from tests.formats._sets import authorities
from tests.kit import pin_set

if TYPE_CHECKING:
    from certpin.pins import Pin

NAME = "chromium"
KEYS = "transport_security_state_static.pins"
FILE = f"# a comment\nPinsListTimestamp\n1723121786\n\nOne\n{PINS[0]}\n\nTwo\n{PINS[1]}\n"


def listing(pinset: dict[str, Any], entry: dict[str, Any]) -> str:
    pinset = {"name": "bank", "static_spki_hashes": ["One", "Two"]} | pinset
    entry = {"name": "bank.example", "pins": "bank"} | entry
    return json.dumps({"pinsets": [pinset], "entries": [entry]})


def read(text: str, keys: str = FILE) -> dict[str, set[Pin]]:
    return digests(load(NAME, text, {KEYS: keys.encode()}))


def refused(text: str, keys: str = FILE) -> str:
    with pytest.raises(CertpinError) as caught:
        read(text, keys)
    return str(caught.value)


def test_fields_are_those_that_the_generator_knows() -> None:
    pins = pin_set(two("**.bank.example", report_to=("https://r.example/",)), two("pay.example"))
    listed, keys = FORMATS[NAME].export(pins).files
    assert listed.path == "transport_security_state_static_pins.json"
    assert keys.path == KEYS
    document = json.loads("\n".join(listed.text.splitlines()[2:]))
    names = ["CertpinKey1", "CertpinKey2"]
    assert document == {
        "pinsets": [
            {
                "name": "certpin1",
                "static_spki_hashes": names,
                "report_uri": "https://r.example/",
            },
            {"name": "certpin2", "static_spki_hashes": names},
        ],
        "entries": [
            {"name": "bank.example", "include_subdomains": True, "pins": "certpin1"},
            {"name": "pay.example", "include_subdomains": False, "pins": "certpin2"},
        ],
    }
    lines = [line for line in keys.text.splitlines() if line and not line.startswith("#")]
    assert lines == ["CertpinKey1", str(PINS[0]), "CertpinKey2", str(PINS[1])]


def test_the_date_of_the_whole_list_is_not_made_up() -> None:
    assert "PinsListTimestamp" not in FORMATS[NAME].export(pin_set(two("a.example"))).files[1].text


def test_a_file_as_chromium_has_it_is_read() -> None:
    text = "// Copyright\n{\n  // a comment\n" + listing({}, {"include_subdomains": True})[1:]
    assert read(text) == {"**.bank.example": set(PINS[:2])}
    text = listing({"report_uri": "https://r.example//x"}, {})
    [found] = load(NAME, text, {KEYS: FILE.encode()}).policies
    assert found.report_to == ("https://r.example//x",)


def test_the_older_file_with_both_lists_is_read() -> None:
    document = json.loads(
        listing({}, {"mode": "force-https", "include_subdomains_for_pinning": True})
    )
    document["entries"].insert(0, {"name": "hsts.example", "mode": "force-https"})
    assert read(json.dumps(document)) == {"**.bank.example": set(PINS[:2])}


def test_a_host_that_an_entry_of_its_own_takes_out_of_the_pins_is_refused() -> None:
    document = json.loads(listing({}, {"include_subdomains": True}))
    document["entries"].append({"name": "www.bank.example", "mode": "force-https"})
    assert "'www.bank.example' is taken out of the pins" in refused(json.dumps(document))


def test_keys_are_read_from_certificates_and_from_pem() -> None:
    one, other = authorities()
    key = load_der_x509_certificate(other.certificate.der).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    certificate = table.pem(TrustAnchors((one.certificate.der,)))
    keys = f"One\n{certificate}\nTwo\n{pem}"
    wanted = {pins_of(each.certificate)[0] for each in authorities()}
    assert read(listing({}, {}), keys) == {"bank.example": wanted}


def test_keys_that_must_not_be_in_the_chain_are_compromised() -> None:
    pinset = {"bad_static_spki_hashes": ["Three"]}
    keys = f"{FILE}\nThree\n{KEYS_OF_SETS[5]}\n"
    found = load(NAME, listing(pinset, {}), {KEYS: keys.encode()})
    assert [each.compromised for each in found.policies] == [{KEYS_OF_SETS[5]}]
    [listed, _] = FORMATS[NAME].export(found).files
    written = json.loads("\n".join(listed.text.splitlines()[2:]))
    assert written["pinsets"][0]["bad_static_spki_hashes"] == ["CertpinKey3"]
    assert read(listing({"bad_static_spki_hashes": []}, {}))


@pytest.mark.parametrize(
    ("text", "keys", "words"),
    [
        (listing({}, {"pins": "other"}), FILE, "which is not there"),
        (listing({"static_spki_hashes": ["Three"]}, {}), FILE, "no key of the name 'Three'"),
        (listing({}, {"name": "*.bank.example"}), FILE, "no host has it"),
        (listing({}, {}), "one\nsha256/x\n", "is no name of a key"),
        (listing({}, {}), "One\n", "is not a pin"),
        (listing({}, {}), "One\nsha1/AAAA\n", "is not a pin"),
        (listing({}, {}), "One\n-----BEGIN CERTIFICATE-----\nAAAA\n", "cannot be read"),
        (listing({}, {}), "One\n-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", "cannot"),
        ('{"entries": []}', FILE, "pinsets is missing"),
        ('{"pinsets": [], "entries": []}', FILE, "no pin in it"),
    ],
)
def test_what_does_not_fit_together_is_refused(text: str, keys: str, words: str) -> None:
    assert words in refused(text, keys)


def test_a_file_of_keys_that_is_no_text_is_refused() -> None:
    with pytest.raises(FormatError, match=r"the \.pins file is not UTF-8 text"):
        load(NAME, listing({}, {}), {KEYS: b"\xff"})


@pytest.mark.parametrize("piece", ['"\\', '"', "//", "/", '"\\"//', "\\"])
def test_a_million_characters_of_hostile_text_take_one_pass(piece: str) -> None:
    assert "not JSON" in refused(piece * (1_000_000 // len(piece)))
