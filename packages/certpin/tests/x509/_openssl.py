"""Make keys with the `openssl` command, in every file format that it writes."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = b"correct horse"

_PSS = ["rsa_keygen_bits:2048", "rsa_pss_keygen_md:sha256", "rsa_pss_keygen_mgf1_md:sha256"]

# The arguments of `openssl genpkey -algorithm`: the algorithm, then its options.
ALGORITHMS: dict[str, list[str]] = {
    "rsa2048": ["RSA", "rsa_keygen_bits:2048"],
    "rsa3072": ["RSA", "rsa_keygen_bits:3072"],
    "rsa4096": ["RSA", "rsa_keygen_bits:4096"],
    "rsa-pss": ["RSA-PSS", "rsa_keygen_bits:2048"],
    "rsa-pss-sha256": ["RSA-PSS", *_PSS, "rsa_pss_keygen_saltlen:32"],
    "p256": ["EC", "ec_paramgen_curve:P-256"],
    "p384": ["EC", "ec_paramgen_curve:P-384"],
    "p521": ["EC", "ec_paramgen_curve:P-521"],
    "ed25519": ["ED25519"],
    "ed448": ["ED448"],
    "ml-dsa-44": ["ML-DSA-44"],
    "ml-dsa-65": ["ML-DSA-65"],
    "ml-dsa-87": ["ML-DSA-87"],
}
# Algorithms with their own format, older than PKCS#8.
TRADITIONAL = ("rsa2048", "rsa3072", "rsa4096", "p256", "p384", "p521")


def openssl(*words: str | Path, data: bytes = b"") -> bytes:
    """Run `openssl` with these arguments and with ``data`` on stdin; return its output."""
    done = subprocess.run(["openssl", *words], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@dataclass(frozen=True)
class Made:
    """A key that `openssl` made: the folder of its files, and its public key (SPKI) in DER."""

    algorithm: str
    folder: Path
    spki: bytes

    def file(self, name: str) -> bytes:
        """Return the bytes of a file in the folder, such as ``key.pem``."""
        return (self.folder / name).read_bytes()


def make(algorithm: str, folder: Path) -> Made:
    """Make a key with `openssl`, write it in every format, and return the files.

    The test is skipped if this `openssl` can't make such a key.
    """
    kind, *options = ALGORITHMS[algorithm]
    key = folder / "key.pem"
    words = [word for option in options for word in ("-pkeyopt", option)]
    command: list[str | Path] = ["openssl", "genpkey", "-algorithm", kind, *words, "-out", key]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(f"left out: this openssl makes no {kind} keys")
    _write_keys(key, folder)
    if algorithm in TRADITIONAL:
        _write_traditional(key, folder)
    _write_signed(key, folder)
    return Made(algorithm, folder, openssl("pkey", "-in", key, "-pubout", "-outform", "DER"))


def _write_keys(key: Path, folder: Path) -> None:
    secret = f"pass:{PASSPHRASE.decode()}"
    openssl("pkey", "-in", key, "-outform", "DER", "-out", folder / "key.der")
    openssl("pkey", "-in", key, "-pubout", "-out", folder / "public.pem")
    openssl("pkey", "-in", key, "-pubout", "-outform", "DER", "-out", folder / "public.der")
    for form in ("pem", "der"):
        sealed = ["-topk8", "-outform", form.upper(), "-v2", "aes-256-cbc", "-passout", secret]
        openssl("pkcs8", "-in", key, *sealed, "-out", folder / f"sealed.{form}")


def _write_traditional(key: Path, folder: Path) -> None:
    """Write a key as PKCS#1 or SEC 1, unencrypted and encrypted with the headers of RFC 1421."""
    old: list[str | Path] = ["pkey", "-in", key, "-traditional"]
    openssl(*old, "-out", folder / "traditional.pem")
    openssl(*old, "-outform", "DER", "-out", folder / "traditional.der")
    secret = f"pass:{PASSPHRASE.decode()}"
    openssl(*old, "-aes-256-cbc", "-passout", secret, "-out", folder / "traditional-sealed.pem")


def _write_signed(key: Path, folder: Path) -> None:
    certificate = folder / "certificate.pem"
    openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=vector", "-out", certificate)
    openssl("x509", "-in", certificate, "-outform", "DER", "-out", folder / "certificate.der")
    request: list[str | Path] = ["req", "-new", "-key", key, "-subj", "/CN=vector"]
    openssl(*request, "-out", folder / "request.pem")
    openssl(*request, "-outform", "DER", "-out", folder / "request.der")
    store: list[str | Path] = ["pkcs12", "-export", "-inkey", key]
    secret = f"pass:{PASSPHRASE.decode()}"
    clear = ["-keypbe", "NONE", "-certpbe", "NONE", "-nomac", "-passout", "pass:"]
    with_certificate = [*store, "-in", certificate]
    openssl(*with_certificate, "-passout", secret, "-out", folder / "store.p12")
    openssl(*with_certificate, "-passout", "pass:", "-out", folder / "store-empty.p12")
    openssl(*with_certificate, *clear, "-out", folder / "store-clear.p12")
    openssl(*store, "-nocerts", "-passout", secret, "-out", folder / "store-key.p12")
