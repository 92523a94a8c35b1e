"""Certificate signing requests (CSRs), and the private keys that sign them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import HostError, KeyParseError
from certpin.x509.certificate import no_passphrase
from certpin.x509.keys import new_private_key
from certpin.x509.signing import FileKey, file_key, new_request

KEY = file_key(new_private_key("p256", None)[0], no_passphrase)
OTHER = file_key(new_private_key("p256", None)[0], no_passphrase)
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


@pytest.mark.medium
@given(st.lists(st.lists(_LABEL, min_size=1, max_size=3).map(".".join), min_size=1, max_size=40))
def test_a_request_contains_every_name(names: list[str]) -> None:
    request = x509.load_der_x509_csr(new_request(KEY, names))
    found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == names
    assert request.is_signature_valid
