"""Roles of people, scopes of tokens, and what each lets in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# What a route can ask for. ANYONE needs nothing at all, SIGNED_IN a person, whatever they may do.
ANYONE = "anyone"
SIGNED_IN = "signed-in"
READ = "read"
METRICS = "metrics"
SILENCE = "silence"
ADMIN = "admin"

SCOPES = (READ, METRICS, SILENCE, ADMIN)
REQUIREMENTS = (ANYONE, SIGNED_IN, *SCOPES)

# From the least to the most: a person with several roles has the last of them.
ROLES: dict[str, frozenset[str]] = {
    "viewer": frozenset({READ, METRICS}),
    "operator": frozenset({READ, METRICS, SILENCE}),
    "admin": frozenset(SCOPES),
}


def scopes_of(role: str) -> frozenset[str]:
    """What a role may do; a role that nobody knows may do nothing."""
    return ROLES.get(role, frozenset())


def highest(roles: Iterable[str]) -> str | None:
    """The role that may do most, or ``None``."""
    order = list(ROLES)
    return max((role for role in roles if role in ROLES), key=order.index, default=None)
