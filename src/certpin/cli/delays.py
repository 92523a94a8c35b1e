"""Options of how long it takes until every client has what was published."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from certpin.errors import InputError
from certpin.rotation import Timing, format_duration, parse_duration

if TYPE_CHECKING:
    from datetime import timedelta

_WORDS = {
    "cdn": "How long the CDN may serve an old version.",
    "cache": "How long a client may keep one in its cache.",
    "poll": "How often a client asks.",
    "opened": "How long until the last user opens the app.",
    "skew": "How wrong the clocks are.",
}


def _duration(ctx: click.Context, parameter: click.Parameter, text: str | None) -> timedelta | None:
    try:
        return None if text is None else parse_duration(text)
    except InputError as exc:
        raise click.BadParameter(str(exc), ctx, parameter) from exc


def delay_options(command: Any) -> Any:
    """Give a command the options of ``Timing``, and one argument, ``delays``, with those given."""

    @wraps(command)
    def with_delays(**options: Any) -> Any:
        given = {each.name: options.pop(each.name) for each in fields(Timing)}
        delays = {name: value for name, value in given.items() if value is not None}
        return command(delays=delays, **options)

    wrapped: Any = with_delays
    for each in reversed(fields(Timing)):
        usual = format_duration(getattr(Timing(), each.name))
        wrapped = click.option(
            f"--{each.name}",
            callback=_duration,
            metavar="DURATION",
            help=f"{_WORDS[each.name]} By default as at the last publish, else {usual}.",
        )(wrapped)
    return wrapped


def merged(timing: Timing, delays: dict[str, timedelta]) -> Timing:
    """The delays with those that the user gave now."""
    changes: dict[str, Any] = dict(delays)
    return replace(timing, **changes)
