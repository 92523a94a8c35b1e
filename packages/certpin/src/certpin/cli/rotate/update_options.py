"""Options about how fast clients get a version: update delays, and the usage that was measured."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.choices import CYCLE_DAYS, DELAYS
from certpin.cli.options import option_group

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from certpin.cli.rotate.files import RotationFiles
    from certpin.rotation import AdoptionDelays, Threshold

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%", re.ASCII)

# How long it takes until every client has a published version.

_DELAY_HELP = {
    "cdn": "How long the CDN may serve an old version.",
    "cache": "How long a client may keep a version in its cache.",
    "poll": "How often a client checks for a new version.",
    "opened": "How long until the last user opens the app.",
    "skew": "By how much the clocks differ.",
}


def _duration(ctx: click.Context, parameter: click.Parameter, text: str | None) -> timedelta | None:
    from certpin.errors import InputError
    from certpin.rotation import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except InputError as exc:
        raise click.BadParameter(str(exc), ctx, parameter) from exc


def _given_delays(**delays: timedelta | None) -> dict[str, timedelta]:
    return {name: delay for name, delay in delays.items() if delay is not None}


delay_options = option_group(
    "delays",
    [
        click.option(
            f"--{name}",
            callback=_duration,
            metavar="DURATION",
            help=f"{_DELAY_HELP[name]} By default as at the last publish, else {usual}.",
        )
        for name, usual in DELAYS.items()
    ],
    _given_delays,
)


def with_delays(timing: AdoptionDelays, delays: dict[str, timedelta]) -> AdoptionDelays:
    """Return the delays until clients update: the user's options in place of recorded ones."""
    changes: dict[str, Any] = dict(delays)
    return replace(timing, **changes)


# The usage that clients reported to the monitoring service.


@dataclass(frozen=True)
class UsageOptions:
    """The options that say which versions clients really have, and when that ends a version early.

    Attributes:
        watch: the address or database of the monitoring service.
        enough: the share of clients, as a text, from which a version counts as replaced.
        seen: the minimum number of clients that report each day.
        seen_days: the number of days with such reports.
        exports: reports of app stores.

    Raises:
        click.UsageError: an option lacks another one, or is invalid.
    """

    watch: str | None = None
    enough: str | None = None
    seen: int | None = None
    seen_days: int | None = None
    exports: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if (self.enough is None) != (self.seen is None):
            raise click.UsageError("--enough and --seen go together: a share needs a total")
        if self.seen_days is not None and self.enough is None:
            raise click.UsageError("--seen-days goes with --enough")
        if self.enough is not None and self.watch is None:
            raise click.UsageError("--enough needs --watch: the monitoring service has the reports")
        self._threshold()

    def apply(self, files: RotationFiles, timing: AdoptionDelays, now: datetime) -> None:
        """Read which versions clients have, and store the result in ``files.measured``.

        Do nothing if the user gave neither ``--watch`` nor ``--measured``.

        Args:
            files: the pin file and the journal.
            timing: the delays until clients update.
            now: the current time.

        Raises:
            ConfigError: the address or the token is invalid.
            ProbeError: the monitoring service does not answer.
            StoreError: its database can't be read.
            InputError: a report of a store can't be read, or has no recorded app.
        """
        from certpin.rotation import measured

        if self.exports:
            from certpin.cli.rotate.usage import with_exports

            files.measured = with_exports(files.deployed, self.exports)
        if self.watch is None:
            return
        from certpin.cli.rotate.usage import reported_usage

        deployed = files.deployed
        versions = {version.number for version in deployed.versions}
        reports = reported_usage(self.watch, files.pins.name, now, versions)
        files.measured = measured(deployed, reports, timing, now, self._threshold())

    def _threshold(self) -> Threshold | None:
        from certpin.errors import InputError
        from certpin.rotation import Threshold

        if self.enough is None or self.seen is None:
            return None
        percent = _PERCENT.fullmatch(self.enough.strip())
        if not percent:
            raise click.UsageError("--enough is a share, as in 99.9%")
        try:
            return Threshold(Fraction(percent[1]) / 100, self.seen, self.seen_days or CYCLE_DAYS)
        except InputError as exc:
            raise click.UsageError(f"--enough: {exc.problem}") from exc


usage_options = option_group(
    "usage",
    (
        click.option(
            "--watch",
            metavar="URL",
            help="Ask this monitoring service which versions clients reported: its address, with a "
            "token of the scope read in CERTPIN_WATCH_TOKEN; or its database (sqlite:///FILE, "
            "env:NAME). A version that is reported after its expected end counts as alive.",
        ),
        click.option(
            "--enough",
            metavar="PERCENT%",
            help="Do not wait for the last user: a version has ended when at most the rest of "
            "--seen clients report it or an older one, on each of --seen-days. Anyone who can send "
            "to the collector can send false reports; clients without a reporter are not counted.",
        ),
        click.option(
            "--seen",
            type=click.IntRange(1),
            metavar="N",
            help="The minimum number of clients that report each day.",
        ),
        click.option(
            "--seen-days",
            type=click.IntRange(CYCLE_DAYS, 366),
            metavar="DAYS",
            help=f"The number of consecutive whole days; by default the minimum, {CYCLE_DAYS}.",
        ),
        click.option(
            "--measured",
            "exports",
            multiple=True,
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            metavar="FILE.csv",
            help="The statistics of a store by app version: Google Play's installs report, or the "
            "report App Sessions of App Store Connect. They replace the adoption curves of "
            "releases. May be repeated.",
        ),
    ),
    UsageOptions,
)
