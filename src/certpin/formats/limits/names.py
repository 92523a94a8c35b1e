"""Limitations on the form of host names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.projection import PolicyLimitation
from certpin.pins.hosts import is_address

if TYPE_CHECKING:
    from certpin.pins import HostPolicy


class NamesOnly(PolicyLimitation):
    """The platform pins only names: it would stop, or leave IP addresses unpinned."""

    aspect = "hosts"
    summary = "IP addresses: refused"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Refuse an address."""
        if is_address(policy.pattern.name):
            raise ConfigError(
                "it is an IP address",
                key="name",
                fix="give the server a name, or export only the other hosts: --host HOST",
            )
        return policy, ""


class NoWildcard(PolicyLimitation):
    """The platform verifies the one name in its file."""

    aspect = "hosts"
    summary = "`*.name` and `**.name`: refused"

    def project_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Refuse wildcards. Without a name, any server of the authority would be accepted."""
        if policy.pattern.wildcard:
            raise ConfigError(
                "it covers several names, but the platform verifies one",
                key="name",
                fix="add a policy for each host",
            )
        return policy, ""
