"""certbot, acme.sh and lego, at a real authority: no renewal installs a key that locks out."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.lab.authority import new_key
from certpin.pinfile import PinSet
from certpin.pins import Pin
from certpin.x509 import Certificate
from certpin.x509.certificate import read_items
from tests.cli._rotating import JOURNAL, journal, next_number
from tests.servers.acme_clients import CLIENTS, HOOK, HOST
from tests.servers.pebble import pebble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Identity
    from tests.cli.conftest import Run
    from tests.servers.acme_clients import AcmeSh, Certbot, Lego
    from tests.servers.pebble import Pebble

pytestmark = [pytest.mark.peer("pebble", "openssl"), pytest.mark.slow]

OFFLINE = ("--offline",)
EACH = [pytest.param(name, marks=pytest.mark.peer(name)) for name in CLIENTS]


@pytest.fixture(scope="module")
def authority() -> Iterator[Pebble]:
    with pebble() as running:
        yield running


@dataclass
class Site:
    """A server with a pinned key, and a certificate from an ACME client."""

    client: Certbot | AcmeSh | Lego
    installed: Path
    reloads: Path

    @property
    def leaf(self) -> Certificate:
        """Return the installed leaf."""
        first = read_items(self.installed.read_bytes())[0]
        assert isinstance(first, Certificate)
        return first

    @property
    def pin(self) -> Pin:
        return Pin.of_key(self.leaf.spki_sha256)

    def state(self) -> tuple[bytes, ...]:
        """Return everything that a refusal must not change."""
        files = (self.installed, self.reloads, JOURNAL, Path("pins.toml"))
        return tuple(file.read_bytes() for file in files)


def _list_server() -> None:
    """Let the pin file list a server that does not answer: the gate doesn't need one."""
    with Path("pins.toml").open("a", encoding="utf-8") as file:
        file.write('[[host.server]]\naddress = "127.0.0.1:9"\n')


@pytest.fixture(params=EACH)
def site(
    run: Run,
    authority: Pebble,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    folder = tmp_path / "client"
    folder.mkdir()
    client = CLIENTS[request.param](authority, folder)
    code, said = client.first()
    assert code == 0, said
    site = Site(client, tmp_path / "server.pem", tmp_path / "reloads")
    for name, value in {
        "CERTPIN_PINS": str(Path("pins.toml").absolute()),
        "CERTPIN_INSTALL_TO": str(site.installed),
        "CERTPIN_RELOAD": f"echo reloaded >>{site.reloads}",
        "CERTPIN_COMMAND": str(Path(sys.executable).with_name("certpin")),
    }.items():
        monkeypatch.setenv(name, value)
    (pin,) = [item["pin"] for item in run("pin", client.key, "--json").json["targets"][0]["items"]]
    assert run("add", HOST, "--pin", pin, "--backup-key", "backup.key").code == 0
    _list_server()
    assert run("rotate", "shipped", next_number(), *OFFLINE).code == 0
    code, said = client.install()
    assert (code, str(site.pin)) == (0, pin), said
    return site


def test_a_renewal_with_the_same_key_is_installed(site: Site) -> None:
    before, events = site.leaf, JOURNAL.read_bytes()
    code, said = site.client.renew()
    assert code == 0, said
    assert site.leaf.serial_number != before.serial_number
    assert site.leaf.spki_sha256 == before.spki_sha256
    assert site.reloads.read_text() == "reloaded\n" * 2
    assert JOURNAL.read_bytes() == events  # the key was ACTIVE already


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


def test_a_renewal_with_a_new_key_is_refused_and_the_certificate_stays(site: Site) -> None:
    before = site.state()
    code, said = site.client.renew_with_a_new_key()
    assert site.client.tells == (code != 0), said
    assert "is not adopted" in said
    assert site.state() == before
    mine = read_items(site.client.chain.read_bytes())[0]
    assert Pin.of_key(mine.spki_sha256) != site.pin  # the ACME client has it, the server does not


@pytest.fixture
def by_hand(run: Run, authority: Pebble) -> Identity:
    """Write a certificate with a pinned key to ``chain.pem``, and its backup to ``backup.key``."""
    identity = authority.account().issue(HOST, new_key())
    Path("chain.pem").write_bytes(identity.chain_pem)
    run("add", HOST, "--pin", str(identity.pin), "--backup-key", "backup.key")
    _list_server()
    run("rotate", "shipped", next_number(), *OFFLINE)
    return identity


def install(*words: str, **setting: str) -> subprocess.CompletedProcess[str]:
    """Run only the hook."""
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


def test_with_a_key_on_a_token_only_the_chain_is_installed(by_hand: Identity) -> None:
    done = install("chain.pem")
    assert done.returncode == 0, done.stderr
    assert Path("server.pem").read_bytes() == by_hand.chain_pem
    assert Path("server.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("missing", ["CERTPIN_PINS", "CERTPIN_INSTALL_TO"])
def test_a_missing_setting_is_reported(by_hand: Identity, missing: str) -> None:
    done = install("chain.pem", **{missing: ""})
    assert (done.returncode != 0, missing in done.stderr) == (True, True)
    assert not Path("server.pem").exists()


def test_a_server_that_does_not_reload_is_reported(by_hand: Identity) -> None:
    assert install("chain.pem", CERTPIN_RELOAD="exit 7").returncode == 7
