"""``certpin rotate csr``: makes a certificate request for the published key, not for a new one."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import pkcs12

from certpin.lab import Authority
from certpin.pins import Pin
from certpin.x509.keys import new_private_key
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write

if TYPE_CHECKING:
    from certpin.pins import Match
    from certpin.x509.keys import KeyAlgorithm
    from tests.cli.conftest import Done, Run

HOST = "api.bank.example"
SECRET = b"correct horse"


def key_file(algorithm: KeyAlgorithm = "p256", passphrase: bytes | None = None) -> Pin:
    """Write a new private key to ``next.key``, and return its pin."""
    pem, public = new_private_key(algorithm, passphrase)
    Path("next.key").write_bytes(pem)
    return Pin.of_key(public.spki_sha256)


def requested(done: Done) -> x509.CertificateSigningRequest:
    assert done.code == 0, done.err
    request = x509.load_pem_x509_csr(done.out.encode())
    assert request.is_signature_valid
    return request


def names(request: x509.CertificateSigningRequest) -> list[str]:
    found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in found]


@pytest.mark.medium
@pytest.mark.parametrize("algorithm", ["p256", "p384", "rsa2048", "ed25519"])
def test_the_request_is_for_the_key_of_the_file(run: Run, algorithm: KeyAlgorithm) -> None:
    pin = key_file(algorithm)
    request = requested(run("rotate", "csr", "next.key", "--host", HOST))
    assert request.subject.rfc4514_string() == f"CN={HOST}"
    spki = request.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert Pin.of_key(hashlib.sha256(spki).digest()) == pin


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("algorithm", ["p256", "p384", "rsa2048", "ed25519"])
def test_openssl_verifies_the_request(run: Run, algorithm: KeyAlgorithm) -> None:
    key_file(algorithm)
    assert run("rotate", "csr", "next.key", "--host", HOST, "-o", "next.csr").code == 0
    words = ["openssl", "req", "-in", "next.csr", "-verify", "-noout"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "verify OK" in done.stdout + done.stderr


def test_the_request_has_the_given_names(run: Run) -> None:
    key_file()
    words = ("--host", "API.bank.example", "--host", "*.bank.example", "--host", "[2001:db8::7]")
    request = requested(run("rotate", "csr", "next.key", *words))
    assert names(request) == [HOST, "*.bank.example", "2001:db8::7"]


def test_a_name_too_long_for_the_subject_is_only_an_alternative_name(run: Run) -> None:
    key_file()
    host = f"{'a' * 60}.bank.example"
    request = requested(run("rotate", "csr", "next.key", "--host", host))
    assert (list(request.subject), names(request)) == ([], [host])


def test_without_names_the_request_is_for_the_hosts_with_the_key(run: Run) -> None:
    pin = key_file()
    write(kit.policy(HOST, kit.NOBODY, pin), kit.policy("other.example"))
    assert names(requested(run("rotate", "csr", "next.key"))) == [HOST]


def test_without_names_the_request_for_a_new_key_is_for_the_only_host(run: Run) -> None:
    key_file()
    write(kit.policy(HOST))
    assert names(requested(run("rotate", "csr", "next.key"))) == [HOST]


def test_with_several_hosts_the_user_must_name_one(run: Run) -> None:
    key_file()
    write(kit.policy(HOST), kit.policy("other.example"))
    done = run("rotate", "csr", "next.key")
    assert (done.code, "--host" in done.err) == (2, True)


@pytest.mark.parametrize("host", ["**.bank.example", "a..b", "api.bank.example:443"])
def test_an_invalid_certificate_name_is_refused(run: Run, host: str) -> None:
    key_file()
    assert run("rotate", "csr", "next.key", "--host", host).code == 2


def test_no_file_is_overwritten(run: Run) -> None:
    key_file()
    before = Path("next.key").read_bytes()
    done = run("rotate", "csr", "next.key", "--host", HOST, "--out", "next.key")
    assert (done.code, "cannot be written" in done.err) == (2, True)
    assert Path("next.key").read_bytes() == before


@pytest.mark.parametrize("out", [(), ("--out", "next.csr")])
def test_the_json_is_as_documented(run: Run, out: tuple[str, ...]) -> None:
    pin = key_file()
    done = run("rotate", "csr", "next.key", "--host", HOST, *out, "--json")
    _documented.check("certificate request", done.json)
    assert done.json["pin"] == str(pin)
    assert done.json["file"] == (out[1] if out else None)
    assert x509.load_pem_x509_csr(done.json["request"].encode()).is_signature_valid


@pytest.mark.medium
def test_an_encrypted_key_is_opened(run: Run) -> None:
    key_file(passphrase=SECRET)
    words = ("rotate", "csr", "next.key", "--host", HOST)
    requested(run(*words, CERTPIN_PASSPHRASE=SECRET.decode()))
    wrong = run(*words, CERTPIN_PASSPHRASE="wrong battery")
    assert (wrong.code, "wrong battery" in wrong.err) == (2, False)
    assert wrong.err.startswith("certpin: next.key: the passphrase of its private key is wrong")
    missing = run(*words)
    assert missing.code == 2
    assert missing.err == (
        "certpin: next.key: its private key is encrypted\n"
        "  fix: set CERTPIN_PASSPHRASE, or use a terminal\n"
    )


@pytest.mark.medium
@pytest.mark.parametrize("form", ["der", "pkcs12"])
def test_a_key_in_another_container_is_read(run: Run, form: str) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    der = private.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    sealed = pkcs12.serialize_key_and_certificates(
        b"", private, None, None, serialization.BestAvailableEncryption(SECRET)
    )
    Path("next.key").write_bytes(der if form == "der" else sealed)
    words = ("rotate", "csr", "next.key", "--host", HOST)
    requested(run(*words, CERTPIN_PASSPHRASE=SECRET.decode()))


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["public", "nothing", "p521", "dsa", "certificates"])
def test_an_unusable_key_is_refused(run: Run, kind: str) -> None:
    makers: dict[str, Any] = {
        "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
        "dsa": lambda: dsa.generate_private_key(2048),
        "public": lambda: rsa.generate_private_key(65537, 2048),
        "certificates": lambda: rsa.generate_private_key(65537, 2048),
    }
    data = b"nothing at all"
    if kind == "public":
        data = (
            makers[kind]()
            .public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
    elif kind == "certificates":
        from certpin.lab import Authority

        certificate = x509.load_pem_x509_certificate(Authority("Root").pem)
        data = pkcs12.serialize_key_and_certificates(
            b"", None, certificate, None, serialization.NoEncryption()
        )
    elif kind in makers:
        data = makers[kind]().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    Path("next.key").write_bytes(data)
    done = run("rotate", "csr", "next.key", "--host", HOST, CERTPIN_PASSPHRASE="x")
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


@pytest.mark.peer("openssl")
def test_an_rsa_pss_key_that_would_change_its_pin_is_refused(run: Run) -> None:
    words = ["openssl", "genpkey", "-algorithm", "RSA-PSS", "-out", "next.key"]
    subprocess.run(words, capture_output=True, check=True)
    done = run("rotate", "csr", "next.key", "--host", HOST)
    assert (done.code, "signs no certificate request" in done.err) == (2, True)


def test_a_pinned_key_that_no_authority_certifies_is_lost(run: Run) -> None:
    """A pin file that was written by hand may pin an Ed25519 key: a pin doesn't show the type."""
    pin = key_file("ed25519")
    write(kit.policy(HOST, kit.NOBODY, pin))
    assert run("rotate", "shipped", "3", "--offline").code == 0
    for words in (
        ("csr", "next.key", "--host", HOST),
        ("switch", "next.key", "--offline"),
        ("plan", "--to", "next.key", "--offline"),
        ("simulate", "--to", "next.key", "--offline"),
    ):
        done = run("rotate", *words)
        assert (done.code, "no public authority issues" in done.err) == (2, True)
        assert f"fix: record that no server can use it: certpin rotate emergency {pin}" in done.err
    write(kit.policy(HOST, kit.NOBODY, pin), trust=_own_root())
    assert run("rotate", "csr", "next.key").code == 0


