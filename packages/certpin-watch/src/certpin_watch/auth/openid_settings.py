"""The table ``[access.oidc]`` of ``watch.toml``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from certpin.errors import ConfigError
from certpin_watch.auth.roles import ROLES
from certpin_watch.secret import Secret, read_secret

if TYPE_CHECKING:
    from certpin.pinfile.fields import Table

KNOWN: tuple[str, ...] = (
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

# What a provider signs with and everybody can verify. With none nobody has signed; with HS256 the
# client's secret does, and a public key taken for one lets anybody sign (RFC 8725, 2.1 and 3.1).
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
_MOST_MINUTES = 24 * 60
_DEFAULT_ALGORITHMS = ("RS256", "PS256", "ES256")


@dataclass(frozen=True)
class Settings:
    """An OpenID provider, and which of its groups may do what.

    ``roles`` maps a value of the claim ``claim`` to a role; whoever has none of them is not let
    in. ``ca_file`` are the only authorities that are trusted for the provider, if it is given. What
    it says of somebody counts for ``recheck_minutes``.
    """

    issuer: str
    client_id: str
    client_secret: Secret
    roles: dict[str, str]
    claim: str = "groups"
    name: str = "single sign-on"
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    algorithms: tuple[str, ...] = _DEFAULT_ALGORITHMS
    ca_file: Path | None = None
    recheck_minutes: int = 60

    @property
    def recheck_seconds(self) -> int:
        """How long what the provider said of somebody counts."""
        return self.recheck_minutes * 60


def read(table: Table) -> Settings:
    """Read the table. Raises ``ConfigError``."""
    if unknown := sorted(table.data.keys() - set(KNOWN)):
        raise ConfigError(
            "this is not known here",
            key=table.under(unknown[0]),
            fix=f"known are {', '.join(KNOWN)}",
        )
    ca_file = table.text("ca_file", "")
    return Settings(
        issuer=_issuer(table),
        client_id=table.text("client_id"),
        client_secret=read_secret(table, "client_secret"),
        roles=_roles(table),
        claim=table.text("claim", Settings.claim),
        name=table.text("name", Settings.name),
        scopes=_scopes(table),
        algorithms=_algorithms(table),
        ca_file=Path(ca_file) if ca_file else None,
        recheck_minutes=_minutes(table),
    )


def _issuer(table: Table) -> str:
    """OpenID Connect Discovery 1.0, 4.1: https, with neither query nor fragment."""
    issuer = table.text("issuer")
    parts = urlsplit(issuer)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(
            "this is not the issuer of a provider",
            key=table.under("issuer"),
            fix="as in https://id.bank.example, as the provider itself writes it",
        )
    return issuer


def _roles(table: Table) -> dict[str, str]:
    found = table.table("roles")
    groups = found.data if found else {}
    roles = {group: found.choice(group, tuple(ROLES), None) for group in groups} if found else {}
    if not roles:
        raise ConfigError(
            "without it nobody could sign in",
            key=table.under("roles"),
            fix='map a group to a role, as in { "watch-admins" = "admin" }',
        )
    return roles


def _minutes(table: Table) -> int:
    name = "recheck_minutes"
    value = table.integer(name) if name in table.data else Settings.recheck_minutes
    if not 1 <= value <= _MOST_MINUTES:
        raise ConfigError(
            f"{value} is not right", key=table.under(name), fix=f"1 to {_MOST_MINUTES}"
        )
    return value


def _scopes(table: Table) -> tuple[str, ...]:
    scopes = table.texts("scopes") or Settings.scopes
    return scopes if "openid" in scopes else ("openid", *scopes)


def _algorithms(table: Table) -> tuple[str, ...]:
    names = table.texts("algorithms") or Settings.algorithms
    if refused := sorted(set(names) - set(ALGORITHMS)):
        raise ConfigError(
            f"{refused[0][:20]!r} is not accepted",
            key=table.under("algorithms"),
            fix=f"take of {', '.join(ALGORITHMS)}",
        )
    return names
