"""The address of the NATS server, and a check that its client library is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from certpin.errors import ConfigError
from certpin_watch.addresses import is_local_only

if TYPE_CHECKING:
    from certpin_watch.secret import Secret

_TRUSTED = "tls=disable"


def nats_address(secret: Secret) -> str:
    """Check the address of the NATS server, and return it as nats-py needs it.

    Reports and the password are sent to this address. NATS sends clear text unless the server asks
    for TLS, and an attacker on the path can remove that request. So the address has to start with
    ``tls://``, or to state that the network is trusted.

    Raises:
        ConfigError: this is not an address, or could lead to clear text in an untrusted network.
            The error contains nothing of the address, because it has a password.
    """
    key, text = secret.key or "nats", secret.reveal()
    scheme, host, query = _parts(text)
    if not host or scheme not in {"nats", "tls"} or query not in {"", _TRUSTED}:
        raise ConfigError(
            "this is not the address of a NATS server",
            key=key,
            fix="write tls://USER:PASSWORD@HOST:4222, with %40, %3A, %2F for @, :, / in a password",
        )
    if scheme == "nats" and not query and not is_local_only(host):
        raise ConfigError(
            "the address does not say whether the connection to the NATS server is protected",
            key=key,
            fix=f"write tls://; or nats://…?{_TRUSTED} if the network itself is trusted",
        )
    return text.removesuffix(f"?{_TRUSTED}")


def _parts(text: str) -> tuple[str, str, str]:
    """Return scheme, host and query; empty texts if the address can't be parsed."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # urlsplit checks the port only on access
    except ValueError:
        return "", "", ""
    return parts.scheme, parts.hostname or "", parts.query


def require_nats() -> None:
    """Check that nats-py, the client library of NATS, is installed.

    Raises:
        ConfigError: it is not installed.
    """
    if find_spec("nats") is None:
        raise ConfigError(
            "JetStream needs the package nats-py", key="nats", fix="pip install 'certpin[cluster]'"
        )
