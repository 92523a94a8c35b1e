"""Fixtures for pinned clients: one nginx with a host name for each case, and a pin set for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority
from tests import kit
from tests.clients._names import resolve_here
from tests.servers.nginx import Nginx, nginx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.lab import Identity
    from certpin.pins import Pin, PinSet

# Variables of the machine that runs the tests: proxies, and bundles for requests.
_VARIABLES = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("requests_ca_bundle", "curl_ca_bundle"),
)
_SOUND = ("api", "backup", "mitm", "report", "unpinned")


@dataclass(frozen=True)
class Bank:
    """An nginx with a host name below ``.test`` for each case, and the pin set for its clients.

    ``api`` serves a pinned key and ``backup`` the backup key; ``mitm`` serves a key that is not
    pinned, under the trusted root, and so does ``report``, which has a report-only policy.
    ``expired``, ``stranger`` (an untrusted authority) and ``misnamed`` (another name) serve
    pinned keys. ``unpinned`` has no policy. ``shared`` and ``twin`` serve one certificate that is
    valid for both, and pinned only for ``shared``.
    """

    web: Nginx
    pins: PinSet
    authority: Pin  # of the certificates, except that of ``stranger``
    before: int = 0  # the number of requests before this test

    def url(self, name: str, path: str = "/") -> str:
        return f"https://{name}.test:{self.web.port}{path}"

    def redirect(self, target: str) -> str:
        """Return a URL of the host ``api`` that redirects to the URL ``target``."""
        return self.url("api", f"/redirect?to={target}")

    def clear_text(self, name: str = "api") -> str:
        """Return the ``http://`` URL of a host."""
        return f"http://{name}.test:{self.web.plain}/"

    def arrived(self, name: str) -> list[str]:
        """Return the requests of this test that reached a name over TLS."""
        return self._arrived(f"{name}.test")

    def arrived_in_clear_text(self) -> list[str]:
        """Return the requests of this test that reached any name without TLS."""
        return self._arrived("in-clear-text")

    def connections(self, name: str) -> int:
        """Return the number of TLS connections on which the requests of this test arrived."""
        arrivals = self.web.details()[self.before :]
        return len({each["connection"] for each in arrivals if each["name"] == f"{name}.test"})

    def _arrived(self, name: str) -> list[str]:
        arrivals = self.web.arrivals()[self.before :]
        return [request for server, request in arrivals if server == name]


@pytest.fixture
def bank(bank_of_the_module: Bank) -> Bank:
    return replace(bank_of_the_module, before=len(bank_of_the_module.web.arrivals()))


@pytest.fixture(scope="module")
def bank_of_the_module(root: Authority, intermediate: Authority) -> Iterator[Bank]:
    identities = {name: intermediate.issue(f"{name}.test") for name in _SOUND}
    identities["expired"] = intermediate.issue("expired.test", days=-0.01)
    identities["stranger"] = Authority("Unknown Root").issue("stranger.test")
    identities["misnamed"] = intermediate.issue("elsewhere.test")
    identities["shared"] = identities["twin"] = intermediate.issue("shared.test", "twin.test")
    with nginx({f"{name}.test": identity for name, identity in identities.items()}) as web:
        yield Bank(web, _pins_of(identities), intermediate.pin)


def _pins_of(identities: dict[str, Identity]) -> PinSet:
    served = ("api", "expired", "stranger", "misnamed", "shared")
    return kit.pin_set(
        *(kit.policy(f"{name}.test", identities[name].pin) for name in served),
        kit.policy("backup.test", kit.NOBODY, identities["backup"].pin),
        kit.policy("mitm.test"),
        kit.policy("report.test", mode="report"),
        kit.policy("twin.test"),
    )


@pytest.fixture(autouse=True)
def surroundings(trusted_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve ``*.test`` to 127.0.0.1, trust the test root, and unset all proxy variables."""
    resolve_here(monkeypatch)
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
