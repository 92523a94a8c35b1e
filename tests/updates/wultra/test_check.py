"""Each mistake that makes an SDK refuse a list, and what is said of it."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from certpin.errors import FormatError
from certpin.updates.wultra import Answer, check_list
from tests.updates.wultra._bank import (
    DIGEST,
    FINGERPRINT,
    HOST,
    NOW,
    SECONDS,
    Bank,
    entry,
    listing,
    with_signature,
)
from tests.updates.wultra._sdk import SDK, RefusedError

if TYPE_CHECKING:
    from certpin.updates.wultra import Checked

N, F, E = HOST, FINGERPRINT, str(SECONDS)
CHALLENGE = base64.b64encode(b"0123456789abcdef").decode()


def check(bank: Bank, *entries: dict[str, Any], **more: Any) -> Checked:
    return check_list(listing(*entries, **more), bank.key, NOW)


def rules(checked: Checked) -> list[str]:
    found = [*checked.findings, *(f for each in checked.entries for f in each.findings)]
    return [each.rule for each in found]


def raw(signature: bytes) -> bytes:
    return b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(signature))


def test_a_list_that_is_right_holds(bank: Bank) -> None:
    checked = check(bank, bank.signed(), bank.signed(name="*.shops.example"))
    assert checked.holds
    assert rules(checked) == []


@pytest.mark.parametrize(
    ("signed", "expected"),
    [
        (f"{N}&{E}&{F}", ["order"]),
        (f"{F}&{N}&{E}", ["order"]),
        (f"{F}&{E}&{N}", ["order"]),
        (f"{E}&{N}&{F}", ["order"]),
        (f"{E}&{F}&{N}", ["order"]),
        (f"{E}&{F}", ["order"]),
        (f"{N}&{F}&{E}\n", ["line-break"]),
        (f"{N}&{F}&{E}\r\n", ["line-break"]),
        (f"{N}\n&\n{F}\n&\n{E}", ["line-break"]),
        (f"{N}\n&\n{E}\n&\n{F}", ["order", "line-break"]),
        (f"{N}&{E}&{F}\n", ["order", "line-break"]),
        (f"{N}{F}{E}", ["separator"]),
        (f"{N}&{DIGEST.hex()}&{E}", ["hexadecimal"]),
        (f"{N}&{F}&{E}000", ["milliseconds"]),
        (hashlib.sha256(f"{N}&{F}&{E}".encode()).digest(), ["hash"]),
        (hashlib.sha256(f"{N}&{F}&{E}".encode()).hexdigest(), ["hash"]),
        (hashlib.sha256(f"{N}&{E}&{F}".encode()).digest(), ["order", "hash"]),
        ("something else", ["signature"]),
    ],
)
def test_another_text_was_signed(bank: Bank, signed: bytes | str, expected: list[str]) -> None:
    made = bank.signed(signed)
    assert rules(check(bank, made)) == expected
    with pytest.raises(RefusedError):
        SDK(bank.public_key).take(listing(made))


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA384(), hashes.SHA512()])
def test_another_hash_was_signed(bank: Bank, algorithm: hashes.HashAlgorithm) -> None:
    made = with_signature(entry(), bank.sign(f"{N}&{F}&{E}", algorithm))
    checked = check(bank, made)
    assert rules(checked) == ["hash"]
    assert algorithm.name.upper().replace("SHA", "SHA-") in checked.entries[0].findings[0].problem


def test_the_oldest_recipe_makes_three_mistakes(bank: Bank) -> None:
    made = with_signature(entry(), bank.sign(f"{E}\n&\n{F}", hashes.SHA1()))
    assert rules(check(bank, made)) == ["order", "line-break", "hash"]


def test_two_bare_numbers_are_no_signature(bank: Bank) -> None:
    right = raw(bank.sign(f"{N}&{F}&{E}"))
    assert rules(check(bank, with_signature(entry(), right))) == ["raw-signature"]
    both = raw(bank.sign(f"{N}&{E}&{F}"))
    assert rules(check(bank, with_signature(entry(), both))) == ["order", "raw-signature"]
    none = with_signature(entry(), bytes(64))
    assert rules(check(bank, none)) == ["signature"]


def test_what_was_signed_and_what_to_do_is_said(bank: Bank) -> None:
    (finding,) = check(bank, bank.signed(f"{N}&{E}&{F}")).entries[0].findings
    assert finding.problem.startswith("name & expires & fingerprint is what was signed")
    assert "printf '%s&%s&%s' NAME FINGERPRINT EXPIRES" in finding.fix


def test_the_signature_of_another_entry(bank: Bank) -> None:
    first, second = bank.signed(), bank.signed(name="pay.bank.example")
    first["signature"], second["signature"] = second["signature"], first["signature"]
    checked = check(bank, first, second)
    assert rules(checked) == ["other-entry", "other-entry"]
    assert "fingerprints[1], pay.bank.example" in checked.entries[0].findings[0].problem


def test_the_key_of_somebody_else(bank: Bank) -> None:
    checked = check(Bank(), bank.signed())
    assert rules(checked) == ["signature"]
    assert "is this the public key of the key that signed?" in checked.entries[0].findings[0].fix


@pytest.mark.slow
def test_two_entries_betray_the_key_that_signed_them(bank: Bank) -> None:
    stray = Bank().signed(name="stray.example")
    signed = [bank.signed(name=f"a{number}.example") for number in range(2)]
    for entries in (signed, [stray, *signed], [entry(signature="AA=="), *signed]):
        checked = check(Bank(), *entries)
        (finding,) = checked.findings
        assert finding.rule == "other-key"
        assert "put that key nowhere" in finding.fix
        assert finding.problem.endswith(bank.public_key)
        assert all(each.findings for each in checked.entries)


def test_an_entry_that_stands_there_twice_betrays_nothing(bank: Bank) -> None:
    assert check(Bank(), bank.signed(), bank.signed()).findings == ()


def test_entries_of_several_keys_betray_none(bank: Bank) -> None:
    strays = [Bank().signed(name=f"a{number}.example") for number in range(3)]
    assert check(bank, *strays).findings == ()


@pytest.mark.parametrize(
    "numbers", [(0, 1), (1, 0), (1, 1), (2**255, 1), (2**300, 5), (5, 2**256 - 1)]
)
def test_numbers_that_are_no_signature_betray_nothing(bank: Bank, numbers: tuple[int, int]) -> None:
    odd = encode_dss_signature(*numbers)
    entries = [with_signature(entry(name=f"a{number}.example"), odd) for number in range(2)]
    assert set(rules(check(bank, *entries))) == {"signature"}


def test_an_entry_that_was_changed_later(bank: Bank) -> None:
    for change in (
        {"name": "evil.example"},
        {"expires": SECONDS + 1},
        {"fingerprint": "A" * 43 + "="},
    ):
        assert rules(check(bank, bank.signed() | change)) == ["signature"]


@pytest.mark.parametrize("signature", ["!", "AAA", "AA==\n"])
def test_a_signature_that_is_not_base64(bank: Bank, signature: str) -> None:
    assert rules(check(bank, entry(signature=signature))) == ["signature"]


def test_no_signature(bank: Bank) -> None:
    assert rules(check(bank, entry())) == ["unsigned"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"fingerprint": DIGEST.hex()}, ["hexadecimal"]),
        ({"fingerprint": DIGEST.hex(":").upper()}, ["hexadecimal"]),
        ({"fingerprint": base64.b64encode(DIGEST.hex().encode()).decode()}, ["hexadecimal"]),
        (
            {"fingerprint": base64.b64encode(f"(stdin)= {DIGEST.hex()}\n".encode()).decode()},
            ["hexadecimal"],
        ),
        ({"fingerprint": base64.b64encode(DIGEST[:20]).decode()}, ["fingerprint"]),
        ({"fingerprint": FINGERPRINT.rstrip("=")}, ["fingerprint"]),
        ({"fingerprint": FINGERPRINT + "\n"}, ["fingerprint"]),
        ({"fingerprint": ""}, ["fingerprint"]),
        ({"expires": str(SECONDS)}, ["date"]),
        ({"expires": SECONDS * 1000}, ["milliseconds"]),
        ({"expires": 10**400}, ["milliseconds"]),
        ({"expires": int(NOW.timestamp())}, ["expired"]),
        ({"expires": -1}, ["expired"]),
        ({"expires": -(10**400)}, ["expired"]),
        ({"name": ""}, ["name"]),
        ({"name": f"CN={HOST}"}, ["name"]),
        ({"name": f"{HOST}\n"}, ["name"]),
        ({"name": f"**.{HOST}"}, ["name"]),
        ({"name": f"{HOST}&{FINGERPRINT}"}, ["name"]),
    ],
)
def test_an_entry_that_is_signed_and_no_good(
    bank: Bank, fields: dict[str, Any], expected: list[str]
) -> None:
    assert rules(check(bank, bank.signed(**fields))) == expected


def test_hexadecimal_is_told_with_what_is_right(bank: Bank) -> None:
    (finding,) = check(bank, bank.signed(fingerprint=DIGEST.hex())).entries[0].findings
    assert finding.fix == f"write {FINGERPRINT}"


def test_the_second_before_its_end_it_holds(bank: Bank) -> None:
    assert check(bank, bank.signed(expires=int(NOW.timestamp()) + 1)).holds


def test_an_entry_that_stands_there_twice(bank: Bank) -> None:
    assert rules(check(bank, bank.signed(), bank.signed())) == ["duplicate", "duplicate"]


def test_two_certificates_of_one_name_are_no_twins(bank: Bank) -> None:
    other = base64.b64encode(bytes(range(32))).decode()
    assert check(bank, bank.signed(), bank.signed(fingerprint=other)).holds


def test_an_empty_list(bank: Bank) -> None:
    assert rules(check(bank)) == ["empty"]


def test_what_nobody_signed_and_an_sdk_believes(bank: Bank) -> None:
    assert rules(check(bank, bank.signed(), domainsConfig={})) == ["unsigned-switches"]
    assert rules(check(bank, bank.signed(depth=1))) == ["unsigned-depth"]
    assert check(bank, bank.signed(depth=0)).holds


def test_many_that_fail_are_not_all_searched(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    from certpin.updates.wultra import check as module

    calls: list[object] = []

    def explain(*words: object) -> tuple[()]:
        calls.append(words)
        return ()

    monkeypatch.setattr(module, "explain", explain)
    entries = [bank.signed("x", name=f"a{number}.example") for number in range(40)]
    assert rules(check(bank, *entries)) == ["signature"] * 40
    assert len(calls) == 8


# ── The body of an answer ──


def answered(bank: Bank, body: bytes, challenge: str = CHALLENGE, **fields: Any) -> Checked:
    signature = base64.b64encode(bank.sign(challenge.encode() + b"&" + body)).decode()
    answer = Answer(**{"challenge": challenge, "signature": signature, **fields})
    return check_list(body, bank.key, NOW, answer)


def test_the_body_of_an_answer_needs_no_signed_entries(bank: Bank) -> None:
    checked = answered(bank, listing(entry(depth=1), timestamp=1, domainsConfig={}))
    assert checked.holds
    assert checked.listing.timestamp == 1


def test_an_answer_to_another_challenge(bank: Bank) -> None:
    checked = answered(bank, listing(entry(), timestamp=1), signature="AAAA")
    assert rules(checked) == ["answer", "unsigned"]
    other = base64.b64encode(bank.sign(b"another challenge" + b"&" + listing(entry()))).decode()
    assert rules(answered(bank, listing(entry()), signature=other)) == ["answer", "unsigned"]


def test_a_body_without_its_answer_was_not_verified(bank: Bank) -> None:
    assert rules(check(bank, entry(), timestamp=1)) == ["unsigned"]


def test_a_signature_in_an_answer_has_to_be_right(bank: Bank) -> None:
    assert answered(bank, listing(bank.signed())).holds
    assert rules(answered(bank, listing(bank.signed("x")))) == ["signature"]


def test_no_challenge(bank: Bank) -> None:
    with pytest.raises(FormatError, match="no challenge"):
        answered(bank, listing(entry()), challenge="short")
