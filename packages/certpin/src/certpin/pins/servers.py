"""The servers of a host, for the commands that connect to it.

Clients don't use them. So they are not compared, and neither published sets nor exports contain
them (decision 40).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from certpin.errors import ConfigError, HostError
from certpin.pins.hosts import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.pins.hosts import HostPattern

StartTLS = Literal["smtp", "imap", "pop3", "ftp", "ldap", "xmpp", "postgres", "mysql"]

_MAX_REGION = 64  # characters


@dataclass(frozen=True)
class HostServer:
    """A server of a host.

    ``address`` is a normalised host name or IP address, empty for the host's own name. ``port`` is
    ``None`` for the default: 443, or that of ``starttls``, a protocol of ``StartTLS``. ``region``
    is a label that output shows.
    """

    address: str = ""
    port: int | None = None
    starttls: str | None = None
    region: str = ""

    @staticmethod
    def parse(text: str, *, starttls: str | None = None, region: str = "") -> HostServer:
        """Parse the ``address`` of a pin file: ``HOST``, ``HOST:PORT`` or ``[IPv6]:PORT``.

        Raises ``HostError``.
        """
        if "/" in text:
            raise unreadable_address(text)
        address, port = split_address(text, 0)
        return HostServer(address, port or None, starttls, region)

    def name_for(self, pattern: HostPattern) -> str | None:
        """Return the server name to send (SNI), or ``None`` if a wildcard doesn't determine it."""
        if pattern.wildcard and self.address and pattern.matches(self.address):
            return self.address
        return None if pattern.wildcard == "*." else pattern.name

    def address_text(self, pattern: HostPattern) -> str:
        """Return the ``address`` for a pin file; empty if it equals the default."""
        if self.port is None:
            return self.address
        return join_address(self.address or pattern.name, self.port)


def check_servers(pattern: HostPattern, servers: Iterable[HostServer]) -> None:
    """Raise ``ConfigError`` for servers that a command can't contact for the host."""
    seen: set[HostServer] = set()
    for index, server in enumerate(servers):
        key = f"server[{index}]"
        if server.name_for(pattern) is None:
            raise ConfigError(
                f"{pattern} is a wildcard, and this server has no name that it covers",
                key=f"{key}.address",
                fix=f'write the name of one host: address = "api.{pattern.name}:443"',
            )
        if len(server.region) > _MAX_REGION or not server.region.isprintable():
            raise ConfigError(
                "this is not a valid region",
                key=f"{key}.region",
                fix=f"write at most {_MAX_REGION} printable characters",
            )
        if server in seen:
            raise ConfigError("this server is listed twice", key=key, fix="remove one of the two")
        seen.add(server)


def split_address(text: str, default_port: int = 443) -> tuple[str, int]:
    """Parse ``HOST``, ``HOST:PORT``, ``[IPv6]:PORT`` or an https URL. Raises ``HostError``.

    Path and query of a URL are ignored. A user name or a password in it is refused.
    """
    from urllib.parse import urlsplit  # a large part of the import time of certpin

    if not text.isprintable() or " " in text:
        raise unreadable_address(text)  # urlsplit would ignore line ends
    if _is_bare_ipv6(text):
        return normalise(text), default_port
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise unreadable_address(text) from exc
    if parts.scheme == "http" and host and "@" not in text:
        raise HostError(
            f"{text[:80]!r} is an address without TLS: such a server has no certificate",
            fix=f"write the host with its TLS port: {host[:80]}:443",
        )
    if port == 0 or not host or parts.scheme not in {"", "https"} or "@" in parts.netloc:
        raise unreadable_address(text)
    return normalise(host), port or default_port


def join_address(host: str, port: int) -> str:
    """Return ``HOST:PORT``, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def unreadable_address(text: str) -> HostError:
    """Return the error for text that is not a host with a port. It never repeats a password."""
    shown = "an address with a user name or a password" if "@" in text else repr(text[:80])
    return HostError(
        f"{shown} is not a host with a port",
        fix="write HOST, HOST:PORT or [IPv6]:PORT, with a port from 1 to 65535; name a protocol "
        'other than https with --starttls (in a pin file: starttls = "smtp")',
    )


def _is_bare_ipv6(text: str) -> bool:
    """Return True for an IPv6 address without brackets, which can't have a port."""
    return text.count(":") > 1 and not text.startswith("[") and not {"/", "@"} & set(text)
