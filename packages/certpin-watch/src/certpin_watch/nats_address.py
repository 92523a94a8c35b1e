"""The address of a NATS server, as settings write it: whether the way there is protected. Pure.

Reports and the password pass it. NATS itself speaks in clear text unless the server asks for
TLS, and whoever is on the way can take that word out: so an address says ``tls://``, or says itself
that the network is trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from certpin.errors import ConfigError
from certpin_watch.addresses import is_local_only

if TYPE_CHECKING:
    from certpin_watch.secret import Secret

_TRUSTED = "tls=disable"


def nats_address(secret: Secret) -> str:
    """The address as the client of NATS takes it.

    Raises ``ConfigError`` where it is none, or does not say how the way is protected. Nothing of it
    is in the error: there is a password in it.
    """
    key, text = secret.key or "nats", secret.reveal()
    scheme, host, query = _parts(text)
    if not host or scheme not in {"nats", "tls"} or query not in {"", _TRUSTED}:
        raise ConfigError(
            "that is no address of a NATS server",
            key=key,
            fix="write tls://USER:PASSWORD@HOST:4222, with %40, %3A, %2F for @, :, / in a password",
        )
    if scheme == "nats" and not query and not is_local_only(host):
        raise ConfigError(
            "the address does not say whether the way to the NATS server is protected",
            key=key,
            fix=f"write tls://; or nats://…?{_TRUSTED}, where the network itself is trusted",
        )
    return text.removesuffix(f"?{_TRUSTED}")


def _parts(text: str) -> tuple[str, str, str]:
    """Scheme, host and query; nothing where it cannot be read."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # is looked at when it is asked for
    except ValueError:
        return "", "", ""
    return parts.scheme, parts.hostname or "", parts.query
