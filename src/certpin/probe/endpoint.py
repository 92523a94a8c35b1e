"""Where to dial: the name that is meant, and the address that is called."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from certpin.errors import HostError
from certpin.pins import normalise

HTTPS = 443


@dataclass(frozen=True)
class Endpoint:
    """A server to ask. ``host`` is normalised, and is the name that its certificate must carry.

    ``connect`` is another address and port to call, as curl's ``--connect-to``; ``server_name``
    another name to ask for and to verify; ``starttls`` a protocol of ``PROTOCOLS``.
    """

    host: str
    port: int = HTTPS
    connect: tuple[str, int] | None = None
    server_name: str | None = None
    starttls: str | None = None

    @property
    def address(self) -> tuple[str, int]:
        """What is called."""
        return self.connect or (self.host, self.port)

    @property
    def name(self) -> str:
        """What is asked for in the handshake, and verified."""
        return self.server_name or self.host

    def __str__(self) -> str:
        return f"{_bracketed(self.host)}:{self.port}"


def split_address(text: str, default_port: int = HTTPS) -> tuple[str, int]:
    """Read ``HOST``, ``HOST:PORT``, ``[IPv6]:PORT`` or an https address. Raises ``HostError``."""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise _unreadable(text) from exc
    if text.count(":") > 1 and not text.startswith("[") and "://" not in text:
        host, port = text, None  # an IPv6 address without brackets has no port
    if port == 0 or not host:
        raise _unreadable(text)
    return normalise(host), port or default_port


def _unreadable(text: str) -> HostError:
    return HostError(
        f"{text[:80]!r} is not a host with a port",
        fix="write HOST, HOST:PORT or [IPv6]:PORT, with a port from 1 to 65535",
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
