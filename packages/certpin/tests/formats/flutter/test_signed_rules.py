"""Each rule of the Dart reader of signed metadata: its encoding, its keys, and its roles."""

from __future__ import annotations

import json
from base64 import b64encode
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

from certpin.updates.trust import DART_SCHEMES
from tests.formats.flutter._bridge import FormatException, PinUpdateException, call

pytestmark = pytest.mark.peer("dart")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(value=VALUES)
def test_canonical_json_matches_securesystemslib(value: Any) -> None:
    encoded = encode_canonical(value)
    assert encoded is not None
    assert call("canonicalJson", json.dumps(value)) == encoded.encode()


@pytest.mark.parametrize(
    ("value", "reason"),
    [(1.5, "unreadable"), ({"a": [0.1]}, "unreadable"), ("\ud800", "refused"), (2**64, "unread")],
)
def test_values_without_canonical_form_are_refused(value: Any, reason: str) -> None:
    text = json.dumps({"it": value})
    with pytest.raises(PinUpdateException, match=reason):
        call("canonicalObject", text.encode())


def test_deep_nesting_is_refused() -> None:
    value: Any = 1
    for _ in range(call("maxDepth")):
        value = [value]
    call("canonicalJson", json.dumps(value))
    with pytest.raises(PinUpdateException, match="nested too deeply"):
        call("canonicalJson", json.dumps([value]))


@given(data=st.binary(max_size=60))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    with pytest.raises(PinUpdateException):
        call("readMetadata", "root", data)


NUMBERS = st.integers(0, 2**384 - 1) | st.sampled_from([0, 1, 127, 128, 255, 256, 2**255, 2**383])


@given(r=NUMBERS, s=NUMBERS)
def test_signature_numbers_are_read(r: int, s: int) -> None:
    found = call("ecdsaIntegers", encode_dss_signature(r, s))
    assert tuple(map(int.from_bytes, found)) == (r, s)


@settings(max_examples=150)
@given(r=NUMBERS, s=NUMBERS, data=st.data())
def test_a_damaged_signature_is_refused_or_unchanged(r: int, s: int, data: st.DataObject) -> None:
    der = encode_dss_signature(r, s)
    place = data.draw(st.integers(0, len(der) - 1))
    damaged = der[:place] + data.draw(st.binary(max_size=2)) + der[place + 1 :]
    try:
        found = call("ecdsaIntegers", damaged)
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
def test_each_signature_rule_refuses_independently(der: str, why: str) -> None:
    with pytest.raises(FormatException, match=why):
        call("ecdsaIntegers", bytes.fromhex(der))


SCHEMES = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384")


def _pem(key: Any) -> str:
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(serialization.Encoding.PEM, kind).decode())


@pytest.mark.parametrize(
    ("curve", "scheme"), [(ec.SECP256R1(), SCHEMES[0]), (ec.SECP384R1(), SCHEMES[1])]
)
def test_the_point_of_a_key_is_read(curve: ec.EllipticCurve, scheme: str) -> None:
    key = ec.generate_private_key(curve)
    raw = serialization.PublicFormat.UncompressedPoint
    point = key.public_key().public_bytes(serialization.Encoding.X962, raw)
    for pem in (_pem(key), _pem(key).rstrip(), "\n" + _pem(key)):
        assert call("pointOf", scheme, pem) == point
    [other] = set(SCHEMES) - {scheme}
    assert call("pointOf", other, _pem(key)) is None


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
def test_other_keys_have_no_point(pem: str) -> None:
    for scheme in (*SCHEMES, "ed25519"):
        assert call("pointOf", scheme, pem) is None


# p and b of y² = x³ - 3x + b (NIST SP 800-186, section 3.2.1).
CURVES = {
    SCHEMES[0]: (
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    ),
    SCHEMES[1]: (
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        int(
            "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875a"
            "c656398d8a2ed19d2a85c8edd3ec2aef",
            16,
        ),
    ),
}


def _point(p: int, b: int) -> tuple[int, int]:
    """Return the coordinates of a point on the curve with prime ``p`` and coefficient ``b``.

    Its x is so small that x + p is still below 2**384.
    """
    for x in range(1, 100):
        right = (x**3 - 3 * x + b) % p
        y = pow(right, (p + 1) // 4, p)  # a square root, if there is one: p is 3 modulo 4
        if y * y % p == right:
            return x, y
    raise AssertionError


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_key_that_is_not_a_point_of_its_curve_is_refused(scheme: str) -> None:
    """The library refuses such a key itself, because ``decodePoint`` of pointycastle accepts it."""
    p, b = CURVES[scheme]
    curve = ec.SECP256R1() if scheme == SCHEMES[0] else ec.SECP384R1()
    size = curve.key_size // 8
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    der = ec.generate_private_key(curve).public_key().public_bytes(serialization.Encoding.DER, kind)

    def pem(x: int, y: int) -> str:
        octets = x.to_bytes(size, "big") + y.to_bytes(size, "big")
        text = b64encode(der[: -2 * size] + octets).decode()
        return f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"

    x, y = _point(p, b)
    assert call("pointOf", scheme, pem(x, y)) is not None
    for wrong in ((x, y + 1), (x + 1, y), (0, 0), (x + p, y)):
        assert call("pointOf", scheme, pem(*wrong)) is None, wrong


@pytest.mark.parametrize("text", ["0", "0g", "+1", "-f", " 0", "é0"])
def test_invalid_hexadecimal_is_refused(text: str) -> None:
    with pytest.raises(FormatException):
        call("fromHex", text)


@given(data=st.binary(max_size=20))
def test_hexadecimal_is_decoded(data: bytes) -> None:
    assert call("fromHex", data.hex()) == call("fromHex", data.hex().upper()) == data


def test_the_export_accepts_the_key_schemes_of_dart() -> None:
    assert set(call("schemes")) == set(SCHEMES) == DART_SCHEMES


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


def _read(signed: dict[str, Any], signatures: dict[str, CryptoSigner], role: str = "root") -> bytes:
    encoded = encode_canonical(signed)
    assert encoded is not None
    made = [
        {"keyid": name, "sig": signer.sign(encoded.encode()).signature}
        for name, signer in signatures.items()
    ]
    data = json.dumps({"signed": signed, "signatures": made}).encode()
    call("readMetadata", role, data)
    return data


def _signed(root: bytes, found: bytes) -> str:
    try:
        call("requireSigned", root, "root", found)
    except PinUpdateException as refused:
        return refused.problem
    return ""


def test_a_key_with_several_ids_counts_once() -> None:
    """python-tuf counts key ids: a key listed twice counts twice. Dart counts keys."""
    keys = {"a": ONE.public_key, "b": ONE.public_key}
    found = _read(_root(keys, 2), {"a": ONE, "b": ONE})
    assert _signed(found, found) == "root was signed by 1 of the 2 keys that must sign it"
    keys = {"a": ONE.public_key, "b": TWO.public_key}
    found = _read(_root(keys, 2), {"a": ONE, "b": TWO})
    assert _signed(found, found) == ""


def test_keys_outside_the_role_are_ignored() -> None:
    root = _root({"a": ONE.public_key, "b": TWO.public_key}, 1)
    root["roles"] = root["roles"] | {"root": _role("a", threshold=1)}
    found = _read(root, {"b": TWO, "c": TWO})
    assert "signed by 0 of the 1" in _signed(found, found)


def test_keys_of_other_types_are_ignored() -> None:
    """A publisher may also sign with Ed25519, for other clients; Dart does not count that."""
    other = CryptoSigner.generate_ed25519()
    keys = {"a": ONE.public_key, "b": other.public_key}
    found = _read(_root(keys, 1), {"b": other})
    assert "signed by 0 of the 1" in _signed(found, found)
    found = _read(_root(keys, 1), {"a": ONE, "b": other})
    assert _signed(found, found) == ""


def test_invalid_signatures_are_ignored() -> None:
    found = _read(_root({"a": ONE.public_key, "b": TWO.public_key}, 1), {"a": ONE})
    for junk in ("", "zz", "00", "30"):
        data = json.loads(found)
        data["signatures"].append({"keyid": "b", "sig": junk})
        again = json.dumps(data).encode()
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
def test_invalid_roots_are_refused(what: str) -> None:
    signed = _root({"a": ONE.public_key}, 1)
    assert _read(signed, {"a": ONE})
    fields = (signed | NOT_A_ROOT[what]).items()
    changed = {name: value for name, value in fields if value is not None}
    with pytest.raises(PinUpdateException):
        _read(changed, {})
