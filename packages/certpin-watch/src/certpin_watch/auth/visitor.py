"""Who asks: a person, a program, or nobody that is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from certpin_watch.auth.roles import ANYONE, ROLES, SIGNED_IN, WORKER, location_of

# local: the only user of a watch on the loopback that has no accounts.
Kind = Literal["nobody", "local", "account", "openid", "token"]
_PEOPLE: tuple[Kind, ...] = ("local", "account", "openid")


@dataclass(frozen=True)
class Visitor:
    """Who asks, and what they may do.

    ``source`` is the prefix of their address. ``csrf`` is what their forms have to bring along.
    ``session`` is the digest under which their session is kept, ``account`` the number of their
    account; both are missing where there is none. ``recheck``: the session is somebody's whom the
    provider has to name again before they are anybody.
    """

    kind: Kind = "nobody"
    name: str = ""
    scopes: frozenset[str] = frozenset()
    source: str = ""
    csrf: str = field(default="", repr=False)
    session: bytes | None = field(default=None, repr=False)
    account: int | None = None
    recheck: bool = False

    @property
    def signed_in(self) -> bool:
        """Whether this is a person who may come in."""
        return self.kind in _PEOPLE

    @property
    def role(self) -> str:
        """The role that may do just this, or an empty string: tokens have scopes of their own."""
        return next((role for role, may in ROLES.items() if may == self.scopes), "")

    @property
    def location(self) -> str:
        """The location that a worker's token is for; empty for every other visitor."""
        return location_of(self.scopes)

    def may(self, requirement: str) -> bool:
        """Whether they meet what a route asks for. What nobody knows is met by nobody."""
        if requirement == ANYONE:
            return True
        if requirement == SIGNED_IN:
            return self.signed_in
        if requirement == WORKER:
            return bool(self.location)
        return requirement in self.scopes
