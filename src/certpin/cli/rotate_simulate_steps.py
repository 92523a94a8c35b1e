"""A schedule that somebody wrote, in TOML, and steps that are moved: what is to be simulated.

    schema = 1

    [[step]]
    act = "stage"              # generate, stage, publish, push, activate, serve, retire, remove
    pin = "c.key"              # a pin, a file that holds a key, or new:NAME for a key to be made
    at = 2027-03-01T09:00:00Z  # a moment or a day (UTC); or after = "30d", counted from now

A step without a date is taken in the moment of the one above it; the first one now. Steps may
stand in any order, and make any sense or none: that is what the simulation is for.
"""

from __future__ import annotations

import re
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, get_args

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from certpin.pinfile.fields import Table
    from certpin.pins import Pin
    from certpin.rotation import Step
    from certpin.rotation.plan import Act
    from certpin.rotation.simulate_script import Dated

    Names = dict[Pin, str]

_FIX = "see the example in docs/commands.md, under certpin rotate simulate"
_KEYS = ("act", "pin", "at", "after")
_WITH_PIN = {"stage", "activate", "serve", "retire", "remove"}
_NEW = re.compile(r"new:([\w.-]{1,64})", re.ASCII)
_MOVE = re.compile(r"([0-9]{1,9})=([+-]?)(.{1,100})", re.ASCII)


def read_steps(path: Path, now: datetime) -> tuple[tuple[Dated, ...], Names]:
    """The steps of a file, and how it calls their pins. Raises ``PinFileError``."""
    from certpin.errors import PinFileError
    from certpin.pinfile.disk import read_text
    from certpin.pinfile.fields import Table
    from certpin.pinfile.reader import load_toml, placed

    try:
        text = read_text(path)
        data = load_toml(text, path)
    except PinFileError as exc:
        raise PinFileError(exc.problem, path=path, line=exc.line, fix=_FIX) from exc
    names: Names = {}

    def pin_of(word: str) -> Pin:
        pin = _pin(word, path.parent)
        names.setdefault(pin, word)
        return pin

    with placed(text, path):
        steps = parse_steps(Table(data), now, pin_of)
    return steps, {pin: word for pin, word in names.items() if word != str(pin)}


def parse_steps(top: Table, now: datetime, pin_of: Callable[[str], Pin]) -> tuple[Dated, ...]:
    """The steps in the order of the file, numbered from 1. Raises ``ConfigError``."""
    from certpin.errors import ConfigError
    from certpin.pinfile.reader import refuse_other_schema
    from certpin.rotation.simulate_script import MOST_STEPS, Dated

    refuse_other_schema(top)
    _refuse_unknown(top, ("schema", "step"))
    tables = list(top.tables("step"))
    if not 1 <= len(tables) <= MOST_STEPS:
        raise ConfigError(
            f"there are {len(tables)} steps", key="step", fix=f"write 1 to {MOST_STEPS} [[step]]"
        )
    found: list[Dated] = []
    for number, table in enumerate(tables, 1):
        at = _moment(table, now, found[-1].at if found else now)
        found.append(Dated(number, _step(table, pin_of), at))
    return tuple(found)


def parse_moves(
    ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]
) -> dict[int, timedelta]:
    """Read ``3=-5d``: how far each step is moved. A callback of an option."""
    from certpin.errors import InputError
    from certpin.rotation import parse_duration

    moves: dict[int, timedelta] = {}
    for word in words:
        parts = _MOVE.fullmatch(word)
        if parts is None or int(parts[1]) in moves:
            raise click.BadParameter(
                f"{word[:40]!r} moves no step, or one twice (as in 3=-5d)", ctx, parameter
            )
        try:
            by = parse_duration(parts[3])
        except InputError as exc:
            raise click.BadParameter(str(exc), ctx, parameter) from exc
        moves[int(parts[1])] = -by if parts[2] == "-" else by
    return moves


def _step(table: Table, pin_of: Callable[[str], Pin]) -> Step:
    from certpin.errors import CertpinError, ConfigError
    from certpin.rotation import Step
    from certpin.rotation.plan import Act

    _refuse_unknown(table, _KEYS)
    act: Act = table.choice("act", get_args(Act), None)
    if act not in _WITH_PIN:
        if "pin" in table.data:
            raise ConfigError(f"{act} has no pin", key=table.under("pin"), fix="leave it out")
        return Step(act)
    word = table.text("pin")
    try:
        return Step(act, pin_of(word))
    except CertpinError as exc:
        problem = getattr(exc, "problem", str(exc))
        raise ConfigError(problem, key=table.under("pin"), fix=exc.fix) from exc


def _pin(word: str, folder: Path) -> Pin:
    """The key that is meant. One that nobody has made yet has a pin all the same: its name's."""
    import hashlib

    from certpin.cli.aim import aim
    from certpin.errors import InputError
    from certpin.hsm import is_token_uri
    from certpin.pins import Pin

    if new := _NEW.fullmatch(word):
        return Pin.of_key(hashlib.sha256(f"a key to be made: {new[1]}".encode()).digest())
    if is_token_uri(word):
        # It may name a library to be loaded: that is for who types it, not for a file.
        raise InputError("a schedule names no key on a token", fix="give its pin")
    try:
        return Pin.parse(word)
    except InputError:
        return aim(str(folder / word)).pin


def _moment(table: Table, now: datetime, before: datetime) -> datetime:
    """The date of a step, in UTC."""
    from certpin.errors import ConfigError, InputError
    from certpin.rotation import format_duration, parse_duration
    from certpin.rotation.timing import LONGEST

    if "after" in table.data:
        if "at" in table.data:
            raise ConfigError("there is a date too", key=table.under("after"), fix="keep one")
        try:
            return now + parse_duration(table.text("after"))
        except InputError as exc:
            raise ConfigError(exc.problem, key=table.under("after"), fix=exc.fix) from exc
    at = table.moment("at")
    if at is None:
        return before
    if at.tzinfo is None:
        raise ConfigError(
            "the time has no zone", key=table.under("at"), fix="write it as 2027-03-01T09:00:00Z"
        )
    if abs(at - now) > LONGEST:
        raise ConfigError(
            "that is too far away",
            key=table.under("at"),
            fix=f"at most {format_duration(LONGEST)} from now",
        )
    return at.astimezone(UTC)


def _refuse_unknown(table: Table, known: tuple[str, ...]) -> None:
    """A misspelt date would be simulated as none."""
    from certpin.errors import ConfigError

    for name in sorted(table.data.keys() - set(known)):
        raise ConfigError(
            f"{name[:40]!r} is not known here", key=table.key, fix=f"one of {', '.join(known)}"
        )
