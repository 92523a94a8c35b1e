"""Certificate signing requests (CSRs), and the private keys that sign them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import HostError, KeyParseError
from certpin.x509.certificate import no_passphrase
from certpin.x509.keys import PassphraseError, new_private_key
from certpin.x509.signing import FileKey, file_key, new_request

KEY = file_key(new_private_key("p256", None)[0], no_passphrase)
OTHER = file_key(new_private_key("p256", None)[0], no_passphrase)
SECRET = b"correct horse"
_LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


class Liar(FileKey):
    def sign(self, data: bytes) -> bytes:
        return super().sign(data + b"!")


@pytest.mark.parametrize(
    "key",
    [
        Liar(KEY.public_key, KEY.spki, KEY._private),
        replace(KEY, _private=OTHER._private),
    ],
)
def test_a_request_with_an_invalid_signature_is_refused(key: FileKey) -> None:
    with pytest.raises(KeyParseError, match="is not valid for it"):
        new_request(key, ["api.bank.example"])


def test_a_request_needs_a_name() -> None:
    with pytest.raises(HostError):
        new_request(KEY, [])


def _same(secret: bytes | None) -> bytes | None:
    return secret


def _sealed(form: str) -> bytes:
    """Return an encrypted private key in PEM (PKCS#8 or OpenSSL's older form), DER or PKCS#12."""
    private, secret = ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(SECRET)
    if form == "pkcs12":
        return serialize_key_and_certificates(b"", private, None, None, secret)
    encoding = Encoding.DER if form == "der" else Encoding.PEM
    older = form == "older pem"
    layout = PrivateFormat.TraditionalOpenSSL if older else PrivateFormat.PKCS8
    return private.private_bytes(encoding, layout, secret)


@pytest.mark.medium
@pytest.mark.parametrize("form", ["pem", "older pem", "der", "pkcs12"])
def test_an_encrypted_key_needs_its_passphrase(form: str) -> None:
    data = _sealed(form)
    assert file_key(data, lambda: SECRET).spki
    known = form != "pkcs12"  # it can't be distinguished from other data
    none = "there is no private key in it that can be read"
    for secret, problem in (
        (None, "its private key is encrypted"),
        (b"wrong", "the passphrase of its private key is wrong, or the key is damaged"),
        (b"", "the passphrase of its private key is wrong, or the key is damaged"),
    ):
        with pytest.raises(KeyParseError) as caught:
            file_key(data, partial(_same, secret))
        assert caught.value.problem == (problem if known else none)
        assert isinstance(caught.value, PassphraseError) == known
        assert (secret is None or not known) == ("set CERTPIN_PASSPHRASE" in caught.value.fix)


@pytest.mark.medium
@pytest.mark.parametrize("form", ["pem", "older pem"])
def test_other_blocks_beside_an_encrypted_key_are_ignored(form: str) -> None:
    """For example, HAProxy and nginx read the parameters of Diffie-Hellman from this file."""
    other = b"-----BEGIN DH PARAMETERS-----\nMAYCAQUCAQI=\n-----END DH PARAMETERS-----\n"
    sealed = _sealed(form)
    for data in (sealed + other, other + sealed):
        assert file_key(data, lambda: SECRET).spki


@pytest.mark.parametrize(
    "data", [b"-----BEGIN X-----\n", KEY.spki, b""], ids=["PEM", "public key", "nothing"]
)
def test_a_file_without_a_private_key_is_not_called_encrypted(data: bytes) -> None:
    with pytest.raises(KeyParseError, match="there is no private key in it"):
        file_key(data, no_passphrase)


def test_no_passphrase_is_asked_for_if_none_can_help() -> None:
    def ask() -> bytes:
        raise AssertionError("asked")

    assert file_key(new_private_key("p256", None)[0], ask).spki
    with pytest.raises(KeyParseError, match="there is no private key in it"):
        file_key(b"-----BEGIN PUBLIC KEY-----\n", ask)


@pytest.mark.medium
@given(st.lists(st.lists(_LABEL, min_size=1, max_size=3).map(".".join), min_size=1, max_size=40))
def test_a_request_contains_every_name(names: list[str]) -> None:
    request = x509.load_der_x509_csr(new_request(KEY, names))
    found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == names
    assert request.is_signature_valid
