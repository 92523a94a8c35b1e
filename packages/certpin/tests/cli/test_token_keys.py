"""Keys on PKCS#11 tokens: every command with a key accepts the URI of a key on a token."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pkcs11
import pytest

from certpin.hsm import generate_key, open_key
from certpin.pins import Pin
from certpin.x509.keys import public_key
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli._rotating import days_pass, journal, next_number, states, stepped
from tests.cli._terminal import on_terminal
from tests.servers.softhsm import MODULE, SoftHSM, softhsm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Authority
    from tests.cli.conftest import Run

pytestmark = pytest.mark.peer("softhsm2")

HOST = "api.bank.example"
OFFLINE = ("--offline",)
URI = "pkcs11:token=bank;object=next"


@pytest.fixture
def hsm(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHSM]:
    with softhsm(monkeypatch) as made:
        monkeypatch.setenv("CERTPIN_PKCS11_PIN", made.pin)
        yield made


def pin_of(hsm: SoftHSM, uri: str = URI) -> str:
    with open_key(uri, hsm.ask) as key:
        return str(Pin.of_key(public_key(key.spki).spki_sha256))


def labels(hsm: SoftHSM) -> list[str]:
    with hsm.session() as session:
        return sorted(str(obj) for obj in session.get_objects())


@pytest.fixture
def out(run: Run, hsm: SoftHSM) -> Run:
    """Publish version 1 of a pin file. Return the function that runs commands."""
    write(kit.policy(HOST))
    assert run("rotate", "shipped", next_number(), *OFFLINE).code == 0
    return run


def test_a_backup_on_a_token_goes_through_a_whole_rotation(out: Run, hsm: SoftHSM) -> None:
    _, made = stepped(out, "start", "--new", URI)
    assert made["pin"] == pin_of(hsm)
    assert made["later"] == f"certpin rotate switch '{URI}'"
    assert journal()[-1].note.startswith(f"key {URI};id=%")
    _, staged = stepped(out, "start", URI)
    assert staged["pin"] == made["pin"]
    assert (staged["events"], len(journal())) == ([], 3)
    assert "it can't be installed on a server" in out("rotate", "start", URI).out
    assert out("rotate", "shipped", next_number(), *OFFLINE).code == 0
    assert stepped(out, "switch", URI, *OFFLINE)[0].code == 1
    days_pass(33)
    planned = out("rotate", "plan", "--to", URI, *OFFLINE, "--json").json
    assert planned["to"] == made["pin"]
    assert stepped(out, "switch", URI, *OFFLINE)[0].code == 0
    assert states()[-1] == "active"


def test_a_host_is_added_with_its_backup_on_a_token(run: Run, hsm: SoftHSM) -> None:
    words = ("add", HOST, "--pin", str(kit.NOBODY), "--backup-key", URI)
    done = run(*words, "--key-type", "rsa2048", "--json")
    _documented.check("add", done.json)
    assert done.json["backup_key"] == URI
    assert done.json["pins"][1]["pin"] == pin_of(hsm)
    assert not Path("pkcs11:token=bank;object=next").exists()


def test_the_place_of_the_key_is_printed(run: Run, hsm: SoftHSM) -> None:
    done = run("add", HOST, "--pin", str(kit.NOBODY), "--backup-key", URI)
    assert "The backup key is on a token, as pkcs11:token=bank;object=next;id=%" in done.out
    assert "if the token is lost, so is the key" in done.out


@pytest.mark.parametrize(
    "words",
    [
        ("add", "other.example", "--pin", str(kit.NOBODY), "--backup-key", URI),
        ("rotate", "start", "--new", URI),
    ],
)
def test_a_failed_command_leaves_no_key_on_the_token(
    out: Run, hsm: SoftHSM, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    refused = out(*words)
    assert (refused.code, "No space left" in refused.err) == (2, True)
    assert labels(hsm) == []


def test_an_early_refusal_makes_no_key(out: Run, hsm: SoftHSM) -> None:
    assert out("add", HOST, "--pin", str(kit.NOBODY), "--backup-key", URI).code == 2
    assert labels(hsm) == []


def test_an_existing_key_is_not_made_again(out: Run, hsm: SoftHSM) -> None:
    assert out("rotate", "start", "--new", URI).code == 0
    before = pin_of(hsm)
    again = out("rotate", "start", "--new", URI)
    assert (again.code, "it is not overwritten" in again.err) == (2, True)
    assert pin_of(hsm) == before


def test_a_passphrase_is_not_for_a_token(run: Run, hsm: SoftHSM) -> None:
    words = ("add", HOST, "--pin", str(kit.NOBODY), "--backup-key", URI, "--ask-passphrase")
    assert run(*words).code == 2
    assert labels(hsm) == []


def test_a_key_on_a_token_is_shown(out: Run, hsm: SoftHSM) -> None:
    out("rotate", "start", "--new", URI)
    done = out("pin", URI, "--json")
    (seen,) = done.json["targets"]
    _documented.check("token", seen)
    assert seen["items"][0]["pin"] == pin_of(hsm)
    assert pin_of(hsm) in out("pin", URI).out


def test_the_note_has_no_module_and_no_pin_source(
    out: Run, hsm: SoftHSM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CERTPIN_PKCS11_PIN")
    file = hsm.folder / "pin"
    file.write_text(hsm.pin)
    assert out("rotate", "start", "--new", f"{URI}?pin-source=file:{file}").code == 0
    assert str(file) not in journal()[-1].note


def test_without_a_terminal_the_pin_is_an_error(
    run: Run, hsm: SoftHSM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CERTPIN_PKCS11_PIN")
    done = run("pin", URI)
    assert (done.code, "CERTPIN_PKCS11_PIN" in done.err) == (2, True)


def test_a_typed_pin_is_not_shown(out: Run, hsm: SoftHSM, monkeypatch: pytest.MonkeyPatch) -> None:
    out("rotate", "start", "--new", URI)
    monkeypatch.delenv("CERTPIN_PKCS11_PIN")
    code, text = on_terminal("pin", URI, typing=[("PIN of the token bank (serial ", hsm.pin)])
    assert (code, hsm.pin in text) == (0, False)
    assert "key on a token: EC P-256" in text


def test_a_wrong_pin_is_reported_and_not_printed(run: Run, hsm: SoftHSM) -> None:
    done = run("pin", URI, CERTPIN_PKCS11_PIN="48151623")
    assert (done.code, "refused the PIN" in done.err) == (2, True)
    assert "48151623" not in done.out + done.err


@pytest.mark.parametrize(
    "words",
    [
        ("pin",),
        ("rotate", "start"),
        ("rotate", "csr"),
        ("rotate", "plan", *OFFLINE, "--to"),
        ("add", "other.example", "--pin", str(kit.NOBODY), "--backup-key"),
    ],
)
def test_a_pin_in_a_uri_is_refused_and_not_printed(out: Run, words: tuple[str, ...]) -> None:
    before = Path("pins.journal.jsonl").read_bytes()
    done = out(*words, f"{URI}?pin-value=48151623")
    assert (done.code, "contains a PIN" in done.err) == (2, True)
    assert "48151623" not in done.out + done.err
    assert Path("pins.journal.jsonl").read_bytes() == before


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048", "ed25519"])
def test_openssl_verifies_a_request_signed_on_a_token(
    run: Run, hsm: SoftHSM, root: Authority, kind: str
) -> None:
    Path("root.pem").write_bytes(root.pem)
    write(kit.policy(HOST), trust=Path("root.pem"))  # no public authority certifies Ed25519
    run("rotate", "shipped", next_number(), *OFFLINE)
    run("rotate", "start", "--new", URI, "--key-type", kind)
    done = run("rotate", "csr", URI, "-o", "next.csr", "--json")
    assert done.json["names"] == [HOST]
    words = ["openssl", "req", "-in", "next.csr", "-verify", "-noout"]
    verified = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "verify OK" in verified.stdout + verified.stderr
    assert run("pin", "next.csr", "--json").json["targets"][0]["items"][0]["pin"] == pin_of(hsm)


@pytest.mark.parametrize("label", ["other", "bank"])
def test_the_pin_of_one_token_is_not_sent_to_another(run: Run, hsm: SoftHSM, label: str) -> None:
    """Tokens of a pair often have one label."""
    hsm.add_token(label)
    library = pkcs11.lib(str(MODULE))
    serials = [token.serial.decode() for token in library.get_tokens() if token.label]
    uris = [f"pkcs11:serial={serial};object=next" for serial in serials]
    for uri in uris:
        generate_key(uri, hsm.ask, "p256").close()
    assert run("pin", uris[0], uris[0]).code == 0
    done = run("pin", *uris)
    assert (done.code, "is the PIN of one token" in done.err) == (2, True)
    Path("pin").write_text(hsm.pin)
    files = [f"{uri}?pin-source=file:{Path('pin').absolute()}" for uri in uris]
    assert run("pin", *files).code == 0
