"""What the middleware and the pages of one watch share: the memory of who was wrong, and right."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from anyio import CapacityLimiter

from certpin_watch.addresses import is_local_only, is_loopback
from certpin_watch.auth import accounts
from certpin_watch.auth.guesses import Guesses
from certpin_watch.auth.origin import host_of
from certpin_watch.auth.passwords import AT_ONCE
from certpin_watch.auth.provider import Provider
from certpin_watch.auth.throttle import Recorded, Throttle
from certpin_watch.auth.verified import Verified

if TYPE_CHECKING:
    from certpin_watch.settings import ServiceSettings
    from certpin_watch.snapshot import Watch
    from certpin_watch.store import Store


@dataclass(eq=False)
class Door:
    """One watch's way in."""

    settings: ServiceSettings
    store: Store
    programs: Throttle = field(default_factory=Throttle)
    records: Recorded = field(default_factory=Recorded)
    verified: Verified = field(default_factory=Verified)
    provider: Provider | None = None
    trying: int = 0  # tries to sign in that are on their way
    # Passwords are computed in threads that nothing else waits for, as many as compute at a time.
    computing: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(AT_ONCE))

    def __post_init__(self) -> None:
        self.logins = Guesses(self.store)

    def is_open(self) -> bool:
        """Whether nobody signs in here: nobody has an account, and only this machine can ask."""
        if not may_be_open(self.settings):
            return False
        with self.store.read() as connection:
            return not accounts.any_exists(connection)


_DOORS: WeakKeyDictionary[Store, Door] = WeakKeyDictionary()


def door_of(watch: Watch) -> Door:
    """The door of a watch: always the same one for the same store and settings."""
    door = _DOORS.get(watch.store)
    if door is None or door.settings is not watch.settings:
        oidc = watch.settings.access.oidc
        provider = Provider(oidc) if oidc else None
        door = Door(watch.settings, watch.store, provider=provider)
        _DOORS[watch.store] = door
    return door


def may_be_open(settings: ServiceSettings) -> bool:
    """Whether a watch without accounts may let this machine's user in.

    A proxy in front, or a public address, is a way in from elsewhere.
    """
    public = host_of(settings.public_url.partition("://")[2].partition("/")[0])
    access = settings.access
    return (
        is_local_only(settings.listen[0])
        and not access.behind_proxy
        and access.oidc is None
        and (not settings.public_url or is_loopback(public))
    )
