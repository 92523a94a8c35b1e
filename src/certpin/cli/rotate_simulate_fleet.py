"""Options of a simulated fleet: how many clients, how they come by a version, which are stuck."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.choices import MOST_CLIENTS, USUAL_CLIENTS, USUAL_STRAGGLERS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from certpin.cli.options import Decorator
    from certpin.rotation import Timing, Version
    from certpin.rotation.simulate_fleet import Fleet

_BINARY = Fraction(1, 100)  # of a version in a binary of which nobody has said how many hold it
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)%", re.ASCII)
_VERSION = re.compile(r"[0-9]{1,19}", re.ASCII)
_SHARE_METAVAR = "PERCENT%"

Curve = tuple[tuple[Fraction, "timedelta"], ...]


def percent(share: Fraction) -> str:
    """A share as ``--stragglers`` takes it."""
    return f"{float(share * 100):.9f}".rstrip("0").rstrip(".") + "%"


def _share(text: str) -> Fraction:
    from certpin.errors import InputError

    match = _SHARE.fullmatch(text.strip())
    share = Fraction(match[1]) / 100 if match else Fraction(2)
    if share > 1:
        raise InputError(f"{text[:40]!r} is not a share", fix="write it as 1% or 0.5%, up to 100%")
    return share


def _one_share(ctx: click.Context, parameter: click.Parameter, text: str) -> Fraction:
    from certpin.errors import InputError

    try:
        return _share(text)
    except InputError as exc:
        raise click.BadParameter(str(exc), ctx, parameter) from exc


def _curve(ctx: click.Context, parameter: click.Parameter, text: str | None) -> Curve:
    """Read ``50%=1d,90%=7d,100%=30d``; ``Fleet`` looks whether it rises."""
    from certpin.errors import InputError
    from certpin.rotation import parse_duration

    try:
        pairs = [part.partition("=") for part in text.split(",")] if text else []
        return tuple((_share(share), parse_duration(gap)) for share, _, gap in pairs)
    except InputError as exc:
        raise click.BadParameter(str(exc), ctx, parameter) from exc


def _binaries(
    ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]
) -> dict[int, Fraction]:
    found: dict[int, Fraction] = {}
    for word in words:
        number, _, share = word.partition("=")
        if not _VERSION.fullmatch(number) or int(number) in found:
            raise click.BadParameter(
                f"{word[:40]!r} is no version, or one twice (as in 11=2%)", ctx, parameter
            )
        found[int(number)] = _one_share(ctx, parameter, share)
    return found


_OPTIONS: tuple[Decorator, ...] = (
    click.option(
        "--clients",
        type=click.IntRange(1, MOST_CLIENTS),
        metavar="N",
        help="How many clients there are. By default as many as the last publish said, else "
        f"{USUAL_CLIENTS:,}.",
    ),
    click.option(
        "--curve",
        callback=_curve,
        metavar="SHARE=GAP,…",
        help="How often people open the app: 50%=1d,90%=7d,100%=30d is half of them at least once "
        "a day, and so on. By default 50% within a thirtieth of --opened, 90% within a quarter.",
    ),
    click.option(
        "--stragglers",
        callback=_one_share,
        default=USUAL_STRAGGLERS,
        show_default=True,
        metavar=_SHARE_METAVAR,
        help="The share of clients for which every delay takes as long as it can.",
    ),
    click.option(
        "--binary",
        "binaries",
        multiple=True,
        callback=_binaries,
        metavar=f"VERSION={_SHARE_METAVAR}",
        help="The share of clients that hold a version in a binary, and never another one. By "
        f"default as many as its publish said, else {percent(_BINARY)} for each. May be repeated.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**64 - 1),
        default=1,
        show_default=True,
        metavar="N",
        help="Where the draws begin. The same seed makes the same fleet.",
    ),
)


@dataclass(frozen=True)
class Crowd:
    """The clients as the user said it."""

    clients: int | None
    curve: Curve
    stragglers: Fraction
    binaries: dict[int, Fraction]
    seed: int

    def fleet(self, alive: Sequence[Version], timing: Timing) -> Fleet:
        """The fleet in a field. Raises ``InputError`` and ``ConfigError``."""
        from certpin.errors import ConfigError
        from certpin.rotation.simulate_fleet import usual_curve

        bundled = {each.number: each for each in alive if each.bundled}
        for number in self.binaries:
            if number not in bundled:
                raise ConfigError(
                    f"version {number} is in no binary that is recorded and has not ended",
                    key="--binary",
                    fix="record it: certpin rotate publish --bundled",
                )
        clients = self.clients or (alive[-1].clients if alive else None) or USUAL_CLIENTS
        shares = {number: _usual(each, clients) for number, each in sorted(bundled.items())}
        binaries = tuple((shares | self.binaries).items())
        curve = self.curve or usual_curve(timing)
        from certpin.rotation.simulate_fleet import Fleet

        return Fleet(clients, timing, curve, self.stragglers, binaries, self.seed)


def crowd_options(command: Any) -> Any:
    """Give a command the options of ``Crowd``, and one argument, ``crowd``, with them all."""

    @wraps(command)
    def with_crowd(**options: Any) -> Any:
        mine = {each.name: options.pop(each.name) for each in fields(Crowd)}
        return command(crowd=Crowd(**mine), **options)

    wrapped: Any = with_crowd
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def fleet_words(fleet: Fleet) -> str:
    """The fleet in one sentence, so that no default goes unsaid."""
    from certpin.rotation import format_duration

    delays = " + ".join(f"{name} {text}" for name, text in fleet.timing.texts().items())
    curve = ", ".join(
        f"{percent(share)} within {format_duration(gap)}" for share, gap in fleet.curve
    )
    parts = [
        f"{fleet.clients:,} clients (seed {fleet.seed})",
        f"T_adopt {format_duration(fleet.timing.adopt)}: {delays}",
        f"the app is opened by {curve}",
        f"every delay is as long as it can be for {percent(fleet.stragglers)}",
    ]
    parts += [
        f"version {number} in a binary of {percent(share)}" for number, share in fleet.binaries
    ]
    return "Fleet: " + "; ".join(parts) + "."


def _usual(version: Version, clients: int) -> Fraction:
    """The share of a binary that nobody gave one for."""
    known = version.clients if version.fetched is None else None
    return _BINARY if known is None or known > clients else Fraction(known, clients)
