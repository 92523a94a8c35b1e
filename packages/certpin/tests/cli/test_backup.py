"""``certpin add --backup-key``: the new key is pinned, and only its owner can read it."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.cli.options import is_on_token
from certpin.errors import TokenError
from certpin.lab import Identity
from certpin.pinfile import PinSet, editor
from certpin.x509.keys import KeyAlgorithm, public_authority_refusal
from tests import kit
from tests.cli._rotating import next_number
from tests.cli.conftest import program

if TYPE_CHECKING:
    from certpin.lab import Authority
    from tests.cli.conftest import Run

SECRET = "correct horse"
# With a known pin, no server is contacted.
ADD = ("add", "shop.example", "--pin", str(kit.NOBODY), "--backup-key", "backup.key")


def backup_pin() -> str:
    return str(PinSet.load("pins.toml").policies[0].pins[1].pin)


def openssl_pin(path: str, *words: str) -> str:
    command = (
        f"openssl pkey -in {path} {' '.join(words)} -pubout -outform der"
        " | openssl dgst -sha256 -binary | openssl base64"
    )
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    return f"sha256/{done.stdout.strip()}"


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("kind", get_args(KeyAlgorithm))
def test_the_pin_is_that_of_openssl(run: Run, root: Authority, kind: str) -> None:
    Path("root.pem").write_bytes(root.pem)
    assert run(*ADD, "--key-type", kind, "--ca-file", "root.pem").code == 0
    assert backup_pin() == openssl_pin("backup.key")


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_the_key(run: Run, mask: int) -> None:
    old = os.umask(mask)
    try:
        assert run(*ADD).code == 0
    finally:
        os.umask(old)
    assert stat.S_IMODE(Path("backup.key").stat().st_mode) == 0o600


def test_an_unencrypted_key_is_reported(run: Run) -> None:
    done = run(*ADD)
    assert "The backup key is in backup.key (mode 600, NOT encrypted; see --ask-passphrase)." in (
        done.out.splitlines()
    )
    load_pem_private_key(Path("backup.key").read_bytes(), None)


@pytest.mark.peer("openssl")
def test_a_passphrase_in_the_environment_encrypts_the_key(run: Run) -> None:
    done = run(*ADD, CERTPIN_PASSPHRASE=SECRET)
    assert (done.code, "(mode 600, encrypted)" in done.out) == (0, True)
    assert SECRET not in done.out + Path("pins.toml").read_text()
    assert Path("backup.key").read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert backup_pin() == openssl_pin("backup.key", "-passin", f"'pass:{SECRET}'")


@pytest.mark.medium
def test_the_pin_of_the_written_key_is_shown_again(run: Run) -> None:
    run(*ADD, CERTPIN_PASSPHRASE=SECRET)
    assert backup_pin() in run("pin", "backup.key", CERTPIN_PASSPHRASE=SECRET).out


def test_a_typed_passphrase_has_precedence_over_the_environment(run: Run) -> None:
    done = run(
        *ADD, "--ask-passphrase", typed=f"{SECRET}\n{SECRET}\n", CERTPIN_PASSPHRASE="another"
    )
    assert done.code == 0
    assert "Passphrase for the backup key" in done.err
    assert SECRET not in done.out + done.err
    load_pem_private_key(Path("backup.key").read_bytes(), SECRET.encode())


def test_a_passphrase_that_is_not_repeated_is_asked_for_again(run: Run) -> None:
    done = run(*ADD, "--ask-passphrase", typed=f"one\ntwo\n{SECRET}\n{SECRET}\n")
    assert (done.code, "do not match" in done.err) == (0, True)
    load_pem_private_key(Path("backup.key").read_bytes(), SECRET.encode())


@pytest.mark.medium
@pytest.mark.usefixtures("run")
def test_without_a_passphrase_nothing_is_written() -> None:
    process = program(*ADD, "--ask-passphrase", start_new_session=True)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "certpin: stopped"
    assert list(Path().iterdir()) == []


def test_a_passphrase_too_long_for_openssl_is_refused(run: Run) -> None:
    assert run(*ADD, CERTPIN_PASSPHRASE="x" * 1023).code == 0
    done = run(*ADD[:-1], "other.key", "--file", "other.toml", CERTPIN_PASSPHRASE="x" * 1024)
    assert (done.code, "at most 1023 bytes" in done.err) == (2, True)


def test_another_file_is_never_overwritten(run: Run) -> None:
    Path("backup.key").write_text("precious")
    done = run(*ADD)
    assert (done.code, done.out) == (2, "")
    assert "File exists" in done.err
    assert Path("backup.key").read_text() == "precious"
    assert not Path("pins.toml").exists()


def test_a_dangling_link_is_not_followed(run: Run) -> None:
    Path("backup.key").symlink_to("elsewhere.key")
    assert run(*ADD).code == 2
    assert not Path("elsewhere.key").exists()


def test_a_missing_folder_is_reported(run: Run) -> None:
    done = run(*ADD[:-1], "no/such/backup.key")
    assert (done.code, "No such file or directory" in done.err) == (2, True)
    assert list(Path().iterdir()) == []


def test_a_key_is_deleted_if_its_pin_cannot_be_written(run: Run) -> None:
    done = run(*ADD, "--file", "no/such/pins.toml")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("certpin: no/such/pins.toml")
    assert not Path("backup.key").exists()


def test_a_key_is_deleted_if_the_disk_is_full(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    done = run(*ADD)
    assert (done.code, "No space left on device" in done.err) == (2, True)
    assert list(Path().iterdir()) == []


def test_a_key_is_deleted_if_the_user_interrupts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        assert Path("backup.key").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(editor, "write_atomically", interrupted)
    assert run(*ADD).code == 130
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        [*ADD, "--backup-pin", str(kit.NOBODY_ELSE)],
        [*ADD[:-2], "--backup-pin", str(kit.NOBODY_ELSE), "--ask-passphrase"],
        [*ADD, "--key-type", "dsa"],
    ],
)
def test_options_that_contradict_each_other_are_refused(run: Run, words: list[str]) -> None:
    assert run(*words).code == 2
    assert list(Path().iterdir()) == []


def test_each_key_is_new(run: Run) -> None:
    first = run(*ADD, "--json").json
    second = run(*ADD[:-1], "other.key", "--file", "other.toml", "--json").json
    assert first["pins"][1] != second["pins"][1]


@pytest.mark.parametrize("path", ["backup.key", "./a:b", "/keys/a:b", "C:\\keys\\a", "", ":x"])
def test_a_path_is_no_uri(path: str) -> None:
    assert not is_on_token(path)


@pytest.mark.parametrize(
    "uri", ["gnupg:key", "GNUPG:key", "file:key.pem", "https://kms/key", "a.b+c-d:"]
)
def test_a_uri_of_another_scheme_is_refused(uri: str) -> None:
    with pytest.raises(TokenError, match="not supported"):
        is_on_token(uri)


# Keys that no public authority certifies.


def test_a_key_that_no_public_authority_certifies_is_not_made(run: Run, root: Authority) -> None:
    Path("root.pem").write_bytes(root.pem)
    done = run(*ADD, "--key-type", "ed25519")
    assert (done.code, "Baseline Requirements (6.1.5)" in done.err) == (2, True)
    assert not Path("backup.key").exists()
    assert not Path("pins.toml").exists()
    done = run(*ADD, "--key-type", "ed25519", "--ca-file", "root.pem")
    said = "whether Flutter apps connect to servers with this key: their TLS refuses Ed25519"
    assert (done.code, said in " ".join(done.out.split())) == (0, True)
    assert run("rotate", "shipped", "1", "--offline").code == 0
    words = ("--new", "next.key", "--key-type", "ed25519")
    assert run("rotate", "start", *words).code == 0


@pytest.mark.parametrize("kind", ["ed25519", "p521"])
def test_a_key_that_no_public_authority_certifies_is_not_staged(
    run: Run, root: Authority, kind: str
) -> None:
    Path("root.pem").write_bytes(root.pem)
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else _p521()
    Path("next.key").write_bytes(Identity(key, ()).key_pem)
    assert run(*ADD).code == 0
    assert run("rotate", "shipped", next_number(), "--offline").code == 0
    assert run("rotate", "start", "--new", "x.key", "--key-type", "ed25519").code == 2
    before = Path("pins.toml").read_bytes()
    done = run("rotate", "start", "next.key")
    assert (done.code, "no public authority" in done.err) == (2, True)
    assert Path("pins.toml").read_bytes() == before
    own = before.decode().replace("mode =", 'trust = "root.pem"\nmode =')
    Path("pins.toml").write_text(own, encoding="utf-8")
    assert run("rotate", "start", "next.key").code == 0


@pytest.mark.parametrize("kind", ["ed25519", "p521"])
def test_a_backup_that_no_public_authority_certifies_is_not_added(
    run: Run, root: Authority, kind: str
) -> None:
    Path("root.pem").write_bytes(root.pem)
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else _p521()
    Path("next.key").write_bytes(Identity(key, ()).key_pem)
    words = (*ADD[:-2], "--backup-pin", "next.key")
    done = run(*words)
    assert (done.code, "no public authority" in done.err) == (2, True)
    assert not Path("pins.toml").exists()
    done = run(*words, "--ca-file", "root.pem", "--json")
    [unknown] = done.json["unknown"]
    assert (done.code, unknown.startswith("whether Flutter apps connect")) == (0, True)
    assert "key file next.key" in Path("pins.toml").read_text(encoding="utf-8")


def test_the_unknown_type_of_a_backup_is_reported(run: Run, root: Authority) -> None:
    """A pin is only a digest of a key, so certpin can't determine the key's type from it."""
    Path("root.pem").write_bytes(root.pem)
    words = (*ADD[:-2], "--backup-pin", str(kit.NOBODY_ELSE))
    done = run(*words)
    text = f"Not known: the type of the key of {kit.NOBODY_ELSE}: public authorities certify RSA"
    assert (done.code, text in done.out) == (0, True)
    own = run(*words, "--file", "own.toml", "--ca-file", "root.pem")
    assert (own.code, "Not known" in own.out) == (0, False)


def _p521() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP521R1())


@pytest.mark.parametrize(
    ("key", "is_certified"),
    [
        *(("EC P-256", True), ("EC P-384", True), ("RSA 2048", True), ("RSA 4096", True)),
        *(("EC P-521", False), ("Ed25519", False), ("RSA 1024", False), ("EC secp256k1", False)),
        *(("DSA", False), ("key OID 1.2.3", False), ("a key that cannot be read", False)),
    ],
)
def test_which_keys_public_authorities_certify(key: str, is_certified: bool) -> None:
    assert (public_authority_refusal(key) == "") == is_certified
