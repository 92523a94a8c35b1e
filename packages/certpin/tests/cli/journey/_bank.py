"""The servers of the end-to-end test: two ACME authorities, a bank's servers, and its pin file."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab.authority import new_key
from certpin.pins import Pin
from certpin.x509 import Certificate
from tests.servers.nginx import Nginx, nginx
from tests.servers.pebble import pebble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Identity
    from tests.servers.pebble import Account, Pebble

API = "api.bank.example"  # pinned by the key of its leaf
SHOP = "shop.bank.example"  # pinned by the authority that issues for it
CHANNEL = "localhost"  # where the signed sets are fetched
SITE = Path("www")

_HOST = """
[[host]]
name = "{name}"
match = "{match}"
trust = "roots.pem"

[[host.pin]]
pin = "{pin}"
role = "{role}"
state = "active"
{backups}"""
_BACKUP = """
[[host.pin]]
pin = "{pin}"
role = "backup"
state = "published"
"""


@dataclass
class Authority:
    """A test ACME server, with an account of the bank that orders certificates."""

    pebble: Pebble
    account: Account = field(init=False)

    def __post_init__(self) -> None:
        self.account = self.pebble.account()


@dataclass
class Bank:
    """The running servers of the end-to-end test.

    Attributes:
        front: the web server of the two pinned API and shop hosts.
        channel: the web server from which clients fetch signed pin sets.
        first: the authority that issued all first certificates.
        second: another authority, for a change of the authority.
    """

    front: Nginx
    channel: Nginx
    first: Authority
    second: Authority

    @property
    def looking(self) -> tuple[str, ...]:
        """The ``--connect`` options that direct certpin to the local servers of the hosts."""
        front, channel = f"127.0.0.1:{self.front.port}", f"127.0.0.1:{self.channel.port}"
        return (
            *("--connect", f"{API}={front}", "--connect", f"{SHOP}={front}"),
            *("--connect", f"{CHANNEL}={channel}"),
        )

    @property
    def url(self) -> str:
        """The URL from which clients fetch the signed pin sets."""
        return f"https://{CHANNEL}:{self.channel.port}/"


@contextlib.contextmanager
def bank() -> Iterator[Bank]:
    """Start all servers, and write ``pins.toml``, ``roots.pem`` and an empty ``SITE`` folder.

    All are in the current folder. ``SITE`` is where signed pin sets are published.
    """
    SITE.mkdir()
    with pebble() as one, pebble() as other:
        first, second = Authority(one), Authority(other)
        Path("roots.pem").write_bytes(one.root_pem() + other.root_pem())
        issued = {name: first.account.issue(name, new_key()) for name in (API, SHOP, CHANNEL)}
        Path("pins.toml").write_text(_pin_file(issued), encoding="utf-8")
        servers = {name: issued[name] for name in (API, SHOP)}
        folders = {CHANNEL: SITE.absolute()}
        with (
            nginx(servers) as front,
            nginx({CHANNEL: issued[CHANNEL]}, folders=folders) as channel,
        ):
            yield Bank(front, channel, first, second)


def _pin_file(issued: dict[str, Identity]) -> str:
    authority = Certificate.from_der(_der(issued[SHOP], 1))
    text = 'schema = 1\nname = "bank-app"\nversion = 1\n'
    text += _host(API, "any", issued[API].pin, "leaf")
    text += _host(SHOP, "ca", Pin.of_key(authority.spki_sha256), "intermediate")
    return text + _host(CHANNEL, "any", issued[CHANNEL].pin, "leaf")


def _host(name: str, match: str, pin: Pin, role: str) -> str:
    """Return the TOML text of a host with this pin and two backup pins that no server uses.

    If the host is rotated to one of the backups, the other one remains as a backup.
    """
    spares = [Pin.of_key(secrets.token_bytes(32)) for _ in range(2)]
    backups = "".join(_BACKUP.format(pin=spare) for spare in spares)
    return _HOST.format(name=name, match=match, pin=pin, role=role, backups=backups)


def _der(identity: Identity, place: int) -> bytes:
    return identity.chain[place].public_bytes(Encoding.DER)
