"""Helper for tests of ACME clients: a server with a certificate that a client renews.

The client runs certpin's hook, which asks the gate of ``certpin rotate switch`` whether all app
clients accept the new certificate, and installs it only then.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.pins import Pin
from certpin.x509 import Certificate
from certpin.x509.certificate import read_items
from tests.cli._rotating import JOURNAL
from tests.servers.acme_clients import CLIENTS

if TYPE_CHECKING:
    from tests.servers.acme_clients import AcmeSh, Certbot, Lego
    from tests.servers.pebble import Pebble

EACH = [pytest.param(name, marks=pytest.mark.peer(name)) for name in CLIENTS]


@dataclass
class Site:
    """The certificate file of a server, and the ACME client that renews it.

    Attributes:
        client: certbot, acme.sh or lego, with its own folder.
        installed: the PEM file that the server uses, to which the client's hook writes.
    """

    client: Certbot | AcmeSh | Lego
    installed: Path

    @property
    def leaf(self) -> Certificate:
        """The leaf certificate in the server's PEM file."""
        first = read_items(self.installed.read_bytes())[0]
        assert isinstance(first, Certificate)
        return first

    @property
    def pin(self) -> Pin:
        return Pin.of_key(self.leaf.spki_sha256)

    @property
    def ordered(self) -> Pin:
        """The pin of the newest certificate in the ACME client's own folder, installed or not."""
        return Pin.of_key(read_items(self.client.chain.read_bytes())[0].spki_sha256)

    def begin(self) -> None:
        """Install the first certificate with the client's command from the documentation."""
        code, said = self.client.install()
        assert code == 0, said

    def state(self) -> tuple[bytes, ...]:
        """Return the server's PEM file, the journal and the pin file, as bytes.

        A renewal that the gate refuses must not change any of them.
        """
        return tuple(file.read_bytes() for file in (self.installed, JOURNAL, Path("pins.toml")))

    def refuses(self, code: int, said: str, reason: str) -> None:
        assert self.client.tells == (code != 0), said
        assert reason in said


def new_site(name: str, authority: Pebble, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return a site for which a client has ordered its first certificate.

    Args:
        name: the ACME client: ``certbot``, ``acme.sh`` or ``lego``.
        authority: the ACME server that issues.
        folder: the folder for the client's files and for the server's PEM file.
        monkeypatch: sets the environment variables that the client's hook reads.
    """
    own = folder / "client"
    own.mkdir()
    site = Site(CLIENTS[name](authority, own), folder / "server.pem")
    code, said = site.client.first()
    assert code == 0, said
    for variable, value in {
        "CERTPIN_PINS": str(Path("pins.toml").absolute()),
        "CERTPIN_INSTALL_TO": str(site.installed),
        "CERTPIN_COMMAND": str(Path(sys.executable).with_name("certpin")),
    }.items():
        monkeypatch.setenv(variable, value)
    return site
