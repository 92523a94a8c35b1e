"""Fixtures for the tests of pin enforcement: servers and authorities of a bank and an attacker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from certpin import PinnedSSLContext
from certpin.lab import Authority
from tests import kit
from tests.tls._wire import HOST, OTHER

if TYPE_CHECKING:
    from pathlib import Path

    from certpin import HostPolicy, Pin
    from certpin.lab import Identity
    from certpin.pins import PinSet


@dataclass(frozen=True)
class World:
    """Certificate authorities and two server identities for a test.

    ``good`` is the bank's identity for both of its names; ``evil`` is an attacker's identity for
    the same names. The platform trusts ``root`` and ``rogue``: without pins, clients would accept
    ``evil``.
    """

    root: Authority
    intermediate: Authority
    rogue: Authority
    good: Identity
    evil: Identity

    def policy(self, *pins: Pin, host: str = HOST, **fields: Any) -> HostPolicy:
        """Return a policy of ``host`` with these pins; by default, with the pin of ``good``."""
        return kit.policy(host, *(pins or (self.good.pin,)), **fields)

    def pins(self, *pins: Pin, version: int = 1, debug: Any = None, **fields: Any) -> PinSet:
        """Return a pin set that has a policy only for ``HOST``."""
        return kit.pin_set(self.policy(*pins, **fields), version=version, debug=debug)

    def context(self, *pins: Pin, **fields: Any) -> PinnedSSLContext:
        """Return a context with pins only for ``HOST``. It refuses all other hosts."""
        return PinnedSSLContext(self.pins(*pins, **fields))


@dataclass(frozen=True)
class _Served:
    rogue: Authority
    good: Identity
    evil: Identity


@pytest.fixture(scope="session")
def served(intermediate: Authority) -> _Served:
    rogue = Authority("Rogue Root")
    return _Served(rogue, intermediate.issue(HOST, OTHER), rogue.issue(HOST, OTHER))


@pytest.fixture
def world(
    root: Authority,
    intermediate: Authority,
    served: _Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    bundle = kit.trust_on_this_platform(root, tmp_path, monkeypatch)
    bundle.write_bytes(root.pem + served.rogue.pem)
    monkeypatch.delenv("CERTPIN_DEBUG", raising=False)
    return World(root, intermediate, served.rogue, served.good, served.evil)
