"""Where reports go: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from certpin.errors import ConfigError, HostError
from certpin.pins import normalise
from certpin.pins.policy import is_report_address

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.pins import PinSet
    from certpin.reports.reporter.failure import Failure

_PRESENCE_TO = 8  # addresses at most


def required(addresses: Iterable[str]) -> tuple[str, ...]:
    """The addresses that a reporter is given. Raises ``ConfigError``."""
    found = (addresses,) if isinstance(addresses, str) else tuple(addresses)
    for address in found:
        if not is_report_address(address):
            raise ConfigError(
                f"{address!r} is not an https:// address",
                key="report_to",
                fix="reports name hosts and certificates: send them over TLS",
            )
    return found


def of_failure(failure: Failure, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the host's policy, or ``otherwise`` where it has none.

    A host that cannot be reached safely is not told so over the same way (RFC 7469 section 2.1.4).
    """
    own = () if failure.policy is None else failure.policy.report_to
    return tuple(each for each in own or otherwise if host_of(each) != failure.host)


def of_presence(name: str, sets: Iterable[PinSet]) -> tuple[str, ...]:
    """Those of every policy of the sets that have this name."""
    named = [pins for pins in sets if pins.name == name]
    found = (to for pins in named for policy in pins.policies for to in policy.report_to)
    return tuple(dict.fromkeys(found))[:_PRESENCE_TO]


def host_of(address: str) -> str:
    """The host of an address, normalised."""
    try:
        return normalise(urlsplit(address).hostname or "")
    except (ValueError, HostError):
        return ""
