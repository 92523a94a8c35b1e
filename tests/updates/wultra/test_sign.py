"""What is signed is what the SDKs, and openssl, verify; and all else is refused before that."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from certpin.errors import CertificateParseError, ConfigError, KeyParseError
from certpin.pins import HostPin, HostPolicy, Pin
from certpin.updates.wultra import sign_certificates, sign_set
from certpin.updates.wultra.certificates import of_certificate
from certpin.updates.wultra.keys import for_sdk, key_of_file, key_of_text
from certpin.updates.wultra.listing import read_list
from certpin.x509.signing import FileKey, file_key
from tests import kit
from tests.updates.wultra._bank import HOST, Bank, listing, signer_of
from tests.updates.wultra._sdk import SDK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from certpin.lab import Authority, Identity

NOW = datetime.now(UTC).replace(microsecond=0)
END = NOW + timedelta(days=60)


@pytest.fixture
def server(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST)


@pytest.fixture
def following(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST)


def whole(*identities: Identity) -> tuple[Pin, ...]:
    return tuple(Pin("cert-sha256", each.certificate.sha256) for each in identities)


def policy(*pins: Pin, **fields: Any) -> HostPolicy:
    return kit.policy(HOST, *pins, **{"match": "leaf", "expires": END, **fields})


def test_an_app_accepts_the_pinned_certificates_and_no_other(
    bank: Bank, server: Identity, following: Identity, intermediate: Authority
) -> None:
    signed = sign_set(kit.pin_set(policy(*whole(server, following))), bank.signer, NOW)
    app = SDK(signed.public_key)
    app.take(signed.text.encode())
    assert app.validate(server.certificate.der) == "TRUSTED"
    assert app.validate(following.certificate.der) == "TRUSTED"
    assert app.validate(intermediate.issue(HOST).certificate.der) == "UNTRUSTED"
    assert app.validate(intermediate.issue("pay.bank.example").certificate.der) == "EMPTY"


def test_the_public_key_is_the_one_that_the_sdk_wants(bank: Bank) -> None:
    assert for_sdk(bank.key) == bank.public_key
    assert len(base64.b64decode(bank.public_key)) == 65


def test_pins_of_keys_are_left_out_and_told(
    bank: Bank, server: Identity, following: Identity
) -> None:
    pins = kit.pin_set(policy(*whole(server, following), kit.NOBODY))
    signed = sign_set(pins, bank.signer, NOW)
    assert len(signed.entries) == 2
    assert str(kit.NOBODY) in str(signed.losses[0])


def test_a_compromised_certificate_is_not_signed(
    bank: Bank, server: Identity, following: Identity, intermediate: Authority
) -> None:
    stolen = intermediate.issue(HOST)
    entries = (
        *(HostPin(pin) for pin in whole(server, following)),
        HostPin(whole(stolen)[0], state="compromised"),
    )
    made = HostPolicy(policy().pattern, entries, match="leaf", expires=END)
    app = SDK(bank.public_key)
    app.take(sign_set(kit.pin_set(made), bank.signer, NOW).text.encode())
    assert app.validate(stolen.certificate.der) == "UNTRUSTED"


def test_certificates_are_signed_until_they_end(
    bank: Bank, server: Identity, following: Identity
) -> None:
    certificates = [server.certificate, following.certificate]
    signed = sign_certificates(certificates, bank.signer, NOW)
    app = SDK(bank.public_key)
    app.take(signed.text.encode())
    assert app.validate(server.certificate.der) == "TRUSTED"
    ends = {each["expires"] for each in json.loads(signed.text)["fingerprints"]}
    assert ends == {int(each.not_after.timestamp()) for each in certificates}


@pytest.mark.peer("openssl")
def test_openssl_verifies_each_entry(bank: Bank, server: Identity, tmp_path: Path) -> None:
    signed = sign_certificates([server.certificate], bank.signer, NOW)
    (made,) = json.loads(signed.text)["fingerprints"]
    (tmp_path / "text").write_bytes(
        f"{made['name']}&{made['fingerprint']}&{made['expires']}".encode()
    )
    (tmp_path / "signature").write_bytes(base64.b64decode(made["signature"]))
    (tmp_path / "key.pem").write_bytes(
        bank.key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    words = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "text"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Verified OK" in done.stdout
    fingerprint = subprocess.run(
        "openssl x509 -outform DER | openssl dgst -sha256 -binary | openssl base64",
        shell=True,
        input=server.chain_pem,
        capture_output=True,
        check=True,
    )
    assert fingerprint.stdout.decode().strip() == made["fingerprint"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ec.generate_private_key(ec.SECP384R1()), "EC P-384"),
        (lambda: rsa.generate_private_key(65537, 2048), "RSA 2048"),
        (ed25519.Ed25519PrivateKey.generate, "Ed25519"),
    ],
)
def test_a_key_that_no_sdk_verifies_with_is_refused(
    make: Callable[[], Any], words: str, server: Identity
) -> None:
    with pytest.raises(KeyParseError, match="P-256 alone") as caught:
        sign_certificates([server.certificate], signer_of(make()), NOW)
    assert words in caught.value.problem


def test_the_key_of_the_server_signs_no_list(server: Identity, following: Identity) -> None:
    own = file_key(server.key_pem, lambda: None)
    with pytest.raises(ConfigError, match="whoever takes that server"):
        sign_certificates([server.certificate], own, NOW)
    pins = kit.pin_set(policy(*whole(server, following), server.pin))
    with pytest.raises(ConfigError, match="whoever takes that server"):
        sign_set(pins, own, NOW)


def test_what_has_ended_is_not_signed(bank: Bank, server: Identity, following: Identity) -> None:
    pins = kit.pin_set(policy(*whole(server, following)))
    with pytest.raises(ConfigError, match="it has ended"):
        sign_set(pins, bank.signer, END)
    with pytest.raises(ConfigError, match="it has ended"):
        sign_certificates([server.certificate], bank.signer, server.certificate.not_after)


def test_a_certificate_that_is_given_twice_is_refused(bank: Bank, server: Identity) -> None:
    with pytest.raises(ConfigError, match="twice"):
        sign_certificates([server.certificate] * 2, bank.signer, NOW)


def test_a_set_without_pins_of_certificates_has_no_list(bank: Bank) -> None:
    with pytest.raises(ConfigError, match="right kind"):
        sign_set(kit.pin_set(policy()), bank.signer, NOW)


@dataclass(frozen=True)
class Damaged:
    """A key that signs something else than it is asked to."""

    good: FileKey

    @property
    def public_key(self) -> Any:
        return self.good.public_key

    @property
    def spki(self) -> bytes:
        return self.good.spki

    def sign(self, data: bytes) -> bytes:
        return self.good.sign(data + b"\n")


def test_a_signature_that_does_not_hold_is_given_to_nobody(bank: Bank, server: Identity) -> None:
    with pytest.raises(KeyParseError, match="does not hold"):
        sign_certificates([server.certificate], Damaged(bank.signer), NOW)


def named(intermediate: Authority, *names: str) -> Identity:
    """A certificate with these common names, whatever stands in its subjectAltName."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])

    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        builder._subject_name = subject
        return builder

    return intermediate.issue(HOST, change=change)


