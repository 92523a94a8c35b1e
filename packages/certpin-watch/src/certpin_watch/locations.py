"""Locations that hosts are probed from: their names, and the URLs of the API for their workers."""

from __future__ import annotations

import re

from certpin.errors import ConfigError

WORKER_JOBS, WORKER_RESULTS = "/api/v1/worker/jobs", "/api/v1/worker/results"
# A name is part of the scope of a token, and a label of metrics.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")


def check_location(name: str, key: str) -> str:
    """Return the name of a location.

    Raises:
        ConfigError: it is no such name; ``key`` is the setting that has it.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name[:80]!r} is not the name of a vantage",
            key=key,
            fix="lower-case letters, digits, - and _, at most 64",
        )
    return name
