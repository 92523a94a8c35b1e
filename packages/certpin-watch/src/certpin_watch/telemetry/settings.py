"""The table ``[telemetry]`` of ``watch.toml``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.errors import ConfigError, InputError
from certpin.pins.policy import is_report_address
from certpin.rotation import parse_duration
from certpin_watch.secret import read_secret

if TYPE_CHECKING:
    from certpin.pinfile.fields import Table
    from certpin_watch.secret import Secret

KNOWN: tuple[str, ...] = ("endpoint", "headers", "interval", "sampling", "service_name")

_LEAST_INTERVAL = timedelta(seconds=1)


@dataclass(frozen=True)
class Settings:
    """What stands in the table; each has a default. Without an endpoint there is no telemetry.

    ``headers`` are NAME=VALUE pairs with commas between. ``sampling`` is the share of traces that
    is sent, ``interval`` how often metrics are.
    """

    endpoint: str = ""
    headers: Secret | None = None
    service_name: str = "certpin-watch"
    sampling: float = 1.0
    interval: timedelta = timedelta(seconds=60)


def read(table: Table) -> Settings:
    """Read the table. Raises ``ConfigError``."""
    endpoint = table.text("endpoint", "")
    if endpoint and not is_report_address(endpoint):
        raise ConfigError(
            "this is not an https:// address",
            key=table.under("endpoint"),
            fix="http:// is for a collector on this machine alone",
        )
    return Settings(
        endpoint.rstrip("/"),
        read_secret(table, "headers") if "headers" in table.data else None,
        table.text("service_name", "certpin-watch"),
        _share(table),
        _interval(table),
    )


def pairs_of(headers: Secret | None, key: str = "telemetry.headers") -> dict[str, str]:
    """Headers by their names. Raises ``ConfigError``, which has none of them in it."""
    text = headers.reveal() if headers else ""
    pairs = [each.partition("=") for each in text.split(",") if each.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise ConfigError("these are no headers", key=key, fix="write NAME=VALUE,NAME=VALUE")
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _share(table: Table) -> float:
    value = table.data.get("sampling", 1.0)
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= 1:
        raise ConfigError("this is no share", key=table.under("sampling"), fix="from 0.0 to 1.0")
    return float(number)


def _interval(table: Table) -> timedelta:
    key = table.under("interval")
    try:
        found = parse_duration(table.text("interval", "60s"))
    except InputError as exc:
        raise ConfigError(exc.problem, key=key, fix=exc.fix) from exc
    if found < _LEAST_INTERVAL:
        raise ConfigError("nobody wants it that often", key=key, fix="at least 1s")
    return found
