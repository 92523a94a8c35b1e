"""Roles of people, scopes of tokens, and what each lets in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.locations import WORKER_JOBS, WORKER_RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterable

# What a route can ask for. ANYONE needs nothing at all, SIGNED_IN a person, whatever they may do.
ANYONE = "anyone"
SIGNED_IN = "signed-in"
READ = "read"
METRICS = "metrics"
SILENCE = "silence"
ADMIN = "admin"

# A worker takes the jobs of its location and posts their results. Its token has one scope,
# `worker:LOCATION`, and no role includes it.
WORKER = "worker"

SCOPES = (READ, METRICS, SILENCE, ADMIN)
REQUIREMENTS = (ANYONE, SIGNED_IN, *SCOPES, WORKER)

# Their routes admit workers only, whose requests no browser sends, and read bodies within bounds of
# their own: `middleware` leaves both to them.
WORKER_PATHS = frozenset({WORKER_JOBS, WORKER_RESULTS})

# From the least to the most: a person with several roles has the last of them.
ROLES: dict[str, frozenset[str]] = {
    "viewer": frozenset({READ, METRICS}),
    "operator": frozenset({READ, METRICS, SILENCE}),
    "admin": frozenset(SCOPES),
}


def scopes_of(role: str) -> frozenset[str]:
    """What a role may do; a role that nobody knows may do nothing."""
    return ROLES.get(role, frozenset())


def worker_scope(location: str) -> str:
    """Return the one scope of a token for the workers of a location."""
    return f"{WORKER}:{location}"


def location_of(scopes: frozenset[str]) -> str:
    """Return the location whose jobs these scopes admit to; empty if they are not a worker's.

    Scopes of other kinds beside it admit to no job: a worker's token can do nothing else.
    """
    if len(scopes) != 1:
        return ""
    kind, _, location = next(iter(scopes)).partition(":")
    return location if kind == WORKER else ""


def highest(roles: Iterable[str]) -> str | None:
    """The role that may do most, or ``None``."""
    order = list(ROLES)
    return max((role for role in roles if role in ROLES), key=order.index, default=None)
