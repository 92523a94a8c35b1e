"""Permissions: scopes of tokens, roles of users, names of locations, and the text of a token.

A scope is a permission, such as to read or to silence alerts. A route requires one scope. A role is
a set of scopes. A token has the scopes with which it was made.

The text of a token is ``certpin_ID_SECRET``. Its last six characters are a checksum, as in GitHub's
tokens. So secret scanners recognise a token, and a mistyped token is refused without a database
query.
"""

from __future__ import annotations

import re
import secrets
import string
from binascii import crc32
from typing import TYPE_CHECKING

from certpin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

# The requirements of routes. ANYONE admits everyone, SIGNED_IN every user, whatever their role.
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

WORKER_JOBS, WORKER_RESULTS = "/api/v1/worker/jobs", "/api/v1/worker/results"
# Browsers send no requests to these routes, and the routes limit the bodies that they read:
# `auth.access` leaves both to them.
WORKER_PATHS = frozenset({WORKER_JOBS, WORKER_RESULTS})

# From the lowest to the highest: each role includes the scopes of the one before it.
ROLES: dict[str, frozenset[str]] = {
    "viewer": frozenset({READ, METRICS}),
    "operator": frozenset({READ, METRICS, SILENCE}),
    "admin": frozenset(SCOPES),
}

# The name of a location is part of a scope, and a label of metrics.
_LOCATION = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")

_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID, _SECRET, _SUM = 12, 43, 6  # characters; 62^43 is more than 2^256
_FORM = re.compile(rf"certpin_([0-9A-Za-z]{{{_ID}}})_([0-9A-Za-z]{{{_SECRET + _SUM}}})")


def scopes_of(role: str) -> frozenset[str]:
    """Return the scopes (permissions) of a role; the empty set for an unknown role."""
    return ROLES.get(role, frozenset())


def highest_role(roles: Iterable[str]) -> str | None:
    """Return the role with the most permissions among ``roles``; None if none of them is known.

    It is for users whose groups have several roles. Unknown roles are ignored.
    """
    order = list(ROLES)
    return max((role for role in roles if role in ROLES), key=order.index, default=None)


def check_location(name: str, key: str) -> str:
    """Return the name of a location (a machine that probes hosts) unchanged if it is valid.

    A valid name has 1 to 64 lower-case letters, digits, hyphens and underscores. It begins and ends
    with a letter or a digit.

    Raises:
        ConfigError: the name is invalid. The error names ``key``, the setting that contains it.
    """
    if not _LOCATION.fullmatch(name):
        raise ConfigError(
            f"{name[:80]!r} is not the name of a location",
            key=key,
            fix="lower-case letters, digits, - and _, at most 64",
        )
    return name


def worker_scope(location: str) -> str:
    """Return the scope of a token for workers of a location: ``worker:LOCATION``.

    A worker is a program that probes hosts from another machine, its location. Its token has no
    other scope.
    """
    return f"{WORKER}:{location}"


def location_of(scopes: frozenset[str]) -> str:
    """Return the location that the scopes of a worker's token name; empty for any other token.

    A location is a machine that probes hosts. ``scopes`` are all scopes (permissions) of one token.
    A worker's token has exactly one, ``worker:LOCATION``. So the result is empty for a token with
    several scopes.
    """
    if len(scopes) != 1:
        return ""
    kind, _, location = next(iter(scopes)).partition(":")
    return location if kind == WORKER else ""


def new_token() -> tuple[str, str]:
    """Return the ID and the secret of a new random token. Nothing is stored."""
    return _random(_ID), _random(_SECRET)


def token_text(token_id: str, secret: str) -> str:
    """Return the text of a token, ``certpin_ID_SECRET``, including its checksum."""
    text = f"certpin_{token_id}_{secret}"
    return text + _checksum(text)


def parse_token(text: str) -> tuple[str, str] | None:
    """Split the text of a token into its ID and its secret, and check the checksum.

    Return None if the text is not a token, or the checksum is wrong.
    """
    if (found := _FORM.fullmatch(text)) is None or _checksum(text[:-_SUM]) != text[-_SUM:]:
        return None
    return found[1], found[2][:-_SUM]


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def _checksum(text: str) -> str:
    rest, letters = crc32(text.encode()), ""
    for _ in range(_SUM):
        rest, digit = divmod(rest, len(_LETTERS))
        letters = _LETTERS[digit] + letters
    return letters
