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
        return join_address(self.host, self.port)


def split_address(text: str, default_port: int = HTTPS) -> tuple[str, int]:
    """Read ``HOST``, ``HOST:PORT``, ``[IPv6]:PORT`` or an https address. Raises ``HostError``.

    Path and query of an address are left out. A name and a password in it are refused.
    """
    if not text.isprintable() or " " in text:
        raise _unreadable(text)  # urlsplit would drop line ends and go on
    if _is_bare_ipv6(text):
        return normalise(text), default_port
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise _unreadable(text) from exc
    if port == 0 or not host or parts.scheme not in {"", "https"} or "@" in parts.netloc:
        raise _unreadable(text)
    return normalise(host), port or default_port


def _is_bare_ipv6(text: str) -> bool:
    """Whether this can only be an IPv6 address without brackets, which has no port."""
    return text.count(":") > 1 and not text.startswith("[") and not {"/", "@"} & set(text)


def _unreadable(text: str) -> HostError:
    shown = "an address with a name or a password" if "@" in text else repr(text[:80])
    return HostError(
        f"{shown} is not a host with a port",
        fix="write HOST, HOST:PORT or [IPv6]:PORT, with a port from 1 to 65535; for what is not "
        "https, say the protocol with --starttls",
    )


def join_address(host: str, port: int) -> str:
    """``HOST:PORT``, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
