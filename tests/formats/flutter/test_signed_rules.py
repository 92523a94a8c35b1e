"""Each rule of the Dart that reads signed sets, by itself: encoding, keys, roles."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, SSlibKey

from certpin.updates import dart
from tests.formats.flutter import _dart
from tests.formats.flutter._app import ROLES, verifies
from tests.formats.flutter._packages import of_json
from tests.formats.flutter._runtime import (
    FormatException,
    PinUpdateException,
    String,
    Uint8List,
)

JSON, KEY = (_dart.load(f"signed_{name}.dart") for name in ("json", "keys"))

# ── Canonical JSON ────────────────────────────────────────────────────────────────────────────────

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(value=VALUES)
def test_what_is_signed_is_what_securesystemslib_signs(value: Any) -> None:
    encoded = encode_canonical(value)
    assert encoded is not None
    assert JSON["canonicalJson"](of_json(value)) == encoded.encode()


@pytest.mark.parametrize(
    ("value", "reason"),
    [(1.5, "unreadable"), ({"a": [0.1]}, "unreadable"), ("\ud800", "refused"), (2**64, "unread")],
)
def test_what_has_no_canonical_form_is_refused(value: Any, reason: str) -> None:
    text = json.dumps({"it": value})
    with pytest.raises(PinUpdateException, match=reason):
        JSON["canonicalJson"](JSON["decodedObject"](Uint8List(text.encode())))


def test_what_is_nested_without_end_does_not_fill_the_stack() -> None:
    value: Any = 1
    for _ in range(JSON["maxDepth"]):
        value = [value]
    JSON["canonicalJson"](of_json(value))
    with pytest.raises(PinUpdateException, match="nested too deeply"):
        JSON["canonicalJson"](of_json([value]))


@given(data=st.binary(max_size=60))
def test_whatever_is_sent_is_metadata_or_refused(data: bytes) -> None:
    with pytest.raises(PinUpdateException):
        ROLES["readMetadata"](String("root"), Uint8List(data))


# ── Signatures and keys ───────────────────────────────────────────────────────────────────────────

NUMBERS = st.integers(0, 2**384 - 1) | st.sampled_from([0, 1, 127, 128, 255, 256, 2**255, 2**383])


@given(r=NUMBERS, s=NUMBERS)
def test_both_numbers_of_a_signature_are_read(r: int, s: int) -> None:
    found = KEY["ecdsaIntegers"](Uint8List(encode_dss_signature(r, s)))
    assert tuple(map(int.from_bytes, found)) == (r, s)


@settings(max_examples=150)
@given(r=NUMBERS, s=NUMBERS, data=st.data())
def test_a_damaged_signature_is_never_read_otherwise(r: int, s: int, data: st.DataObject) -> None:
    der = encode_dss_signature(r, s)
    place = data.draw(st.integers(0, len(der) - 1))
    damaged = der[:place] + data.draw(st.binary(max_size=2)) + der[place + 1 :]
    try:
        found = KEY["ecdsaIntegers"](Uint8List(damaged))
    except FormatException:
        return
    assert decode_dss_signature(damaged) == tuple(map(int.from_bytes, found))


@pytest.mark.parametrize(
    ("der", "why"),
    [
        ("", "not one sequence"),
        ("3106020101020101", "not one sequence"),
        ("300602010102010100", "not one sequence"),
        ("300702010102010100", "bytes behind the end"),
        ("3006030101020101", "an integer was expected"),
        ("30060200020201ff", "an integer was expected"),
        ("3006020101020201", "a value that leaves its field"),
        ("3006020181020101", "a negative number"),
        ("300702020001020101", "a number that is not shortest"),
    ],
)
def test_each_rule_on_signatures_refuses_by_itself(der: str, why: str) -> None:
    with pytest.raises(FormatException, match=why):
        KEY["ecdsaIntegers"](Uint8List(bytes.fromhex(der)))


def _pem(key: Any) -> str:
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(serialization.Encoding.PEM, kind).decode())


@pytest.mark.parametrize(("curve", "scheme"), [(ec.SECP256R1(), "p256"), (ec.SECP384R1(), "p384")])
def test_the_point_of_a_key_is_found(curve: ec.EllipticCurve, scheme: str) -> None:
    key = ec.generate_private_key(curve)
    raw = serialization.PublicFormat.UncompressedPoint
    point = key.public_key().public_bytes(serialization.Encoding.X962, raw)
    for pem in (_pem(key), _pem(key).rstrip(), "\n" + _pem(key)):
        assert KEY["pointOf"](KEY[scheme], String(pem)) == point
    other = KEY["p384" if scheme == "p256" else "p256"]
    assert KEY["pointOf"](other, String(_pem(key))) is None


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----END PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nA\n-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
        _pem(ed25519.Ed25519PrivateKey.generate()),
        _pem(rsa.generate_private_key(65537, 2048)),
        _pem(ec.generate_private_key(ec.SECP256K1())),
        _pem(ec.generate_private_key(ec.SECP256R1())).replace("PUBLIC", "PRIVATE"),
    ],
)
def test_what_is_no_such_key_has_no_point(pem: str) -> None:
    for scheme in (KEY["p256"], KEY["p384"], "ed25519"):
        assert KEY["pointOf"](scheme, String(pem)) is None


@pytest.mark.parametrize("text", ["0", "0g", "+1", "-f", " 0", "é0"])
def test_what_is_not_hexadecimal_is_refused(text: str) -> None:
    with pytest.raises(FormatException):
        KEY["fromHex"](String(text))


@given(data=st.binary(max_size=20))
def test_bytes_come_back_from_hexadecimal(data: bytes) -> None:
    assert KEY["fromHex"](String(data.hex())) == KEY["fromHex"](String(data.hex().upper())) == data


def test_the_export_takes_the_keys_that_dart_verifies() -> None:
    assert {KEY["p256"], KEY["p384"]} == dart.SCHEMES


# ── Roles ─────────────────────────────────────────────────────────────────────────────────────────

ROLE_NAMES = ("root", "timestamp", "snapshot", "targets")
ONE, TWO = CryptoSigner.generate_ecdsa(), CryptoSigner.generate_ecdsa()


def _role(*keys: str, threshold: int) -> dict[str, Any]:
    return {"keyids": list(keys), "threshold": threshold}


def _root(keys: dict[str, SSlibKey], threshold: int, **fields: Any) -> dict[str, Any]:
    role = _role(*keys, threshold=threshold)
    roles = dict.fromkeys(ROLE_NAMES, role)
    return {
        "_type": "root",
        "spec_version": "1.0.31",
        "version": 1,
        "expires": "2030-01-01T00:00:00Z",
        "consistent_snapshot": True,
        "keys": {name: key.to_dict() for name, key in keys.items()},
        "roles": roles,
        **fields,
    }


def _read(signed: dict[str, Any], signatures: dict[str, CryptoSigner], role: str = "root") -> Any:
    encoded = encode_canonical(signed)
    assert encoded is not None
    made = [
        {"keyid": name, "sig": signer.sign(encoded.encode()).signature}
        for name, signer in signatures.items()
    ]
    data = json.dumps({"signed": signed, "signatures": made}).encode()
    return ROLES["readMetadata"](String(role), Uint8List(data))


def _signed(root: Any, found: Any) -> str:
    try:
        ROLES["requireSigned"](root, String("root"), found, verifies)
    except PinUpdateException as refused:
        return refused.problem
    return ""


def test_a_key_counts_once_under_however_many_names() -> None:
    """python-tuf goes by names: a root that names a key twice lets it sign for two. Not here."""
    keys = {"a": ONE.public_key, "b": ONE.public_key}
    found = _read(_root(keys, 2), {"a": ONE, "b": ONE})
    assert _signed(found, found) == "root was signed by 1 of the 2 keys that must sign it"
    keys = {"a": ONE.public_key, "b": TWO.public_key}
    found = _read(_root(keys, 2), {"a": ONE, "b": TWO})
    assert _signed(found, found) == ""


def test_who_is_no_key_of_the_role_counts_for_nothing() -> None:
    root = _root({"a": ONE.public_key, "b": TWO.public_key}, 1)
    root["roles"] = root["roles"] | {"root": _role("a", threshold=1)}
    found = _read(root, {"b": TWO, "c": TWO})
    assert "signed by 0 of the 1" in _signed(found, found)


def test_a_key_of_another_kind_counts_for_nothing_and_is_no_mistake() -> None:
    """An authority may sign with Ed25519 too, for other clients."""
    other = CryptoSigner.generate_ed25519()
    keys = {"a": ONE.public_key, "b": other.public_key}
    found = _read(_root(keys, 1), {"b": other})
    assert "signed by 0 of the 1" in _signed(found, found)
    found = _read(_root(keys, 1), {"a": ONE, "b": other})
    assert _signed(found, found) == ""


def test_a_signature_that_is_none_counts_for_nothing() -> None:
    found = _read(_root({"a": ONE.public_key, "b": TWO.public_key}, 1), {"a": ONE})
    for junk in ("", "zz", "00", "30"):
        data = json.loads(bytes(found.bytes))
        data["signatures"].append({"keyid": "b", "sig": junk})
        again = ROLES["readMetadata"](String("root"), Uint8List(json.dumps(data).encode()))
        assert _signed(again, again) == ""


NOT_A_ROOT: dict[str, dict[str, Any]] = {
    **{f"without {name}": {name: None} for name in _root({}, 1)},
    "names without versions": {"consistent_snapshot": False},
    "another role": {"_type": "targets"},
    "another TUF": {"spec_version": "2.0.0"},
    **{f"version {value!r}": {"version": value} for value in (0, -1, True, "1")},
    **{
        f"expires {text!r}": {"expires": text}
        for text in (
            *("", "soon", "2030-01-01", "2030-02-31T00:00:00Z", "2030-01-01T00:00:00"),
            *("2030-01-01T00:00:00+00:00", "2030-01-01T00:00:00.5Z", "2030-01-01 00:00:00Z"),
        )
    },
    "expires as a number": {"expires": 1893456000},
    "roles as a list": {"roles": []},
    "no roles": {"roles": {}},
    "one role": {"roles": {"root": _role("a", threshold=1)}},
    **{
        f"a role {role}": {"roles": dict.fromkeys(ROLE_NAMES, role)}
        for role in ({}, _role("a", threshold=0), _role("a", "a", threshold=2), {"keyids": "a"})
    },
}


@pytest.mark.parametrize("what", NOT_A_ROOT)
def test_what_is_no_root_is_not_read(what: str) -> None:
    signed = _root({"a": ONE.public_key}, 1)
    assert _read(signed, {"a": ONE})
    fields = (signed | NOT_A_ROOT[what]).items()
    changed = {name: value for name, value in fields if value is not None}
    with pytest.raises(PinUpdateException):
        _read(changed, {})