def _own_root() -> Path:
    Path("root.pem").write_bytes(Authority("Private Root").pem)
    return Path("root.pem")


def test_a_host_that_the_pin_file_lacks_is_a_warning(run: Run) -> None:
    pin = key_file()
    write(kit.policy(HOST, pin, kit.NOBODY))
    done = run("rotate", "csr", "next.key", "--host", "api.bank.exampel")
    assert (done.code, f"has no host api.bank.exampel; it has {HOST}" in done.err) == (0, True)
    assert "has no host" not in run("rotate", "csr", "next.key", "--host", HOST).err


def test_a_key_that_flutter_apps_refuse_is_not_known_or_refused(run: Run) -> None:
    """A private authority certifies any key, but Dart's TLS can't use each of them."""
    root = _own_root()
    pin = key_file("ed25519")
    write(kit.policy(HOST, kit.NOBODY, kit.NOBODY_ELSE, match="leaf"), trust=root)
    assert run("rotate", "shipped", "3", "--offline").code == 0
    started = run("rotate", "start", "next.key")
    said = "Not known: whether Flutter apps connect to servers with this key: their TLS refuses"
    assert (started.code, said in " ".join(started.out.split())) == (0, True), started.err
    for words in (("switch", "next.key"), ("plan", "--to", "next.key")):
        assert said in " ".join(run("rotate", *words, "--offline").out.split())
    Path("publish").mkdir()
    settings = Path("publish/publish.toml")
    settings.write_text("flutter = true\n", encoding="utf-8")
    for words in (("start", "next.key"), ("switch", "next.key", "--offline")):
        refused = run("rotate", *words)
        assert (refused.code, "their TLS refuses Ed25519" in refused.err) == (2, True)
        assert "write flutter = false into publish/publish.toml" in refused.err
    settings.write_text("flutter = false\n", encoding="utf-8")
    assert "Not known: whether Flutter" in run("rotate", "start", "next.key").out
    write(kit.policy(HOST, kit.NOBODY, pin, match="leaf"), trust=root)
    settings.write_text("flutter = true\n", encoding="utf-8")
    assert "their TLS refuses" not in run("rotate", "switch", "next.key", "--offline").err, "used"


