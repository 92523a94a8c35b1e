"""Digests equal those of the `openssl` command, for every format of a key."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import pytest

from certpin.errors import KeyParseError
from certpin.pins import Pin, pins_of
from certpin.x509 import Certificate
from certpin.x509.certificate import read_certificates, read_items
from certpin.x509.keys import PublicKey
from tests.x509._openssl import ALGORITHMS, PASSPHRASE, TRADITIONAL, Made, make, openssl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

pytestmark = pytest.mark.peer("openssl")

_CLEAR = ("public.pem", "public.der", "request.pem", "request.der", "key.pem", "key.der")
_CERTIFICATES = ("certificate.pem", "certificate.der")
_STORES = ("store.p12", "store-empty.p12", "store-clear.p12")
_SEALED = ("sealed.pem", "sealed.der", "store-key.p12")
_OLD = ("traditional.pem", "traditional.der", "traditional-sealed.pem")
_PUBLIC = ("public.pem", "public.der", "request.pem", "request.der", *_CERTIFICATES)

# cryptography reads the seed of an ML-DSA key, and openssl writes seed and expanded key.
_POST_QUANTUM = [name for name in ALGORITHMS if name.startswith("ml-dsa")]
_RSA_PSS = [name for name in ALGORITHMS if name.startswith("rsa-pss")]
_CLASSIC = [name for name in ALGORITHMS if name not in _POST_QUANTUM]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """Return a function that returns a key of an algorithm, which it makes at the first call."""
    keys: dict[str, Made] = {}

    def key(algorithm: str) -> Made:
        if algorithm not in keys:
            keys[algorithm] = make(algorithm, tmp_path_factory.mktemp(algorithm))
        return keys[algorithm]

    return key


def _every(algorithms: Iterable[str], files: Iterable[str]) -> pytest.MarkDecorator:
    pairs = [(algorithm, name) for algorithm in algorithms for name in files]
    return pytest.mark.parametrize(("algorithm", "name"), pairs)


def _read_one(data: bytes, secret: bytes | None = PASSPHRASE) -> Certificate | PublicKey:
    (item,) = read_items(data, lambda: secret)
    return item


def _spki_or_advice(data: bytes) -> tuple[bytes | None, str]:
    try:
        return _read_one(data).spki, ""
    except KeyParseError as exc:
        return None, exc.fix


@_every(ALGORITHMS, _PUBLIC)
def test_public_objects_have_the_spki_that_openssl_writes(
    made: Callable[[str], Made], algorithm: str, name: str
) -> None:
    key = made(algorithm)
    assert _read_one(key.file(name)).spki == key.spki


@_every(_CLASSIC, ("key.pem", "key.der"))
def test_an_unencrypted_private_key_has_the_spki_that_openssl_writes(
    made: Callable[[str], Made], algorithm: str, name: str
) -> None:
    key = made(algorithm)
    item = _read_one(key.file(name), None)
    assert isinstance(item, PublicKey)
    assert (item.spki, item.caveat, item.source) == (key.spki, "", "private key")


@_every([name for name in _CLASSIC if name not in _RSA_PSS], _SEALED)
def test_an_encrypted_key_has_the_spki_that_openssl_writes(
    made: Callable[[str], Made], algorithm: str, name: str
) -> None:
    key = made(algorithm)
    assert _read_one(key.file(name)).spki == key.spki


@_every(_RSA_PSS, _SEALED)
def test_an_encrypted_rsa_key_has_a_caveat_about_rsa_pss(
    made: Callable[[str], Made], algorithm: str, name: str
) -> None:
    key = made(algorithm)
    item = _read_one(key.file(name))
    assert isinstance(item, PublicKey)
    assert item.spki != key.spki, "no caveat is needed any more"
    assert "RSA-PSS" in item.caveat
    assert "openssl pkey -in KEY -pubout" in item.caveat


@_every(["p256", "ed25519"], _SEALED)
def test_an_encrypted_key_of_another_kind_has_no_caveat(
    made: Callable[[str], Made], algorithm: str, name: str
) -> None:
    item = _read_one(made(algorithm).file(name))
    assert isinstance(item, PublicKey)
    assert not item.caveat


@_every(TRADITIONAL, _OLD)
def test_a_key_in_the_format_before_pkcs8_has_the_spki_that_openssl_writes(
    made: Callable[[str], Made], algorithm: str, name: str
) -> None:
    key = made(algorithm)
    assert _read_one(key.file(name)).spki == key.spki


@_every(_CLASSIC, _STORES)
def test_the_certificate_of_a_pkcs12_file_is_read_unchanged(
    made: Callable[[str], Made], algorithm: str, name: str
) -> None:
    key = made(algorithm)
    item = _read_one(key.file(name))
    assert isinstance(item, Certificate)
    assert (item.der, item.spki) == (key.file("certificate.der"), key.spki)


@_every(_POST_QUANTUM, ("key.pem", "key.der", *_SEALED))
def test_an_ml_dsa_key_is_read_or_the_error_has_a_fix(
    made: Callable[[str], Made], algorithm: str, name: str
) -> None:
    key = made(algorithm)
    spki, advice = _spki_or_advice(key.file(name))
    assert spki in {key.spki, None}
    assert spki or "openssl pkey -in KEY -pubout" in advice


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_fingerprint_equals_the_output_of_openssl(
    made: Callable[[str], Made], algorithm: str
) -> None:
    line = openssl("x509", "-noout", "-fingerprint", "-sha256", data=_pem(made(algorithm)))
    certificate = Certificate.from_der(made(algorithm).file("certificate.der"))
    assert pins_of(certificate)[1] == Pin.parse(line.decode())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_pin_equals_the_output_of_the_usual_openssl_pipeline(
    made: Callable[[str], Made], algorithm: str
) -> None:
    recipe = (
        "openssl x509 -pubkey -noout | openssl pkey -pubin -outform der"
        " | openssl dgst -sha256 -binary | openssl enc -base64"
    )
    key = made(algorithm)
    done = subprocess.run(recipe, shell=True, input=_pem(key), capture_output=True, check=True)
    pin = Pin.parse(f"sha256/{done.stdout.decode().strip()}")
    assert pins_of(Certificate.from_der(key.file("certificate.der")))[0] == pin


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_a_key_in_a_curve_with_explicit_parameters_is_hashed_as_openssl_writes_it(
    made: Callable[[str], Made], form: str
) -> None:
    key = made("p256").folder / "key.pem"
    explicit = ["-pubout", "-param_enc", "explicit", "-outform", form]
    written = openssl("ec", "-in", key, *explicit)
    again = openssl("pkey", "-pubin", "-outform", "DER", data=written)
    assert _read_one(written).spki == again


def test_every_certificate_of_certifi_has_the_digests_that_openssl_gives() -> None:
    certificates = read_certificates(Path(certifi.where()).read_bytes())
    assert len(certificates) > 100
    for certificate in certificates:
        said = openssl(
            *("x509", "-inform", "DER", "-noout", "-pubkey", "-fingerprint", "-sha256"),
            data=certificate.der,
        )
        (public,) = read_items(said)
        (line,) = [line for line in said.decode().splitlines() if "Fingerprint" in line]
        assert pins_of(certificate) == (Pin.of_key(public.spki_sha256), Pin.parse(line))


def test_certpin_reads_the_same_certificates_from_a_bundle_as_openssl() -> None:
    listed = openssl("storeutl", "-certs", certifi.where())
    assert read_certificates(listed) == read_certificates(Path(certifi.where()).read_bytes())


def _pem(key: Made) -> bytes:
    return key.file("certificate.pem")
