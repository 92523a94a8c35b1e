"""Find the known TOML key for a misspelt or misplaced one, and return an error that suggests it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.x509 import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable


def closest_key(name: str, known: Iterable[str]) -> str:
    """Return the key in ``known`` that a misspelt TOML key resembles; empty if it resembles none.

    The comparison ignores case, and treats hyphens and spaces as underscores. It tolerates one
    typing slip for every three letters of the known key, and at least one. A slip is an additional,
    missing or wrong letter, or two neighbouring letters in the wrong order.
    """
    written = re.sub("[- ]", "_", name.lower())
    near = [(slips, key) for key in known if (slips := _slips(written, key)) <= _tolerated(key)]
    return min(near, default=(0, ""), key=lambda each: each[0])[1]


def _tolerated(key: str) -> int:
    return max(1, len(key) // 3)


def _slips(written: str, key: str) -> int:
    """Return the number of typing slips between two keys (optimal string alignment distance).

    ``written`` is the key in the file, and ``key`` a known one. The number is exact up to the limit
    that is tolerated: one for every three letters, and at least one. If there are more slips, the
    result is some number above the limit.
    """
    if abs(len(written) - len(key)) > _tolerated(key):
        return len(key)
    before, row = [0] * (len(key) + 1), list(range(len(key) + 1))
    for at, letter in enumerate(written, 1):
        earlier, before, row = before, row, [at]
        for place, right in enumerate(key, 1):
            slips = min(before[place] + 1, row[-1] + 1, before[place - 1] + (letter != right))
            if at > 1 and place > 1 and (written[at - 2], letter) == (right, key[place - 2]):
                slips = min(slips, earlier[place - 2] + 1)
            row.append(slips)
    return row[-1]


def misspelt_key_error(key: str, name: str, meant: str) -> ConfigError:
    """Return the error for an unknown TOML key that resembles a known one.

    Args:
        key: the full key, such as ``host[2].nmae``.
        name: the last part of ``key``, such as ``nmae``.
        meant: the known key that the error suggests.
    """
    return ConfigError(
        f"{quoted(name)} is not a key of this table, and looks like {meant!r}",
        key=key,
        fix=f"write {meant!r}, or remove the line",
    )


def misplaced_key_error(key: str, name: str, table: str) -> ConfigError:
    """Return the error for a TOML key that has no effect, because it belongs to another table.

    Args:
        key: the full key, such as ``host[2].pin[0].mode``.
        name: the last part of ``key``, such as ``mode``.
        table: the header of the table in which it belongs, such as ``[[host]]``.
    """
    return ConfigError(
        f"{quoted(name)} is not a key of this table, but of {table}",
        key=key,
        fix=f"move the line to {table}, above the next header, or remove it",
    )