@pytest.mark.parametrize("match", ["any", "ca"])
@pytest.mark.parametrize("algorithm", [Ed25519PrivateKey, Ed448PrivateKey])
def test_the_authority_of_a_backup_may_have_a_key_that_no_server_may_have(
    run: Run, algorithm: type[Ed25519PrivateKey | Ed448PrivateKey], match: Match
) -> None:
    """Dart verifies signatures of Ed25519, and none of Ed448."""
    refused = algorithm is Ed448PrivateKey
    root = Path("root.pem")
    root.write_bytes(Authority("Private Root", key=algorithm.generate()).pem)
    write(kit.policy(HOST, kit.NOBODY, kit.NOBODY_ELSE, match=match), trust=root)
    assert run("rotate", "shipped", "3", "--offline").code == 0
    started = run("rotate", "start", "root.pem")
    note = "Not known: whether Flutter apps accept the chains of this authority"
    assert (started.code, note in " ".join(started.out.split())) == (0, refused), started.err
    Path("publish").mkdir()
    Path("publish/publish.toml").write_text("flutter = true\n", encoding="utf-8")
    started = run("rotate", "start", "root.pem")
    code = 2 if refused else 0
    assert (started.code, "refuses signatures of Ed448" in started.err) == (code, refused)


def test_a_key_that_flutter_apps_refuse_at_any_of_its_hosts_is_not_known(run: Run) -> None:
    """At the first host, clients compare only authorities: no server's key is pinned there."""
    key_file("ed25519")
    hosts = {"a.bank.example": "ca", "b.bank.example": "leaf"}
    write(*(kit.policy(host, match=match) for host, match in hosts.items()), trust=_own_root())
    assert run("rotate", "shipped", "3", "--offline").code == 0
    note = "Not known: whether Flutter apps connect"
    for chosen, is_noted in ((["a.bank.example"], False), ([*hosts], True)):
        options = [word for host in chosen for word in ("--host", host)]
        started = run("rotate", "start", "next.key", *options)
        assert (started.code, note in " ".join(started.out.split())) == (0, is_noted), started.err
