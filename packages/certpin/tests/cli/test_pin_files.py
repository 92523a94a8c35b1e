"""``certpin pin FILE``: every kind of file with a key or certificate, compared with openssl."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from tests.cli import _documented

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab import Identity
    from tests.cli.conftest import Run

SECRET = "correct horse"


def _request(identity: Identity) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(identity.chain[0].subject)
    return builder.sign(identity.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _public(identity: Identity) -> bytes:
    return identity.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _sealed_key(identity: Identity) -> bytes:
    return identity.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(SECRET.encode()),
    )


def _sealed_store(identity: Identity) -> bytes:
    protection = serialization.BestAvailableEncryption(SECRET.encode())
    key, (leaf, *others) = identity.key, identity.chain
    return pkcs12.serialize_key_and_certificates(b"bank", key, leaf, others, protection)  # type: ignore[arg-type]


CLEAR: dict[str, Callable[[Identity], bytes]] = {
    "chain.pem": lambda identity: identity.chain_pem,
    "leaf.der": lambda identity: identity.certificate.der,
    "request.csr": _request,
    "public.pem": _public,
    "key.pem": lambda identity: identity.key_pem,
}
SEALED: dict[str, Callable[[Identity], bytes]] = {"key.pem": _sealed_key, "bank.p12": _sealed_store}


@pytest.mark.parametrize("name", CLEAR)
def test_a_file_shows_the_pin_of_its_key(run: Run, identity: Identity, name: str) -> None:
    Path(name).write_bytes(CLEAR[name](identity))
    done = run("pin", name)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0] == name
    assert f"  pin          {identity.pin}\n" in done.out


@pytest.mark.parametrize("name", CLEAR)
def test_as_json_every_field_of_a_file_is_as_documented(
    run: Run, identity: Identity, name: str
) -> None:
    Path(name).write_bytes(CLEAR[name](identity))
    (found,) = run("pin", name, "--json").json["targets"]
    _documented.check("file", found)
    assert found["file"] == name
    assert found["items"][0]["pin"] == str(identity.pin)


@pytest.mark.medium
@pytest.mark.parametrize("name", SEALED)
def test_a_passphrase_comes_from_the_environment(run: Run, identity: Identity, name: str) -> None:
    Path(name).write_bytes(SEALED[name](identity))
    done = run("pin", name, CERTPIN_PASSPHRASE=SECRET)
    assert done.code == 0
    assert str(identity.pin) in done.out
    assert SECRET not in done.out


@pytest.mark.medium
@pytest.mark.parametrize("name", SEALED)
@pytest.mark.parametrize("given", [{}, {"CERTPIN_PASSPHRASE": "wrong"}, {"CERTPIN_PASSPHRASE": ""}])
def test_without_the_right_passphrase_the_file_is_not_opened(
    run: Run, identity: Identity, name: str, given: dict[str, str]
) -> None:
    Path(name).write_bytes(SEALED[name](identity))
    done = run("pin", name, **given)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"certpin: {name}: ")
    assert "passphrase" in done.err


def test_files_are_printed_in_their_order(run: Run, identity: Identity) -> None:
    for name, content in CLEAR.items():
        Path(name).write_bytes(content(identity))
    assert [target["file"] for target in run("pin", *CLEAR, "--json").json["targets"]] == list(
        CLEAR
    )


@pytest.mark.peer("openssl")
def test_the_pin_is_the_digest_of_openssl(run: Run, identity: Identity) -> None:
    Path("leaf.pem").write_bytes(identity.chain_pem)
    command = (
        "openssl x509 -in leaf.pem -pubkey -noout | openssl pkey -pubin -outform der"
        " | openssl dgst -sha256 -binary | openssl base64"
    )
    shell = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert f"  pin          sha256/{shell.stdout.strip()}\n" in run("pin", "leaf.pem").out


def test_a_pipe_of_the_shell_is_read_like_a_file(run: Run, identity: Identity) -> None:
    reading, writing = os.pipe()
    os.write(writing, identity.chain_pem)
    os.close(writing)
    done = run("pin", f"/dev/fd/{reading}")
    os.close(reading)
    assert (done.code, str(identity.pin) in done.out) == (0, True)


@pytest.mark.parametrize("target", ["./server.pem", "/no/such/file.pem", "certs/"])
def test_a_missing_path_is_not_contacted(run: Run, target: str) -> None:
    done = run("pin", target)
    assert (done.code, done.out) == (2, "")
    assert f"there is no file {target}" in done.err


@pytest.mark.parametrize("content", [b"", b"junk", b"\0" * 1000, b"-----BEGIN CERTIFICATE-----"])
def test_a_file_without_certificates_and_keys_is_named(run: Run, content: bytes) -> None:
    Path("junk.pem").write_bytes(content)
    done = run("pin", "junk.pem")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("certpin: junk.pem: ")


def test_an_endless_file_is_an_error(run: Run) -> None:
    done = run("pin", "/dev/zero")
    assert (done.code, done.out) == (2, "")
    assert "more than 16777216 bytes" in done.err


def test_a_hostile_file_name_does_not_reach_the_terminal(run: Run, identity: Identity) -> None:
    name = "a\x1b[2J\udcff.pem"
    Path(name).write_bytes(identity.chain_pem)
    assert run("pin", name).out.splitlines()[0] == r"a\x1b[2J\udcff.pem"
    Path(name).write_bytes(b"junk")
    assert r"a\x1b[2J\udcff.pem: " in run("pin", name).err
    assert run("pin", name, "--json").code == 2
