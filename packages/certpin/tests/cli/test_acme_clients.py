"""certbot, acme.sh and lego with a real ACME server: no renewal installs a key that locks out."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.lab.authority import new_key
from certpin.pinfile import PinSet
from certpin.x509.certificate import read_items
from tests.cli._acme import EACH, Site, new_site
from tests.cli._rotating import journal, next_number
from tests.servers.acme_clients import HOOK, HOST

if TYPE_CHECKING:
    from certpin.lab import Identity
    from tests.cli.conftest import Run
    from tests.servers.pebble import Pebble

pytestmark = [pytest.mark.peer("pebble", "openssl"), pytest.mark.slow]

OFFLINE = ("--offline",)


def _list_server() -> None:
    """Add to the pin file a server that does not answer. The gate of the hook contacts none."""
    with Path("pins.toml").open("a", encoding="utf-8") as file:
        file.write('[[host.server]]\naddress = "127.0.0.1:9"\n')


@pytest.fixture
def reloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file to which the hook's command for reloading the server adds a line."""
    path = tmp_path / "reloads"
    monkeypatch.setenv("CERTPIN_RELOAD", f"echo reloaded >>{path}")
    return path


@pytest.fixture(params=EACH)
def site(
    run: Run,
    authority: Pebble,
    reloads: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    """Return a site with its first certificate installed, and its key pinned with a backup."""
    site = new_site(request.param, authority, tmp_path, monkeypatch)
    key = site.client.key
    (pin,) = [item["pin"] for item in run("pin", key, "--json").json["targets"][0]["items"]]
    assert run("add", HOST, "--pin", pin, "--backup-key", "backup.key").code == 0
    _list_server()
    assert run("rotate", "shipped", next_number(), *OFFLINE).code == 0
    site.begin()
    assert str(site.pin) == pin
    return site


def test_the_same_key_is_installed_and_then_a_new_key_is_refused(site: Site, reloads: Path) -> None:
    before, (_, *written) = site.leaf, site.state()
    code, said = site.client.renew()
    assert code == 0, said
    assert site.leaf.serial_number != before.serial_number
    assert (site.leaf.spki_sha256, site.pin) == (before.spki_sha256, site.ordered)
    assert reloads.read_text() == "reloaded\n" * 2
    # Neither the pin file nor the journal: the key was ACTIVE already.
    assert list(site.state())[1:] == written

    unchanged = site.state(), reloads.read_bytes()
    site.refuses(*site.client.renew_with_a_new_key(), "is not adopted")
    assert (site.state(), reloads.read_bytes()) == unchanged
    assert site.ordered != site.pin  # the ACME client has it, the server does not


def test_a_renewal_with_the_backup_key_is_installed_and_recorded(run: Run, site: Site) -> None:
    assert run("rotate", "csr", "backup.key", "-o", "backup.csr").code == 0
    backup = PinSet.load("pins.toml").policies[0].pins[1].pin
    code, said = site.client.sign(Path("backup.csr").absolute(), Path("backup.key").absolute())
    assert code == 0, said
    assert site.pin == backup
    assert Path("backup.key").read_bytes() in site.installed.read_bytes()
    steps = [(event.step, event.pin, event.who) for event in journal()]
    assert steps[1:] == [("activate", backup, "acme")]
    assert PinSet.load("pins.toml").policies[0].pins[1].state == "active"


@pytest.fixture
def by_hand(run: Run, authority: Pebble) -> Identity:
    """Issue a certificate without an ACME client, and pin its key with a backup.

    The chain is in ``chain.pem``, and the backup key in ``backup.key``. Return the certificate's
    key and chain.
    """
    identity = authority.account().issue(HOST, new_key())
    Path("chain.pem").write_bytes(identity.chain_pem)
    run("add", HOST, "--pin", str(identity.pin), "--backup-key", "backup.key")
    _list_server()
    run("rotate", "shipped", next_number(), *OFFLINE)
    return identity


def install(*words: str, **setting: str) -> subprocess.CompletedProcess[str]:
    """Run the hook without an ACME client, with ``setting`` as environment variables."""
    places = {
        "CERTPIN_PINS": "pins.toml",
        "CERTPIN_INSTALL_TO": "server.pem",
        "CERTPIN_COMMAND": str(Path(sys.executable).with_name("certpin")),
    }
    return subprocess.run(
        [HOOK, *words],
        env={**os.environ, **places, **setting},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_key_of_another_certificate_is_not_installed(by_hand: Identity) -> None:
    done = install("chain.pem", "backup.key")
    assert (done.returncode, "not the key of chain.pem" in done.stderr) == (2, True)
    assert not Path("server.pem").exists()


def _files(identity: Identity) -> None:
    """Write the key of the chain, and each damaged or converted form of chain and key."""
    chain, key = identity.chain_pem, identity.key_pem
    written = {
        "server.key": key,
        "bare.pem": chain.rstrip(b"\n"),
        "bare.key": key.rstrip(b"\n"),
        "crlf.pem": chain.replace(b"\n", b"\r\n"),
        "both.pem": chain + key,
        "wrong.pem": chain + Path("backup.key").read_bytes(),
        # What `cat leaf.pem ca.pem` makes of a leaf without a newline at its end.
        "glued.pem": chain.replace(b"CERTIFICATE-----\n-----BEGIN", b"CERTIFICATE----------BEGIN"),
        "short.pem": chain.replace(b"-----END CERTIFICATE-----\n", b"", 1),
    }
    for name, data in written.items():
        Path(name).write_bytes(data)
    for words in (
        "pkcs12 -export -in chain.pem -inkey server.key -passout pass: -out chain.p12",
        "x509 -in chain.pem -outform DER -out chain.der",
        "pkey -in server.key -outform DER -out der.key",
        "pkey -in server.key -pubout -out public.key",
    ):
        subprocess.run(["openssl", *words.split()], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("chain", "key"),
    [
        ("chain.pem", "server.key"),
        ("bare.pem", "server.key"),
        ("bare.pem", "bare.key"),
        ("crlf.pem", "server.key"),
        ("chain.pem", "both.pem"),  # the key from an installed file
    ],
)
def test_a_server_can_load_what_is_installed(by_hand: Identity, chain: str, key: str) -> None:
    _files(by_hand)
    done = install(chain, key)
    assert done.returncode == 0, done.stderr
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain("server.pem")
    installed = [item.spki for item in read_items(Path("server.pem").read_bytes())]
    given = [item.spki for item in read_items(by_hand.chain_pem)]
    assert installed == [*given, given[0]]  # the last one is the key
    assert list(Path().glob("server.pem.*")) == []


@pytest.mark.parametrize(
    ("chain", "key", "reason"),
    [
        ("chain.p12", "server.key", "chain.p12 is not PEM"),
        ("chain.p12", "", "chain.p12 is not PEM"),
        ("chain.der", "server.key", "chain.der is not PEM"),
        ("server.key", "server.key", "server.key is not PEM"),
        ("glued.pem", "server.key", "certificates of glued.pem"),
        ("short.pem", "", "certificates of short.pem"),
        ("chain.pem", "der.key", "der.key has no private key as PEM"),
        ("chain.pem", "public.key", "public.key has no private key as PEM"),
        ("wrong.pem", "", "the key in it is not the key of wrong.pem"),
    ],
)
def test_a_file_that_no_server_can_load_is_not_installed(
    by_hand: Identity, chain: str, key: str, reason: str
) -> None:
    """The hook refuses it before the gate, and so before the journal says that it is in use."""
    _files(by_hand)
    Path("server.pem").write_text("the file in use", encoding="utf-8")
    done = install(chain, *([key] if key else []), CERTPIN_COMMAND="false")
    assert (done.returncode, reason in done.stderr) == (2, True), done.stderr
    assert Path("server.pem").read_text("utf-8") == "the file in use"
    assert list(Path().glob("server.pem.*")) == []


def test_with_a_key_on_a_token_only_the_chain_is_installed(by_hand: Identity) -> None:
    done = install("chain.pem")
    assert done.returncode == 0, done.stderr
    assert Path("server.pem").read_bytes() == by_hand.chain_pem
    assert Path("server.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("words", [("chain.pem",), ()])
def test_a_forgotten_key_does_not_replace_the_installed_one(
    by_hand: Identity, words: tuple[str, ...]
) -> None:
    _files(by_hand)
    assert install("chain.pem", "server.key").returncode == 0
    before = Path("server.pem").read_bytes()
    done = install(*words, CERT_FULLCHAIN_PATH="chain.pem", CERTPIN_COMMAND="false")
    assert (done.returncode, "no key was given" in done.stderr) == (2, True), done.stderr
    assert Path("server.pem").read_bytes() == before
    assert list(Path().glob("server.pem.*")) == []


def test_nothing_is_installed_into_a_folder(by_hand: Identity) -> None:
    Path("folder").mkdir()
    done = install("chain.pem", "server.key", CERTPIN_INSTALL_TO="folder", CERTPIN_COMMAND="false")
    assert (done.returncode, "folder is a folder: name a file" in done.stderr) == (2, True)
    assert list(Path("folder").iterdir()) == []


@pytest.mark.parametrize("missing", ["CERTPIN_PINS", "CERTPIN_INSTALL_TO"])
def test_a_missing_setting_is_reported(by_hand: Identity, missing: str) -> None:
    done = install("chain.pem", **{missing: ""})
    assert (done.returncode != 0, missing in done.stderr) == (True, True)
    assert not Path("server.pem").exists()


def test_a_server_that_does_not_reload_is_reported(by_hand: Identity) -> None:
    assert install("chain.pem", CERTPIN_RELOAD="exit 7").returncode == 7