@pytest.mark.parametrize("names", [(), (HOST, "pay.bank.example")])
def test_a_certificate_without_one_common_name_cannot_be_listed(
    bank: Bank, intermediate: Authority, names: tuple[str, ...]
) -> None:
    certificate = named(intermediate, *names).certificate
    with pytest.raises(CertificateParseError, match=f"has {len(names)} common names"):
        sign_certificates([certificate], bank.signer, NOW)


def test_a_common_name_that_is_no_host_is_not_signed(bank: Bank, intermediate: Authority) -> None:
    certificate = named(intermediate, f"{HOST}&AAAA").certificate
    with pytest.raises(ConfigError, match="not the name of a host"):
        sign_certificates([certificate], bank.signer, NOW)


# ── A certificate, and a list that is there ──


def judged(data: bytes, identity: Identity, now: datetime = NOW) -> str:
    finding = of_certificate(read_list(data), identity.certificate, now)
    return finding.rule if finding else ""


def test_a_certificate_that_is_listed(bank: Bank, server: Identity, following: Identity) -> None:
    data = sign_certificates([server.certificate], bank.signer, NOW).text.encode()
    assert judged(data, server) == ""
    assert judged(data, following) == "not-listed"
    assert judged(data, server, server.certificate.not_after) == "not-listed"


def test_the_hash_of_the_key_is_not_that_of_the_certificate(bank: Bank, server: Identity) -> None:
    fingerprint = base64.b64encode(server.certificate.spki_sha256).decode()
    assert judged(listing(bank.signed(fingerprint=fingerprint)), server) == "key-fingerprint"


def test_a_certificate_under_another_name(bank: Bank, server: Identity) -> None:
    fingerprint = base64.b64encode(server.certificate.sha256).decode()
    data = listing(bank.signed(fingerprint=fingerprint, name=HOST.upper()))
    assert judged(data, server) == "other-name"


# ── Public keys ──


def test_a_public_key_comes_as_text_or_as_a_file(bank: Bank) -> None:
    assert for_sdk(key_of_text(bank.public_key)) == bank.public_key
    assert for_sdk(key_of_file(bank.pem, lambda: None)) == bank.public_key


def test_a_key_as_a_pem_file_has_it_is_told_with_what_the_sdk_wants(bank: Bank) -> None:
    text = base64.b64encode(bank.signer.spki).decode()
    with pytest.raises(KeyParseError, match="its point alone") as caught:
        key_of_text(text)
    assert caught.value.fix == f"put this into the app: {bank.public_key}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no such file",
        "AAAA",
        base64.b64encode(b"\x04" + bytes(64)).decode(),
        "A" * 500,
        "\x1b[2J",
    ],
)
def test_what_is_no_public_key(text: str) -> None:
    with pytest.raises(KeyParseError) as caught:
        key_of_text(text)
    assert "\x1b" not in str(caught.value)
