"""A push in words and in JSON, and what the journal knows of the version that is pushed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.main import FINDING, HOLDS, INCONCLUSIVE, report_error
from certpin.cli.reply import print_json
from certpin.cli.screen import fold, say
from certpin.errors import UpdateError
from certpin.pins.meaning import meaning
from certpin.rotation import DeployedVersions, format_duration
from certpin.rotation.timing import in_utc

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.cli.rotate.context import RotationFiles
    from certpin.updates.publish.push import Pushed

_UNCLEAR = {"storage", "unconfirmed"}  # reasons for which nobody can say how it stands


@dataclass
class Report:
    """How a push ended. ``recorded`` is when the version came out, if that was noted just now."""

    ledger: RotationFiles
    where: str
    dry: bool
    pushed: Pushed | None = None
    recorded: datetime | None = None
    failed: UpdateError | None = None

    def show(self, ctx: click.Context, *, as_json: bool) -> None:
        """Print it, and end with its exit code."""
        if self.pushed and self.pushed.damage:
            say("certpin: warning", f"clients refuse what was there: {self.pushed.damage}")
        if as_json:
            print_json(self.facts())
        for line in () if as_json else self._lines():
            click.echo(fold(line, sys.stdout))
        if self.failed is None:
            ctx.exit(HOLDS)
        report_error(self.failed)
        ctx.exit(INCONCLUSIVE if self.failed.reason in _UNCLEAR else FINDING)

    def facts(self) -> dict[str, Any]:
        """The push as JSON."""
        here = self.pushed.here if self.pushed else None
        promise = here.signed.promise if here else None
        return {
            "file": str(self.ledger.path),
            "pin_set": self.ledger.pins.name,
            "url": self.where,
            "version": promise.version if promise else None,
            "root": promise.root if promise else None,
            "timestamp": here.shown.timestamp if here else None,
            "until": promise.until.isoformat() if promise else None,
            "uploads": list(self.pushed.uploads) if self.pushed else [],
            "damage": (self.pushed.damage or None) if self.pushed else None,
            "done": not self.dry and self.failed is None,
            "recorded": self.recorded is not None,
            "reason": self.failed.reason if self.failed else None,
            "problem": self.failed.problem if self.failed else None,
            "fix": self.failed.fix if self.failed else None,
        }

    def _lines(self) -> list[str]:
        if self.pushed is None:
            return []
        promise, uploads = self.pushed.here.signed.promise, self.pushed.uploads
        files = "1 file" if len(uploads) == 1 else f"{len(uploads)} files"
        if self.dry and uploads:
            order = [f"  {path}" for path in uploads]
            return [f"{files} would go to {self.where}, in this order:", *order]
        until = f"{promise.until:%Y-%m-%d %H:%M} UTC"
        out = f"Version {promise.version} of {promise.name} is out at {self.where}"
        return [
            f"{out}: {files} went there." if uploads else f"{out}, all of it: nothing had to go.",
            f"Sign and push again before {until}, when the first signature ends.",
            *self._recorded_lines(),
        ]

    def _recorded_lines(self) -> list[str]:
        if self.recorded is None:
            return []
        timing = self.ledger.timing
        date = in_utc(self.recorded + timing.adopt)
        return [
            f"Every client has it from {date} on (T_adopt {format_duration(timing.adopt)}).",
            f"{self.ledger.journal} says so now: commit it, with publish/.",
        ]


def waits_for_push(deployed: DeployedVersions, pushed: Pushed) -> bool:
    """Whether the journal does not say yet that this version is out.

    Raises ``UpdateError`` where it does not know the version at all, or knows another content.
    """
    pins = pushed.here.signed.pins
    for version in deployed.versions:
        if version.number == pins.version and meaning(version.pins) == meaning(pins):
            return version.pending
    raise UpdateError(
        f"version {pins.version} is signed, and the journal does not know that it was published so",
        reason="unpublished",
        fix="take the journal that belongs to it (git pull), or publish the pin file and sign it: "
        "certpin rotate publish, then certpin publish sign KEY",
    )
