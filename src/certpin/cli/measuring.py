"""Options that let what clients told the watch count in a rotation."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.choices import CYCLE_DAYS

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.cli.ledger import Ledger
    from certpin.rotation import Enough, Timing

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%", re.ASCII)

_OPTIONS = (
    click.option(
        "--watch",
        metavar="URL",
        help="Ask this watch which versions clients told that they hold: its address, with a "
        "token of the scope read in CERTPIN_WATCH_TOKEN; or its database (sqlite:///FILE, "
        "env:NAME). A version that is told after its time counts as alive.",
    ),
    click.option(
        "--enough",
        metavar="PERCENT%",
        help="Do not wait for the last user: a version has ended when all but so few of --seen "
        "clients told something newer, day by day for --seen-days. Whoever can send to the "
        "collector can lie; clients without a reporter are not seen.",
    ),
    click.option(
        "--seen", type=click.IntRange(1), metavar="N", help="How many clients tell at least a day."
    ),
    click.option(
        "--seen-days",
        type=click.IntRange(CYCLE_DAYS, 366),
        metavar="DAYS",
        help=f"How many whole days in a row; {CYCLE_DAYS} by default, and at least.",
    ),
)


@dataclass(frozen=True)
class Measuring:
    """Where what clients told is, and whether it may shorten the waiting."""

    watch: str | None = None
    enough: str | None = None
    seen: int | None = None
    seen_days: int | None = None

    def apply(self, ledger: Ledger, timing: Timing, now: datetime) -> None:
        """Let it count. Raises ``ProbeError``, ``StoreError`` and ``ConfigError``: without an
        answer of the watch that was named, nothing goes on.
        """
        from certpin.cli.measured_source import told_by
        from certpin.rotation import measured

        if self.watch is None:
            return
        field, enough = ledger.history.field, self._enough()
        versions = {each.number for each in field.versions}
        told = told_by(self.watch, ledger.pins.name, now, versions)
        ledger.measured = measured(field, told, timing, now, enough)

    def check(self) -> None:
        """Raise ``click.UsageError`` where one option needs another."""
        if (self.enough is None) != (self.seen is None):
            raise click.UsageError("--enough and --seen go together: enough of how many?")
        if self.seen_days is not None and self.enough is None:
            raise click.UsageError("--seen-days goes with --enough")
        if self.enough is not None and self.watch is None:
            raise click.UsageError("--enough needs --watch: who has counted?")
        self._enough()

    def _enough(self) -> Enough | None:
        from certpin.errors import InputError
        from certpin.rotation import Enough

        if self.enough is None or self.seen is None:
            return None
        percent = _PERCENT.fullmatch(self.enough.strip())
        if not percent:
            raise click.UsageError("--enough is a share, as in 99.9%")
        try:
            return Enough(Fraction(percent[1]) / 100, self.seen, self.seen_days or CYCLE_DAYS)
        except InputError as exc:
            raise click.UsageError(f"--enough: {exc.problem}") from exc


def measuring_options(command: Any) -> Any:
    """Give a command the options of ``Measuring``, as one argument, ``measuring``."""

    @wraps(command)
    def with_measuring(**options: Any) -> Any:
        mine = {each.name: options.pop(each.name) for each in fields(Measuring)}
        measuring = Measuring(**mine)
        measuring.check()
        return command(measuring=measuring, **options)

    wrapped: Any = with_measuring
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped
