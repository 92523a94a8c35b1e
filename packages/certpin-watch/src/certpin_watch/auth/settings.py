"""The tables ``[access]`` and ``[access.oidc]`` of ``watch.toml``."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from certpin.errors import ConfigError
from certpin_watch.permissions import ROLES
from certpin_watch.secret import Secret, read_secret

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
_OPENID_KNOWN: tuple[str, ...] = (
    "algorithms",
    "ca_file",
    "claim",
    "client_id",
    "client_secret",
    "issuer",
    "name",
    "recheck_minutes",
    "roles",
    "scopes",
)

_LOOPBACK: tuple[Network, ...] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)
# Asymmetric signatures only. "none" is unsigned. HS256 is signed with the client's secret, and a
# client that takes a public key for that secret accepts any signature (RFC 8725, 2.1 and 3.1).
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
_MAX_IDLE_MINUTES = 24 * 60
_MAX_SESSION_HOURS = 30 * 24
_MAX_RECHECK_MINUTES = 24 * 60


@dataclass(frozen=True)
class OpenIDSettings:
    """An OpenID provider, and the roles of its groups.

    ``roles`` maps a value of the claim ``claim`` to a role; users without any of these values are
    refused. With ``ca_file``, only its authorities are trusted for the provider. The provider's
    statement about a user is valid for ``recheck_minutes``.
    """

    issuer: str
    client_id: str
    client_secret: Secret
    roles: dict[str, str]
    claim: str = "groups"
    name: str = "single sign-on"
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256")
    ca_file: Path | None = None
    recheck_minutes: int = 60

    @property
    def recheck_seconds(self) -> int:
        """Seconds for which the provider's statement about a user is valid."""
        return self.recheck_minutes * 60


@dataclass(frozen=True)
class AuthSettings:
    """Sessions, the proxy in front, and OpenID Connect.

    A session ends ``idle_minutes`` after its last use, and ``session_hours`` after its start. With
    ``behind_proxy``, a proxy terminates TLS and names the client (``X-Forwarded-…``); only
    ``trusted_proxies`` are believed, for pages and reports alike. Pages, API and metrics are served
    under the names in ``hosts`` and that of ``public_url``.
    """

    behind_proxy: bool = False
    trusted_proxies: tuple[Network, ...] = _LOOPBACK
    idle_minutes: int = 120
    session_hours: int = 24
    oidc: OpenIDSettings | None = None
    hosts: frozenset[str] = frozenset()

    @property
    def believed(self) -> tuple[Network, ...]:
        """The networks of proxies that may set the headers; none without a proxy in front."""
        return self.trusted_proxies if self.behind_proxy else ()

    @property
    def idle_seconds(self) -> int:
        """Seconds until a session ends, after its last use."""
        return self.idle_minutes * 60

    @property
    def session_seconds(self) -> int:
        """Seconds until a session ends, after its start."""
        return self.session_hours * 3600


def read(table: Table) -> AuthSettings:
    """Read the table ``[access]``. Raises ``ConfigError``."""
    default = AuthSettings()
    openid = table.table("oidc")
    return AuthSettings(
        behind_proxy=table.flag("behind_proxy", default=default.behind_proxy),
        trusted_proxies=_networks(table) or default.trusted_proxies,
        idle_minutes=_number(table, "idle_minutes", default.idle_minutes, _MAX_IDLE_MINUTES),
        session_hours=_number(table, "session_hours", default.session_hours, _MAX_SESSION_HOURS),
        hosts=frozenset(host.lower() for host in table.texts("hosts")),
        oidc=_openid(openid) if openid else None,
    )


def _openid(table: Table) -> OpenIDSettings:
    if unknown := sorted(table.data.keys() - set(_OPENID_KNOWN)):
        raise ConfigError(
            "unknown setting",
            key=table.under(unknown[0]),
            fix=f"known are {', '.join(_OPENID_KNOWN)}",
        )
    ca_file, minutes = table.text("ca_file", ""), OpenIDSettings.recheck_minutes
    return OpenIDSettings(
        issuer=_issuer(table),
        client_id=table.text("client_id"),
        client_secret=read_secret(table, "client_secret"),
        roles=_roles(table),
        claim=table.text("claim", OpenIDSettings.claim),
        name=table.text("name", OpenIDSettings.name),
        scopes=_scopes(table),
        algorithms=_algorithms(table),
        ca_file=Path(ca_file) if ca_file else None,
        recheck_minutes=_number(table, "recheck_minutes", minutes, _MAX_RECHECK_MINUTES),
    )


def _networks(table: Table) -> tuple[Network, ...]:
    try:
        networks = tuple(ipaddress.ip_network(text) for text in table.texts("trusted_proxies"))
    except ValueError as exc:
        raise ConfigError(
            "an entry is neither an address nor a network",
            key=table.under("trusted_proxies"),
            fix="write 10.0.0.5 or 10.0.0.0/24, for example",
        ) from exc
    if any(network.prefixlen == 0 for network in networks):
        raise ConfigError(
            "every client would be trusted, and could claim any address",
            key=table.under("trusted_proxies"),
            fix="list only the addresses of your proxies",
        )
    return networks


def _issuer(table: Table) -> str:
    """OpenID Connect Discovery 1.0, 4.1: https, without query and fragment."""
    issuer = table.text("issuer")
    parts = urlsplit(issuer)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(
            "this is not the issuer of a provider",
            key=table.under("issuer"),
            fix="write https://id.bank.example, for example, exactly as the provider writes it",
        )
    return issuer


def _roles(table: Table) -> dict[str, str]:
    found = table.table("roles")
    groups = found.data if found else {}
    roles = {group: found.choice(group, tuple(ROLES), None) for group in groups} if found else {}
    if not roles:
        raise ConfigError(
            "no user could sign in",
            key=table.under("roles"),
            fix='map a group to a role, as in { "watch-admins" = "admin" }',
        )
    return roles


def _scopes(table: Table) -> tuple[str, ...]:
    scopes = table.texts("scopes") or OpenIDSettings.scopes
    return scopes if "openid" in scopes else ("openid", *scopes)


def _algorithms(table: Table) -> tuple[str, ...]:
    names = table.texts("algorithms") or OpenIDSettings.algorithms
    if refused := sorted(set(names) - set(_ALGORITHMS)):
        raise ConfigError(
            f"{refused[0][:20]!r} is not accepted",
            key=table.under("algorithms"),
            fix=f"use some of {', '.join(_ALGORITHMS)}",
        )
    return names


def _number(table: Table, name: str, default: int, maximum: int) -> int:
    value = table.integer(name) if name in table.data else default
    if not 1 <= value <= maximum:
        raise ConfigError(f"{value} is out of range", key=table.under(name), fix=f"1 to {maximum}")
    return value
