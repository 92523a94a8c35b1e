"""Rule 6: the pinned bytes are those in the certificate, and they are strict DER."""

from __future__ import annotations

import ssl
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from certpin import CertificateParseError, Pin, PinError, PinMismatchError, PinnedSSLContext
from certpin.lab import Identity
from certpin.tls.gate import Gate
from tests import kit
from tests.tls._servers import EncodedCertificate, server_sending
from tests.tls._wire import HOST, Wire
from tests.x509 import _openssl
from tests.x509 import _tree as tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.tls.conftest import World

_DER = serialization.Encoding.DER

pytestmark = pytest.mark.peer("openssl")  # the openssl command, for keys that only it can make

KEYS: dict[str, Callable[[], Any]] = {
    "RSA 2048": lambda: rsa.generate_private_key(65537, 2048),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}


@pytest.mark.parametrize("make", KEYS.values(), ids=KEYS)
def test_the_pin_of_every_key_type_matches_in_a_handshake(
    world: World, tmp_path: Path, make: Callable[[], Any]
) -> None:
    key = make()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pin = Pin.of_key(sha256(key.public_key().public_bytes(_DER, form)).digest())
    identity = world.intermediate.issue(HOST, key=key)
    wire = Wire(world.context(pin), server_sending(identity, tmp_path)).shake()
    assert wire.client.pin_verdict.matched.pin == pin


@pytest.mark.parametrize("algorithm", ["rsa-pss", "rsa-pss-sha256"])
def test_the_pin_of_an_rsa_pss_key_is_that_of_openssl(
    world: World, tmp_path: Path, algorithm: str
) -> None:
    # cryptography reads such a key as plain RSA, and would hash a different SPKI from openssl's.
    made = _openssl.make(algorithm, tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(_issued_by_openssl(world, tmp_path), tmp_path / "key.pem")
    pin = Pin.of_key(sha256(made.spki).digest())
    wire = Wire(world.context(pin), server).shake()
    assert wire.client.pin_verdict.matched.pin == pin
    refused = Wire(world.context(_as_plain_rsa(tmp_path)), server)
    with pytest.raises(PinMismatchError):
        refused.shake()


def _as_plain_rsa(folder: Path) -> Pin:
    """Return the pin of the RSA key in ``folder``, encoded as a plain RSA key.

    The certificate's own encoding names RSA-PSS, so its pin differs.
    """
    key: Any = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
    plain = key.public_key().public_numbers().public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return Pin.of_key(sha256(plain.public_bytes(_DER, form)).digest())


def _issued_by_openssl(world: World, folder: Path) -> Path:
    """Issue a certificate for the key in ``folder`` with `openssl`; return the chain's file.

    The lab can't issue it, because it would encode the key as a plain RSA key.
    """
    issuer = Identity(world.intermediate.key, (world.intermediate.x509,))
    certificate, key = issuer.write(folder, "issuer")
    extensions = folder / "extensions"
    extensions.write_text(
        f"subjectAltName=DNS:{HOST}\nkeyUsage=critical,digitalSignature\n"
        "basicConstraints=critical,CA:FALSE\nsubjectKeyIdentifier=hash\n"
        "authorityKeyIdentifier=keyid\n"
    )
    leaf = folder / "leaf.pem"
    _openssl.openssl(
        "x509", "-req", "-in", folder / "request.pem", "-CA", certificate, "-CAkey", key,
        "-days", "30", "-extfile", extensions, "-out", leaf,
    )  # fmt: skip
    leaf.write_bytes(leaf.read_bytes() + issuer.chain_pem)
    return leaf


def _changed(world: World, key: Any, path: tuple[int, ...], change: tree.Change) -> bytes:
    """Return a leaf for ``key`` that is changed at ``path``, and then signed."""
    leaf = tree.parse(world.intermediate.issue(HOST, key=key).certificate.der)
    return tree.signed(tree.replaced(leaf, path, change), world.intermediate.key)


LOOSE = {
    "a padded length": (KEYS["P-256"], (0, 6), tree.with_padded_length, "it cannot be parsed"),
    "no NULL": (KEYS["RSA 2048"], (0, 6, 0), tree.without_last, "RFC 3279 section 2.3.1"),
}


@pytest.mark.parametrize("mode", ["enforce", "report"])
@pytest.mark.parametrize("what", LOOSE)
def test_a_certificate_that_openssl_reads_loosely_is_refused(
    world: World, tmp_path: Path, what: str, mode: Any
) -> None:
    make, path, change, reason = LOOSE[what]
    key = make()
    loose: Any = EncodedCertificate(_changed(world, key, path, change))
    identity = Identity(key, (loose, world.intermediate.x509))
    server = server_sending(identity, tmp_path)
    plain = Wire(ssl.create_default_context(), server).shake()
    assert plain.client.getpeercert(), "OpenSSL itself accepts it"
    pins = (world.good.pin, world.intermediate.pin)
    with pytest.raises(PinError, match=f"in DER that follows RFC 5280: .*{reason}") as refusal:
        Wire(world.context(*pins, mode=mode), server).shake()
    assert refusal.value.host == HOST
    assert isinstance(refusal.value.__cause__, CertificateParseError)
    assert "ParseError {" not in str(refusal.value)


class _Certificate:
    def __init__(self, der: bytes) -> None:
        self._der = der

    def public_bytes(self, _: int) -> bytes:
        return self._der


class _Raw:
    """Substitute for OpenSSL's connection object after a handshake with the given chain.

    It has only what the pin check reads.
    """

    session_reused = False

    def __init__(self, *chain: bytes) -> None:
        self._chain = [_Certificate(der) for der in chain]

    def get_verified_chain(self) -> list[_Certificate]:
        return self._chain

    get_unverified_chain = get_verified_chain


def _check(context: PinnedSSLContext) -> Gate:
    enforcer = context._enforcer
    return Gate(enforcer, enforcer.state, enforcer.require_target(enforcer.state, HOST))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda der: b"", id="empty"),
        pytest.param(lambda der: der + b"\0", id="bytes behind it"),
        pytest.param(lambda der: der[:-1], id="cut off"),
        pytest.param(lambda der: b"\x30\x80" + der[4:] + b"\0\0", id="indefinite length"),
        pytest.param(lambda der: b"\x30\x83\0" + der[2:], id="padded length"),
    ],
)
def test_junk_in_the_verified_chain_is_refused_with_the_typed_error(
    world: World, spoil: Callable[[bytes], bytes]
) -> None:
    good = [each.public_bytes(_DER) for each in (*world.good.chain, world.root.x509)]
    check = _check(world.context())
    check.judge(_Raw(*good))
    assert check.verdict is not None
    assert check.verdict.reason == "match"
    for index in range(len(good)):
        chain = [*good[:index], spoil(good[index]), *good[index + 1 :]]
        with pytest.raises(PinError, match=r"an X\.509 certificate in DER that follows RFC 5280"):
            _check(world.context()).judge(_Raw(*chain))


def test_the_key_is_pinned_not_the_certificate(world: World, tmp_path: Path) -> None:
    renewed = world.intermediate.issue(HOST, key=world.good.key)
    assert renewed.certificate.sha256 != world.good.certificate.sha256
    Wire(world.context(), server_sending(renewed, tmp_path)).shake()
    whole = Pin("cert-sha256", world.good.certificate.sha256)
    context = PinnedSSLContext(kit.pin_set(kit.policy(HOST, whole)))
    Wire(context, server_sending(world.good, tmp_path)).shake()
    with pytest.raises(PinMismatchError):
        Wire(context, server_sending(renewed, tmp_path)).shake()
