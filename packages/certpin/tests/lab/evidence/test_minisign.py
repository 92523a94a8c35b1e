"""Signatures in minisign's format, verified by the minisign program and by a separate reader."""

from __future__ import annotations

import base64
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidSignature

from certpin.errors import ConfigError
from certpin.lab.evidence.minisign import load_key
from tests.lab.evidence import _minisign

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"digest  report.html\n"


def test_a_signature_verifies_and_names_its_file(tmp_path: Path) -> None:
    key = load_key(_minisign.write_key(tmp_path / "key"), _minisign.no_passphrase)
    signature = key.sign(DATA, "SHA256SUMS", 1_800_000_000)
    comment = _minisign.verify(signature, DATA, key.public)
    assert comment == "timestamp:1800000000\tfile:SHA256SUMS\thashed"
    assert signature == key.sign(DATA, "SHA256SUMS", 1_800_000_000)
    assert signature.endswith("\n")


def test_a_signature_of_other_data_or_comments_does_not_verify(tmp_path: Path) -> None:
    key = load_key(_minisign.write_key(tmp_path / "key"), _minisign.no_passphrase)
    signature = key.sign(DATA, "SHA256SUMS", 1)
    with pytest.raises(InvalidSignature):
        _minisign.verify(signature, DATA + b" ", key.public)
    with pytest.raises(InvalidSignature):
        _minisign.verify(signature.replace("timestamp:1", "timestamp:2"), DATA, key.public)


def test_an_encrypted_key_needs_its_passphrase(tmp_path: Path) -> None:
    path = _minisign.write_key(tmp_path / "key", passphrase=b"correct horse")
    assert load_key(path, lambda: b"correct horse").key_id == _minisign.KEY_ID
    with pytest.raises(ConfigError, match="has another passphrase"):
        load_key(path, lambda: b"wrong horse")
    with pytest.raises(ConfigError, match="CERTPIN_PASSPHRASE"):
        load_key(path, lambda: None)


@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_a_key_may_come_through_a_pipe(tmp_path: Path, passphrase: bytes | None) -> None:
    content = _minisign.write_key(tmp_path / "key", passphrase=passphrase).read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(pipe.write_bytes, content)
        assert load_key(pipe, lambda: passphrase).key_id == _minisign.KEY_ID


def _changed(path: Path, at: int, new: bytes) -> Path:
    first, encoded = path.read_text().splitlines()
    data = bytearray(base64.b64decode(encoded))
    data[at : at + len(new)] = new
    path.write_text(f"{first}\n{base64.b64encode(data).decode()}\n")
    return path


@pytest.mark.parametrize(
    ("at", "new", "problem"),
    [
        (0, b"XX", "is not a secret key of minisign"),
        (4, b"XX", "is not a secret key of minisign"),
        (2, b"XX", "is encrypted in an unknown way"),
        (70, b"\xff\xff", "its two halves differ"),
        (100, b"\xff\xff", "its two halves differ"),
    ],
)
def test_a_damaged_key_signs_nothing(tmp_path: Path, at: int, new: bytes, problem: str) -> None:
    path = _changed(_minisign.write_key(tmp_path / "key"), at, new)
    with pytest.raises(ConfigError, match=problem):
        load_key(path, _minisign.no_passphrase)


@pytest.mark.parametrize("at", [38, 46])
def test_a_hostile_key_cannot_take_all_memory(tmp_path: Path, at: int) -> None:
    path = _minisign.write_key(tmp_path / "key", passphrase=b"x")
    with pytest.raises(ConfigError, match="more than 1 GiB"):
        load_key(_changed(path, at, b"\xff" * 8), lambda: b"x")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"untrusted comment: x\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n",
        b"untrusted comment: x\n%%%\n",
        b"untrusted comment: x\nAAAA\n",
        b"untrusted comment: \xff\n\xff\n",
        b"untrusted comment: x\n" + b"A" * 5000,
    ],
)
def test_another_file_is_no_key(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match="is not a secret key of minisign"):
        load_key(path, _minisign.no_passphrase)


def test_a_missing_key_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_key(tmp_path / "none", _minisign.no_passphrase)


def _run(*words: str | Path, typed: str = "") -> int:
    done = subprocess.run(
        ("minisign", *words), input=typed, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode


@pytest.mark.slow
@pytest.mark.peer("minisign")
@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_minisign_verifies_what_its_own_key_signed(tmp_path: Path, passphrase: str | None) -> None:
    public, secret, file = tmp_path / "a.pub", tmp_path / "a.key", tmp_path / "SHA256SUMS"
    file.write_bytes(DATA)
    words = ("-G", "-p", public, "-s", secret)
    if passphrase is None:
        assert _run("-W", *words) == 0
    else:
        assert _run(*words, typed=f"{passphrase}\n{passphrase}\n") == 0
    ask = _minisign.no_passphrase if passphrase is None else passphrase.encode
    key = load_key(secret, ask)
    assert public.read_text().splitlines()[1] == key.public
    (tmp_path / "SHA256SUMS.minisig").write_text(key.sign(DATA, file.name, 1_800_000_000))
    assert _run("-V", "-p", public, "-m", file) == 0
    assert _run("-V", "-P", key.public, "-m", file) == 0
    file.write_bytes(DATA + b" ")
    assert _run("-V", "-p", public, "-m", file) != 0
