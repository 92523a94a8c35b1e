"""The pin set: every policy of an application, and which of them covers a host."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.pins.hosts import is_address, normalise

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.pins.policy import HostPolicy, TrustAnchors


_REMEMBERED = 4096  # hosts whose policy is at hand


@dataclass(frozen=True)
class PinSet:
    """Policies under a name and a version. Immutable; raises ``ConfigError`` if unsafe.

    ``version`` only ever rises. ``debug`` holds the anchors of a debugging proxy; they count only
    where the environment asks for them too (``CERTPIN_DEBUG=1``).
    """

    name: str
    version: int
    policies: tuple[HostPolicy, ...]
    debug: TrustAnchors | None = None

    def __post_init__(self) -> None:
        if not self._index:  # made here, and not in the first handshake after a swap
            raise ConfigError(
                "the pin set is empty: it protects nothing", key="host", fix="certpin add HOST"
            )
        if self.version < 1:
            raise ConfigError("a version is 1 or more", key="version", fix="write version = 1")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.name, self.version, self.policies, self.debug)

    def policy_for(self, host: str) -> HostPolicy | None:
        """The most specific policy that covers a host, in any spelling of it; or ``None``.

        An exact name goes before ``*.``, that before ``**.``, and a longer suffix before a shorter
        one. Takes one dictionary look-up a label, however many hosts there are, and none for a
        host that was asked for lately. Raises ``HostError`` on what is no host.
        """
        return self._remembered(host)

    @cached_property
    def _remembered(self) -> Callable[[str], HostPolicy | None]:
        return lru_cache(maxsize=_REMEMBERED)(self._find)

    def _find(self, host: str) -> HostPolicy | None:
        host = normalise(host)
        exact = self._index.get(host)
        if exact is not None or not self._has_wildcards or is_address(host):
            return exact
        return self._wildcard_for(host)

    def _wildcard_for(self, host: str) -> HostPolicy | None:
        _, _, parent = host.partition(".")
        candidates = [f"**.{host}", f"*.{parent}"]
        while parent:
            candidates.append(f"**.{parent}")
            _, _, parent = parent.partition(".")
        return next((self._index[key] for key in candidates if key in self._index), None)

    @cached_property
    def _has_wildcards(self) -> bool:
        return any(policy.pattern.wildcard for policy in self.policies)

    @cached_property
    def _index(self) -> dict[str, HostPolicy]:
        """Return the policies by their patterns. Raises ``ConfigError`` if two have the same."""
        index: dict[str, HostPolicy] = {}
        for number, policy in enumerate(self.policies):
            pattern = str(policy.pattern)
            if pattern in index:
                raise ConfigError(
                    f"{pattern} has two policies",
                    key=f"host[{number}].name",
                    fix="make one of them",
                )
            index[pattern] = policy
        return index
