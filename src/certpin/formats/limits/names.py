"""Platforms that know hosts by names of one shape alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.fit import PolicyLimit
from certpin.pins.hosts import is_address

if TYPE_CHECKING:
    from certpin.pins import HostPolicy


class NamesOnly(PolicyLimit):
    """The platform pins names, and no IP addresses: it would leave those unpinned, or stop."""

    aspect = "hosts"
    summary = "IP addresses: refused"

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Refuse an address."""
        if is_address(policy.pattern.name):
            raise ConfigError(
                "it is an IP address",
                key="name",
                fix="give the server a name, or export the other hosts alone: --host HOST",
            )
        return policy, ""


class NoWildcard(PolicyLimit):
    """The platform verifies the one name that stands in its file."""

    aspect = "hosts"
    summary = "`*.name` and `**.name`: refused"

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Refuse a wildcard: without a name, any server of the authority would do."""
        if policy.pattern.wildcard:
            raise ConfigError(
                "it stands for many names, and one has to be verified",
                key="name",
                fix="give each host a policy of its own",
            )
        return policy, ""
