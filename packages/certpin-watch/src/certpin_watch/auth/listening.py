"""Whether the watch may listen where it was told to. Asked before a socket is opened."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from sqlalchemy import exists, select

from certpin.errors import ConfigError
from certpin_watch.addresses import is_local_only
from certpin_watch.auth import accounts
from certpin_watch.auth.door import may_be_open
from certpin_watch.store.schema import SchemaState, schema_state
from certpin_watch.store.tables.service import TOKENS

if TYPE_CHECKING:
    from certpin_watch.settings import ServiceSettings
    from certpin_watch.store import Store


def check_listening(settings: ServiceSettings, store: Store) -> None:
    """Refuse what would let anybody in, or let anybody read along. Raises ``ConfigError``.

    The store is empty, or has its schema already. That the certificate is a good one, and that the
    proxy in front does end TLS, is not checked.
    """
    _refuse_half_a_provider(settings)
    if may_be_open(settings):
        return
    if settings.access.oidc is None and not _has_credentials(store):
        raise ConfigError(
            "it can be reached from other machines, and nobody would need a password",
            key="listen",
            fix="certpin watch user add NAME --role admin, or [access.oidc] in watch.toml; "
            "or listen on 127.0.0.1 with no proxy in front",
        )
    if is_local_only(settings.listen[0]):
        return
    if settings.tls is None and not settings.access.behind_proxy:
        raise ConfigError(
            "passwords and sessions would pass the network in clear text",
            key="listen",
            fix="set tls_certificate and tls_key; or, if a proxy in front ends TLS, "
            "access.behind_proxy = true",
        )


def _has_credentials(store: Store) -> bool:
    if schema_state(store).state is SchemaState.EMPTY:
        return False
    token = select(exists().select_from(TOKENS).where(TOKENS.c.revoked_at.is_(None)))
    with store.read() as connection:
        return accounts.any_exists(connection) or bool(connection.execute(token).scalar())


def _refuse_half_a_provider(settings: ServiceSettings) -> None:
    """The provider sends browsers back to an address that no request may choose, and is asked over
    TLS that somebody vouches for.
    """
    if settings.access.oidc and settings.access.oidc.ca_file:
        try:
            ssl.create_default_context(cafile=settings.access.oidc.ca_file)
        except OSError as exc:  # ssl.SSLError is one
            raise ConfigError(
                "these authorities cannot be used",
                key="access.oidc.ca_file",
                fix="a file of PEM that this user can read, beside watch.toml or with its path",
            ) from exc
    if settings.access.oidc and not settings.public_url.startswith(("https://", "http://")):
        raise ConfigError(
            "OpenID Connect needs the address under which people reach the watch",
            key="public_url",
            fix="as in https://watch.bank.example",
        )
