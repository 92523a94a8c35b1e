"""The lab for devices inside its WireGuard tunnel: the same schedule, and the same page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.device.connection import ObservedConnection, routed_here
from certpin.lab.device.page import HOST
from certpin.lab.device.visitor import Visitor
from certpin.lab.transport.addresses import Addresses
from certpin.lab.transport.dns import Resolver
from certpin.lab.transport.wireguard import WireGuard

if TYPE_CHECKING:
    from certpin.lab.device.page import Page
    from certpin.lab.device.schedule import Schedule
    from certpin.lab.transport.conversation import Conversation
    from certpin.lab.transport.front import Reached


def arrival(schedule: Schedule, page: Page, destination: Reached) -> ObservedConnection | Visitor:
    """The conversation for a destination inside the tunnel."""
    if destination.host == HOST:
        return Visitor(schedule, page)
    return routed_here(schedule, destination)


def tunnel(schedule: Schedule, page: Page) -> WireGuard:
    """A server for the device, not started yet. Raises ``LabError`` where a package is missing."""
    addresses = Addresses()

    def find(host: str) -> str | None:
        return addresses.allot(host) if host == HOST or schedule.tests(host) else None

    def make(destination: Reached) -> Conversation:
        return arrival(schedule, page, destination)

    return WireGuard(make, Resolver(find), addresses, _over)


def _over(conversation: Conversation) -> None:
    if isinstance(conversation, (ObservedConnection, Visitor)):
        conversation.ended()
