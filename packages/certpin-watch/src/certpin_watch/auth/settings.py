"""The table ``[access]`` of ``watch.toml``."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin_watch.auth import openid_settings

if TYPE_CHECKING:
    from certpin.pinfile.fields import Table
    from certpin_watch.addresses import Network

KNOWN: tuple[str, ...] = (
    "behind_proxy",
    "hosts",
    "idle_minutes",
    "oidc",
    "session_hours",
    "trusted_proxies",
)

_LOOPBACK: tuple[Network, ...] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)


@dataclass(frozen=True)
class Settings:
    """Sessions, the proxy in front, and OpenID Connect.

    A session ends ``idle_minutes`` after it was last used, and ``session_hours`` after it began.
    ``behind_proxy``: something in front ends TLS and says who asks (X-Forwarded-…); only
    ``trusted_proxies`` are believed, for pages and reports alike. ``hosts`` are further names under
    which pages, API and metrics may be asked for, beside that of ``public_url``.
    """

    behind_proxy: bool = False
    trusted_proxies: tuple[Network, ...] = _LOOPBACK
    idle_minutes: int = 120
    session_hours: int = 24
    oidc: openid_settings.Settings | None = None
    hosts: frozenset[str] = frozenset()

    @property
    def believed(self) -> tuple[Network, ...]:
        """Whose word on who asks is taken: nobody's without a proxy in front."""
        return self.trusted_proxies if self.behind_proxy else ()

    @property
    def idle_seconds(self) -> int:
        """How long a session outlasts its last use."""
        return self.idle_minutes * 60

    @property
    def session_seconds(self) -> int:
        """How long a session lasts at most."""
        return self.session_hours * 3600


def read(table: Table) -> Settings:
    """Read the table. Raises ``ConfigError``."""
    default = Settings()
    provider = table.table("oidc")
    return Settings(
        behind_proxy=table.flag("behind_proxy", default=default.behind_proxy),
        trusted_proxies=_networks(table) or default.trusted_proxies,
        idle_minutes=_between(table, "idle_minutes", default.idle_minutes, 24 * 60),
        session_hours=_between(table, "session_hours", default.session_hours, 30 * 24),
        hosts=frozenset(each.lower() for each in table.texts("hosts")),
        oidc=openid_settings.read(provider) if provider else None,
    )


def _networks(table: Table) -> tuple[Network, ...]:
    try:
        found = tuple(ipaddress.ip_network(each) for each in table.texts("trusted_proxies"))
    except ValueError as exc:
        raise ConfigError(
            "an entry is neither an address nor a network",
            key=table.under("trusted_proxies"),
            fix="as in 10.0.0.5 or 10.0.0.0/24",
        ) from exc
    if any(network.prefixlen == 0 for network in found):
        raise ConfigError(
            "this is everybody, who could then say that they are anybody",
            key=table.under("trusted_proxies"),
            fix="name the addresses of your proxies alone",
        )
    return found


def _between(table: Table, name: str, default: int, most: int) -> int:
    value = table.integer(name) if name in table.data else default
    if not 1 <= value <= most:
        raise ConfigError(f"{value} is not right", key=table.under(name), fix=f"1 to {most}")
    return value
