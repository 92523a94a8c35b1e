"""The table ``[access]`` of ``watch.toml``: sessions, proxies, OpenID Connect.

The module ``tables`` has the other tables.
"""
# ruff: noqa: RUF009  # `setting` is `dataclasses.field`

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from certpin.errors import ConfigError
from certpin_watch.permissions import ROLES
from certpin_watch.secret import Secret, read_secret
from certpin_watch.settings.reader import flag, reads, setting, table_of, text, whole_number

if TYPE_CHECKING:
    from certpin.pinfile.file import Table
    from certpin_watch.addresses import Network

# Asymmetric signatures only. "none" is unsigned. HS256 is signed with the client's secret, and a
# client that takes a public key for that secret accepts any signature (RFC 8725, 2.1 and 3.1).
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
_DEFAULT_ALGORITHMS = ("RS256", "PS256", "ES256")
_DEFAULT_SCOPES = ("openid", "profile", "email")


def _issuer(table: Table, name: str) -> str:
    """Read the URL of an OpenID provider: https, without query and fragment.

    See OpenID Connect Discovery 1.0, section 4.1. ``name`` is the key of the setting in ``table``.
    Raises ``ConfigError`` for any other value.
    """
    issuer = table.text(name)
    try:
        parts = urlsplit(issuer)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(
            "this is not the issuer of a provider",
            key=table.under(name),
            fix="write https://id.bank.example, for example, exactly as the provider writes it",
        )
    return issuer


def _roles(table: Table, name: str) -> dict[str, str]:
    below = table.table(name)
    if below is None or not below.data:
        raise ConfigError(
            "no user could sign in",
            key=table.under(name),
            fix='map a group to a role, as in { "watch-admins" = "admin" }',
        )
    return {group: below.choice(group, tuple(ROLES), None) for group in below.data}


def _scopes(table: Table, name: str) -> tuple[str, ...]:
    scopes = table.texts(name) or _DEFAULT_SCOPES
    return scopes if "openid" in scopes else ("openid", *scopes)


def _algorithms(table: Table, name: str) -> tuple[str, ...]:
    names = table.texts(name) or _DEFAULT_ALGORITHMS
    if refused := sorted(set(names) - set(_ALGORITHMS)):
        raise ConfigError(
            f"{refused[0][:20]!r} is not accepted",
            key=table.under(name),
            fix=f"choose from {', '.join(_ALGORITHMS)}",
        )
    return names


def _file(table: Table, name: str) -> Path | None:
    return Path(file) if (file := table.text(name)) else None


@dataclass(frozen=True)
class OpenIDSettings:
    """``[access.oidc]``: an OpenID provider, and the roles of its groups.

    A *claim* is a field of the provider's ID token.

    Attributes:
        issuer: the provider's address: https, exactly as the provider writes it.
        client_id: as issued by the provider.
        client_secret: as issued by the provider: a secret.
        roles: the role of each group; users in none of these groups are refused.
        claim: the claim with the groups.
        name: the label of the sign-in button.
        scopes: the requested scopes; some providers also need ``groups``.
        algorithms: accepted signatures: RS, PS and ES with 256, 384 and 512.
        ca_file: a PEM file with the only authorities that are trusted for the provider's
            certificate; by default those of the platform.
        recheck_minutes: how long the provider's statement about a user is valid (1 to 1440).
    """

    issuer: str = field(metadata=reads(_issuer))
    client_id: str = field(metadata=reads(text))
    client_secret: Secret = field(metadata=reads(read_secret))
    roles: dict[str, str] = field(metadata=reads(_roles))
    claim: str = setting("groups", text)
    name: str = setting("single sign-on", text)
    scopes: tuple[str, ...] = setting(_DEFAULT_SCOPES, _scopes)
    algorithms: tuple[str, ...] = setting(_DEFAULT_ALGORITHMS, _algorithms)
    ca_file: Path | None = setting(None, _file)
    recheck_minutes: int = setting(60, whole_number(1, 24 * 60))

    @property
    def recheck_seconds(self) -> int:
        """The number of seconds for which the provider's statement about a user is valid.

        After this time, the provider has to confirm the user and the role of the session again.
        """
        return self.recheck_minutes * 60


_LOOPBACK: tuple[Network, ...] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)


def _proxies(table: Table, name: str) -> tuple[Network, ...]:
    try:
        networks = tuple(ipaddress.ip_network(value) for value in table.texts(name))
    except ValueError as exc:
        raise ConfigError(
            "an entry is neither an address nor a network",
            key=table.under(name),
            fix="write 10.0.0.5 or 10.0.0.0/24, for example",
        ) from exc
    if any(network.prefixlen == 0 for network in networks):
        raise ConfigError(
            "every client would be trusted, and could claim any address",
            key=table.under(name),
            fix="list only the addresses of your proxies",
        )
    return networks or _LOOPBACK


def _host_names(table: Table, name: str) -> frozenset[str]:
    return frozenset(value.lower() for value in table.texts(name))


@dataclass(frozen=True)
class AuthSettings:
    """``[access]``: sessions, the proxy in front, and OpenID Connect.

    Attributes:
        behind_proxy: true if a proxy terminates TLS, and sends the client's address in
            ``X-Forwarded-…`` headers.
        trusted_proxies: addresses and networks of trusted proxies, for pages and reports alike; by
            default the loopback.
        idle_minutes: a session ends this long after its last use (1 to 1440).
        session_hours: a session ends this long after its start (1 to 720).
        oidc: single sign-on with an OpenID provider.
        hosts: further host names for pages, API and metrics, without ports.
    """

    behind_proxy: bool = setting(default=False, read=flag)
    trusted_proxies: tuple[Network, ...] = setting(_LOOPBACK, _proxies)
    idle_minutes: int = setting(120, whole_number(1, 24 * 60))
    session_hours: int = setting(24, whole_number(1, 30 * 24))
    oidc: OpenIDSettings | None = setting(None, table_of(OpenIDSettings))
    hosts: frozenset[str] = setting(frozenset(), _host_names)

    @property
    def believed(self) -> tuple[Network, ...]:
        """The networks of the proxies from which ``X-Forwarded-…`` headers are accepted.

        The tuple is empty if the service is not behind a proxy (``behind_proxy``): then these
        headers are ignored.
        """
        return self.trusted_proxies if self.behind_proxy else ()

    @property
    def idle_seconds(self) -> int:
        """The seconds without use after which a session ends."""
        return self.idle_minutes * 60

    @property
    def session_seconds(self) -> int:
        """The seconds after its start at which a session ends, even if the user is active."""
        return self.session_hours * 3600
