"""How a step of a rotation ended: for people, and as JSON."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.forcing import breach_facts
from certpin.cli.main import FINDING, HOLDS
from certpin.cli.reply import print_json
from certpin.cli.screen import fold

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.cli.forcing import Found
    from certpin.pins import Pin


@dataclass
class Outcome:
    """A step: what it did, and what it would have broken.

    ``said`` are sentences for people, ``following`` is the command that comes next, or empty.
    """

    step: str
    path: Path
    hosts: list[str]
    pin: Pin | None = None
    version: int | None = None
    done: bool = False
    forced: bool = False
    breaches: Found = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    following: str = ""

    def show(self, ctx: click.Context, *, as_json: bool) -> None:
        """Print it, and end: 1 where it was refused."""
        if as_json:
            print_json(self.facts())
        else:
            self._tell()
        ctx.exit(HOLDS if self.done else FINDING)

    def facts(self) -> dict[str, Any]:
        """The outcome as JSON."""
        return {
            "step": self.step,
            "file": str(self.path),
            "hosts": self.hosts,
            "pin": str(self.pin) if self.pin else None,
            "version": self.version,
            "done": self.done,
            "forced": self.forced,
            "breaches": [breach_facts(*each) for each in self.breaches],
            "unknown": self.unknown,
            "next": self.following or None,
        }

    def _tell(self) -> None:
        if not self.done:
            click.echo("Nothing was changed.")
        for line in self.said if self.done else ():
            click.echo(fold(line, sys.stdout))
        for each in self.unknown:
            click.echo(fold(f"Not known: {each}.", sys.stdout))
        if self.done and self.following:
            click.echo(f"Next:  {self.following}")
