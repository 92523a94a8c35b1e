"""A server with certificates from an ACME client, which runs the gate as its hook."""

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
    """A server, and the ACME client that renews its certificate."""

    client: Certbot | AcmeSh | Lego
    installed: Path

    @property
    def leaf(self) -> Certificate:
        """The installed leaf."""
        first = read_items(self.installed.read_bytes())[0]
        assert isinstance(first, Certificate)
        return first

    @property
    def pin(self) -> Pin:
        return Pin.of_key(self.leaf.spki_sha256)

    @property
    def ordered(self) -> Pin:
        """The pin of the certificate in the client's own folder."""
        return Pin.of_key(read_items(self.client.chain.read_bytes())[0].spki_sha256)

    def begin(self) -> None:
        """Install the first certificate, as the page says."""
        code, said = self.client.install()
        assert code == 0, said

    def state(self) -> tuple[bytes, ...]:
        """Return everything that a refusal must not change."""
        return tuple(file.read_bytes() for file in (self.installed, JOURNAL, Path("pins.toml")))

    def refuses(self, code: int, said: str, reason: str) -> None:
        assert self.client.tells == (code != 0), said
        assert reason in said


def new_site(name: str, authority: Pebble, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Let a client order the first certificate, and set the variables of the hook."""
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
