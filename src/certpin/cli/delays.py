"""Options of how long it takes until every client has what was published."""

from __future__ import annotations

from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.choices import DELAYS

if TYPE_CHECKING:
    from datetime import timedelta

    from certpin.rotation import Timing

_WORDS = {
    "cdn": "How long the CDN may serve an old version.",
    "cache": "How long a client may keep one in its cache.",
    "poll": "How often a client asks.",
    "opened": "How long until the last user opens the app.",
    "skew": "How wrong the clocks are.",
}


def _duration(ctx: click.Context, parameter: click.Parameter, text: str | None) -> timedelta | None:
    from certpin.errors import InputError
    from certpin.rotation import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except InputError as exc:
        raise click.BadParameter(str(exc), ctx, parameter) from exc


def delay_options(command: Any) -> Any:
    """Give a command the options of ``Timing``, and one argument, ``delays``, with those given."""

    @wraps(command)
    def with_delays(**options: Any) -> Any:
        given = {name: options.pop(name) for name in DELAYS}
        delays = {name: value for name, value in given.items() if value is not None}
        return command(delays=delays, **options)

    wrapped: Any = with_delays
    for name, usual in reversed(DELAYS.items()):
        wrapped = click.option(
            f"--{name}",
            callback=_duration,
            metavar="DURATION",
            help=f"{_WORDS[name]} By default as at the last publish, else {usual}.",
        )(wrapped)
    return wrapped


def merged(timing: Timing, delays: dict[str, timedelta]) -> Timing:
    """The delays with those that the user gave now."""
    changes: dict[str, Any] = dict(delays)
    return replace(timing, **changes)
