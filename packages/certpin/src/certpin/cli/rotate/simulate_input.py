"""The input of a simulation: the options about its clients (the fleet), and a file of steps.

    schema = 1

    [[step]]
    act = "stage"              # generate, stage, publish, push, activate, serve, retire, remove
    pin = "c.key"              # a pin, a file that holds a key, or new:NAME for a key to be made
    at = 2027-03-01T09:00:00Z  # a time or a day (UTC); or after = "30d", counted from now

A step without a date is taken at the same time as the step above it; the first step is then taken
now. Steps in a wrong or senseless order are accepted: the simulation shows their effect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, get_args

import click

from certpin.cli.choices import MAX_CLIENTS, USUAL_CLIENTS, USUAL_STRAGGLERS
from certpin.cli.named_key import resolve_key
from certpin.cli.options import option_group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from certpin.pinfile.file import Table
    from certpin.pins import Pin
    from certpin.rotation import AdoptionDelays, DeployedVersions, Step, Version
    from certpin.rotation.fleet import Fleet, FleetSizes
    from certpin.rotation.plan import Act
    from certpin.rotation.simulate_script import DatedStep

    PinNames = dict[Pin, str]

Curve = tuple[tuple[Fraction, timedelta], ...]

_BINARY = Fraction(1, 100)  # the share of a version in a binary without a recorded count
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)%", re.ASCII)
_VERSION = re.compile(r"[0-9]{1,19}", re.ASCII)
_SHARE_METAVAR = "PERCENT%"

_FIX = "certpin help rotate simulate has an example"
_KEYS = ("act", "pin", "at", "after")
_WITH_PIN = {"stage", "activate", "serve", "retire", "remove"}
_NEW_KEY = re.compile(r"new:([\w.-]{1,64})", re.ASCII)
_MOVE = re.compile(r"([0-9]{1,9})=([+-]?)(.{1,100})", re.ASCII)


# The options of the fleet.


def percent(share: Fraction) -> str:
    """Return a fraction of the clients as a percentage, in the form that ``--stragglers`` takes."""
    return f"{float(share * 100):.9f}".rstrip("0").rstrip(".") + "%"


def _share(text: str) -> Fraction:
    from certpin.errors import InputError

    match = _SHARE.fullmatch(text.strip())
    share = Fraction(match[1]) / 100 if match else Fraction(2)
    if share > 1:
        raise InputError(f"{text[:40]!r} is not a share", fix="write it as 1% or 0.5%, up to 100%")
    return share


def _parse_share(ctx: click.Context, parameter: click.Parameter, text: str) -> Fraction:
    from certpin.errors import InputError

    try:
        return _share(text)
    except InputError as exc:
        raise click.BadParameter(str(exc), ctx, parameter) from exc


def _parse_curve(ctx: click.Context, parameter: click.Parameter, text: str | None) -> Curve:
    """Parse how often users open an app from a text such as ``50%=1d,90%=7d,100%=30d``.

    The example means that 50 % of the users open the app at least once a day. Not checked: that the
    shares rise. ``Fleet`` checks that.

    Returns:
        Pairs of a share of users, and the longest time between two openings among that share.

    Raises:
        click.BadParameter: the text is not such a curve.
    """
    from certpin.errors import InputError
    from certpin.rotation import parse_duration

    try:
        pairs = [part.partition("=") for part in text.split(",")] if text else []
        return tuple((_share(share), parse_duration(gap)) for share, _, gap in pairs)
    except InputError as exc:
        raise click.BadParameter(str(exc), ctx, parameter) from exc


def _parse_binaries(
    ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]
) -> dict[int, Fraction]:
    found: dict[int, Fraction] = {}
    for word in words:
        number, _, share = word.partition("=")
        if not _VERSION.fullmatch(number) or int(number) in found:
            raise click.BadParameter(
                f"{word[:40]!r} is not a version, or repeats one (write it as 11=2%)",
                ctx,
                parameter,
            )
        found[int(number)] = _parse_share(ctx, parameter, share)
    return found


@dataclass(frozen=True)
class FleetOptions:
    """The options that describe the simulated clients (the fleet).

    Attributes:
        clients: the number of clients; None for the number in the journal.
        curve: how often users open the app: pairs of a share of users, and the longest time between
            two openings among that share; empty for the default.
        stragglers: the share of the slowest clients, for which each delay has its maximum.
        binaries: for each version number, the share of clients with that version in their binary.
    """

    clients: int | None
    curve: Curve
    stragglers: Fraction
    binaries: dict[int, Fraction]

    def fleet(
        self, deployed: DeployedVersions, alive: Sequence[Version], timing: AdoptionDelays
    ) -> Fleet:
        """Return the simulated clients, as the options and the journal describe them.

        Args:
            deployed: all published versions.
            alive: the published versions that clients may still hold.
            timing: the delays until clients update.

        Raises:
            InputError: a value is out of range.
            ConfigError: ``--binary`` names a version that is in no binary, or that no client holds
                any more.
        """
        from certpin.errors import ConfigError
        from certpin.rotation.arrivals import usual_curve
        from certpin.rotation.fleet import Fleet, deployed_sizes, is_unnamed

        binaries = [each.number for each in alive if is_unnamed(each)]
        for number in self.binaries:
            if number not in binaries:
                raise ConfigError(
                    f"no binary with version {number} is recorded, or it has ended",
                    key="--binary",
                    fix="record it: certpin rotate shipped",
                )
        known = deployed_sizes(deployed)
        clients = self.clients or known.total or known.fetching or USUAL_CLIENTS
        shares = {
            number: _default_share(known.binaries.get(number), clients)
            for number in sorted(set(binaries))
        }
        shares |= self.binaries
        return Fleet(
            clients,
            timing,
            self.curve or usual_curve(timing),
            self.stragglers,
            tuple(shares.items()),
            _app_shares(known, clients, shares),
        )


fleet_options = option_group(
    "crowd",
    (
        click.option(
            "--clients",
            type=click.IntRange(1, MAX_CLIENTS),
            metavar="N",
            help="How many clients there are. By default as many as the journal has, "
            f"else {USUAL_CLIENTS:,}.",
        ),
        click.option(
            "--curve",
            callback=_parse_curve,
            metavar="SHARE=GAP,…",
            help="How often people open the app: 50%=1d,90%=7d,100%=30d is half of them at least "
            "once a day, and so on. By default 50% within a thirtieth of --opened, 90% within a "
            "quarter.",
        ),
        click.option(
            "--stragglers",
            callback=_parse_share,
            default=USUAL_STRAGGLERS,
            show_default=True,
            metavar=_SHARE_METAVAR,
            help="The share of clients for which every delay takes as long as it can.",
        ),
        click.option(
            "--binary",
            "binaries",
            multiple=True,
            callback=_parse_binaries,
            metavar=f"VERSION={_SHARE_METAVAR}",
            help="The share of clients that hold a version in a binary, and never another one. By "
            f"default as its publish recorded, else {percent(_BINARY)} for each. May be repeated.",
        ),
    ),
    FleetOptions,
)


def fleet_text(fleet: Fleet) -> str:
    """Return one sentence that describes the simulated clients, with all default values."""
    from certpin.rotation import format_duration

    delays = " + ".join(f"{name} {text}" for name, text in fleet.timing.texts().items())
    curve = ", ".join(
        f"{percent(share)} within {format_duration(gap)}" for share, gap in fleet.curve
    )
    parts = [
        f"{fleet.clients:,} clients",
        f"T_adopt {format_duration(fleet.timing.adopt)}: {delays}",
        f"the app is opened by {curve}",
        f"every delay is as long as it can be for {percent(fleet.stragglers)}",
    ]
    parts += [
        f"version {number} in a binary of {percent(share)}" for number, share in fleet.binaries
    ]
    parts += [f"{name} is used by {percent(share)}" for name, share in fleet.apps]
    return "Fleet: " + "; ".join(parts) + "."


def _default_share(known: int | None, clients: int) -> Fraction:
    return _BINARY if known is None or known > clients else Fraction(known, clients)


def _app_shares(
    known: FleetSizes, clients: int, binaries: Mapping[int, Fraction]
) -> tuple[tuple[str, Fraction], ...]:
    """Return each app with the share of clients that uses it.

    The share of an app is its recorded number of clients, divided by ``clients``. If the number is
    unknown or larger than ``clients``, the app gets a default share; but if no client fetches
    versions, such apps get equal parts of the remaining clients.

    Args:
        known: the numbers of clients, as the journal records them.
        clients: the number of simulated clients.
        binaries: for each version number, the share of clients with that version in a binary.
    """
    shares = {name: _default_share(count, clients) for name, count in known.apps.items()}
    unknown = [name for name, count in known.apps.items() if count is None or count > clients]
    if unknown and known.fetching == 0:
        others = sum((share for name, share in shares.items() if name not in unknown), Fraction(0))
        left = max(Fraction(0), 1 - others - sum(binaries.values()))
        shares |= dict.fromkeys(unknown, left / len(unknown))
    return tuple(shares.items())


# The steps of a file, and moved steps.


def parse_moves(
    ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]
) -> dict[int, timedelta]:
    """Parse values of ``--move`` such as ``3=-5d``: step 3 is taken five days earlier.

    Returns:
        For each step number, the duration by which the step is moved; negative for earlier.
    """
    from certpin.errors import InputError
    from certpin.rotation import parse_duration

    moves: dict[int, timedelta] = {}
    for word in words:
        parts = _MOVE.fullmatch(word)
        if parts is None or int(parts[1]) in moves:
            raise click.BadParameter(
                f"{word[:40]!r} moves no step, or repeats one (write it as 3=-5d)", ctx, parameter
            )
        try:
            by = parse_duration(parts[3])
        except InputError as exc:
            raise click.BadParameter(str(exc), ctx, parameter) from exc
        moves[int(parts[1])] = -by if parts[2] == "-" else by
    return moves


def read_steps(path: Path, now: datetime) -> tuple[tuple[DatedStep, ...], PinNames]:
    """Read the steps of a ``--steps`` file. Their delays (``after``) begin at ``now``.

    Returns:
        The steps with their dates; and a map from pins to names. The map has each pin that the
        steps file gives by a name, such as that of a key file, and not as a pin.

    Raises:
        PinFileError: the file is invalid. The error names the line.
    """
    from certpin.errors import PinFileError
    from certpin.pinfile.file import Table, load_toml, locate_errors, read_text

    try:
        text = read_text(path)
        data = load_toml(text, path)
    except PinFileError as exc:
        raise PinFileError(exc.problem, path=path, line=exc.line, fix=_FIX) from exc
    names: PinNames = {}

    def pin_of(word: str) -> Pin:
        pin = _parse_pin(word, path.parent)
        names.setdefault(pin, word)
        return pin

    with locate_errors(text, path):
        steps = parse_steps(Table(data), now, pin_of)
    return steps, {pin: word for pin, word in names.items() if word != str(pin)}


def parse_steps(top: Table, now: datetime, pin_of: Callable[[str], Pin]) -> tuple[DatedStep, ...]:
    """Return the steps of a ``--steps`` file with their dates, in its order, numbered from 1.

    Args:
        top: the top-level table of the TOML file.
        now: the current time.
        pin_of: returns the pin for a value of ``pin``.

    Raises:
        ConfigError: a value is invalid.
    """
    from certpin.errors import ConfigError
    from certpin.pinfile.reader import refuse_other_schema
    from certpin.rotation.simulate_script import MAX_STEPS, DatedStep

    refuse_other_schema(top)
    _refuse_unknown(top, ("schema", "step"))
    tables = list(top.tables("step"))
    if not 1 <= len(tables) <= MAX_STEPS:
        raise ConfigError(
            f"there are {len(tables)} steps", key="step", fix=f"write 1 to {MAX_STEPS} [[step]]"
        )
    found: list[DatedStep] = []
    for number, table in enumerate(tables, 1):
        at = _moment(table, now, found[-1].at if found else now)
        found.append(DatedStep(number, _step(table, pin_of), at))
    return tuple(found)


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


def _parse_pin(word: str, folder: Path) -> Pin:
    """Return the pin for a value of ``pin`` in a step: a pin, a key file, or ``new:NAME``.

    ``word`` is the value. ``new:NAME`` is a key that does not exist yet; its pin is a hash of the
    name. A relative path of a key file is looked up in ``folder``.
    """
    import hashlib

    from certpin.errors import InputError
    from certpin.hsm import is_token_uri
    from certpin.kms import is_service_uri
    from certpin.pins import Pin

    if new := _NEW_KEY.fullmatch(word):
        return Pin.of_key(hashlib.sha256(f"a key to be made: {new[1]}".encode()).digest())
    if is_token_uri(word) or is_service_uri(word):
        # A URI may name a library to load or a server. Only the user may do that, not a file.
        raise InputError("a schedule can't name a key by a URI", fix="give its pin")
    try:
        return Pin.parse(word)
    except InputError:
        return resolve_key(str(folder / word)).pin


def _moment(table: Table, now: datetime, before: datetime) -> datetime:
    """Return the time of a step in UTC: by its ``at`` or ``after``, else that of the previous step.

    Args:
        table: the TOML table of the step.
        now: the current time, from which ``after`` counts.
        before: the time of the previous step.

    Raises:
        ConfigError: the step has both ``at`` and ``after``, or a date that is invalid or too far
            away.
    """
    from certpin.errors import ConfigError, InputError
    from certpin.rotation import format_duration, parse_duration
    from certpin.support.text import LONGEST_DURATION

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
    if abs(at - now) > LONGEST_DURATION:
        raise ConfigError(
            "the date is too far away",
            key=table.under("at"),
            fix=f"at most {format_duration(LONGEST_DURATION)} from now",
        )
    return at.astimezone(UTC)


def _refuse_unknown(table: Table, known: tuple[str, ...]) -> None:
    """Raise ``ConfigError`` if a TOML table has keys that are not in ``known``.

    An example is a misspelt ``at`` in the table of a step.
    """
    from certpin.errors import ConfigError

    for name in sorted(table.data.keys() - set(known)):
        raise ConfigError(
            f"{name[:40]!r} is not a known key", key=table.key, fix=f"one of {', '.join(known)}"
        )
