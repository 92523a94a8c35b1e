"""The state of access control in one process, and checks before the service listens."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from anyio import CapacityLimiter

from certpin.errors import ConfigError
from certpin_watch.addresses import is_local_only, is_loopback
from certpin_watch.auth.openid import OpenIDProvider
from certpin_watch.auth.passwords import MAX_PARALLEL
from certpin_watch.auth.throttle import AuditLimit, LoginThrottle, TokenThrottle
from certpin_watch.auth.tokens import VerifiedTokens
from certpin_watch.origin import host_of
from certpin_watch.store.accounts import has_accounts
from certpin_watch.store.schema import SchemaState, schema_state
from certpin_watch.store.tokens import has_tokens

if TYPE_CHECKING:
    from certpin_watch.context import Watch
    from certpin_watch.settings import ServiceSettings
    from certpin_watch.store import Store


@dataclass(eq=False)
class AuthState:
    """The state of access control: throttles, caches and the OpenID provider.

    ``attempts`` is the number of attempts to log in that are being checked. ``hashing`` limits the
    threads that check passwords, so that no other request waits for them.
    """

    settings: ServiceSettings
    store: Store
    logins: LoginThrottle = field(init=False)
    tokens: TokenThrottle = field(default_factory=TokenThrottle)
    openid_audit: AuditLimit = field(default_factory=AuditLimit)
    verified: VerifiedTokens = field(default_factory=VerifiedTokens)
    provider: OpenIDProvider | None = None
    attempts: int = 0
    hashing: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(MAX_PARALLEL))

    def __post_init__(self) -> None:
        self.logins = LoginThrottle(self.store)

    def is_open(self) -> bool:
        """Return True if local requests need no login.

        That is so if there is no account, and no other machine can reach the service.
        """
        if not may_be_open(self.settings):
            return False
        with self.store.read() as connection:
            return not has_accounts(connection)


_STATES: WeakKeyDictionary[Store, AuthState] = WeakKeyDictionary()


def auth_state(watch: Watch) -> AuthState:
    """Return the access-control state of a service.

    It is the same object on every call, until the service gets other settings.
    """
    state = _STATES.get(watch.store)
    if state is None or state.settings is not watch.settings:
        oidc = watch.settings.access.oidc
        state = AuthState(
            watch.settings, watch.store, provider=OpenIDProvider(oidc) if oidc else None
        )
        _STATES[watch.store] = state
    return state


def may_be_open(settings: ServiceSettings) -> bool:
    """Return True if the settings permit local requests without a login.

    They don't if other machines can reach the service: through a proxy, or under a public address.
    """
    public = host_of(settings.public_url.partition("://")[2].partition("/")[0])
    access = settings.access
    return (
        is_local_only(settings.listen[0])
        and not access.behind_proxy
        and access.oidc is None
        and (not settings.public_url or is_loopback(public))
    )


def check_listening(settings: ServiceSettings, store: Store) -> None:
    """Check that access control lets the service listen. Call it before a socket is opened.

    The store is empty, or has the current schema. NOT checked: that the certificate is valid, and
    that the proxy in front terminates TLS.

    Raises:
        ConfigError: clients would need no credentials, passwords would cross the network in clear
            text, or the OpenID provider can't be used.
    """
    _check_provider(settings)
    if may_be_open(settings):
        return
    if settings.access.oidc is None and not _has_credentials(store):
        raise ConfigError(
            "other machines can reach the service, and need no password",
            key="listen",
            fix="certpin watch user add NAME --role admin, or [access.oidc] in watch.toml; "
            "or listen on 127.0.0.1 with no proxy in front",
        )
    if is_local_only(settings.listen[0]):
        return
    if settings.tls is None and not settings.access.behind_proxy:
        raise ConfigError(
            "passwords and sessions would cross the network in clear text",
            key="listen",
            fix="set tls_certificate and tls_key; or, if a proxy in front terminates TLS, "
            "access.behind_proxy = true",
        )


def _has_credentials(store: Store) -> bool:
    if schema_state(store).state is SchemaState.EMPTY:
        return False
    with store.read() as connection:
        return has_accounts(connection) or has_tokens(connection)


def _check_provider(settings: ServiceSettings) -> None:
    """Check the OpenID settings: the file with authorities, and the public address.

    The provider redirects browsers to that address, so it comes from the settings, not from
    requests.
    """
    if settings.access.oidc and settings.access.oidc.ca_file:
        try:
            ssl.create_default_context(cafile=settings.access.oidc.ca_file)
        except OSError as exc:  # ssl.SSLError is one
            raise ConfigError(
                "these authorities cannot be used",
                key="access.oidc.ca_file",
                fix="name a PEM file that this user can read, beside watch.toml or with its path",
            ) from exc
    if settings.access.oidc and not settings.public_url.startswith(("https://", "http://")):
        raise ConfigError(
            "OpenID Connect needs the address under which users reach the service",
            key="public_url",
            fix="write https://watch.bank.example, for example",
        )
