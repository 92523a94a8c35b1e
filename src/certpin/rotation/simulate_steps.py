"""A file of dated steps, for an order that no plan would have: TOML.

[[step]]
act = "publish"                  # stage, publish, serve, remove; others change nothing
at = 2027-03-01T09:00:00Z        # or after = "7d", since the beginning

[[step]]
act = "serve"
pin = "sha256/…"
after = "40d"
"""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from certpin.errors import FormatError, InputError
from certpin.pins import Pin
from certpin.rotation.simulate_script import Dated
from certpin.rotation.step import Act, Step
from certpin.rotation.timing import parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = {"act", "pin", "at", "after"}
_MOST = 10_000  # steps; each is looked at with each client
_LAST_YEAR = 9000  # as in the journal


def parse_steps(text: str, now: datetime) -> tuple[Dated, ...]:
    """Read the steps in their order. ``now`` has a time zone. Raises ``FormatError``."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as exc:
        raise FormatError(f"it is not TOML: {exc}"[:200]) from exc
    tables = document.pop("step", None)
    if document or not isinstance(tables, list) or not 0 < len(tables) <= _MOST:
        raise FormatError("it is no list of steps", fix="write [[step]] tables, and nothing else")
    return tuple(_step(number, table, now) for number, table in enumerate(tables, 1))


def _step(number: int, table: Any, now: datetime) -> Dated:
    place = f"step {number}"
    if not isinstance(table, dict) or table.keys() - _KEYS:
        raise FormatError(f"{place} has what no step has", fix=f"it has {', '.join(sorted(_KEYS))}")
    for act in get_args(Act):
        if table.get("act") == act:
            return Dated(number, Step(act, _pin(place, act, table)), _at(place, table, now))
    raise FormatError(f"{place}: there is no such act", fix=f"one of {', '.join(get_args(Act))}")


def _pin(place: str, act: Act, table: Mapping[str, Any]) -> Pin | None:
    if "pin" not in table:
        if act == "publish":
            return None
        raise FormatError(f"{place}: {act} needs a pin")
    try:
        return Pin.parse(str(table["pin"]))
    except InputError as exc:
        raise FormatError(f"{place}: {exc.problem}", fix=exc.fix) from exc


def _at(place: str, table: Mapping[str, Any], now: datetime) -> datetime:
    at, after = table.get("at"), table.get("after")
    if isinstance(after, str) and at is None:
        try:
            return now + parse_duration(after)
        except InputError as exc:
            raise FormatError(f"{place}: {exc.problem}", fix=exc.fix) from exc
    if isinstance(at, datetime) and at.tzinfo and at.year <= _LAST_YEAR and after is None:
        return at.astimezone(UTC)
    raise FormatError(
        f"{place} has no date", fix='write at = 2027-03-01T09:00:00Z, or after = "7d"'
    )
