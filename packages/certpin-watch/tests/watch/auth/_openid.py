"""A browser that signs in through the OpenID Connect provider of a test."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from joserfc.jwk import RSAKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab import Authority
    from tests.servers.oidc import Provider
    from tests.watch.auth._kit import Service

PUBLIC = "https://watch.bank.example"
ROLES = {"staff": "viewer", "oncall": "operator", "security": "admin"}
KEY = RSAKey.generate_key(2048, auto_kid=True)


def leave(openid_service: Service, path: str = "/hosts/a.example") -> tuple[Any, str]:
    """Begin a login. Return the browser, and the URL of the provider to which it is redirected."""
    browser = openid_service.browser(PUBLIC, "192.0.2.9")
    answer = browser.get("/login/openid", params={"next": path})
    assert answer.status_code == 303, answer.text
    return browser, answer.headers["location"]


def at_provider(address: str, provider: Provider, root: Authority) -> str:
    """Request the URL ``address`` of the provider. Return the URL to which it redirects the
    browser.
    """
    context = ssl.create_default_context(cadata=root.pem.decode())
    with httpx.Client(verify=context, trust_env=False) as client:
        return str(client.get(address).headers["location"])


def come_back(browser: Any, address: str) -> Any:
    """Follow the provider's redirect to the service, and return the response of the service.

    As in real browsers, the request is marked as one from another site.
    """
    parts = urlsplit(address)
    headers = {"sec-fetch-site": "cross-site"}
    return browser.get(f"{parts.path}?{parts.query}", headers=headers)


def log_in(openid_service: Service, provider: Provider, root: Authority) -> tuple[Any, Any]:
    browser, address = leave(openid_service)
    return browser, come_back(browser, at_provider(address, provider, root))


def refusal_of(openid_service: Service, provider: Provider, root: Authority) -> str:
    """Check that a login is refused. Return the reason in the audit log."""
    browser, answer = log_in(openid_service, provider, root)
    assert answer.status_code == 403
    assert browser.get("/").status_code == 303
    return openid_service.audit_log()[-1][3]


def set_claims(**claims: Any) -> Callable[[dict[str, Any]], None]:
    """Return a function that changes claims; times are in seconds from now, None removes one."""

    def change(found: dict[str, Any]) -> None:
        for name, value in claims.items():
            if value is None:
                del found[name]
            else:
                found[name] = time.time() + value if name in {"exp", "iat"} else value

    return change
