"""The pin file and the journal beside it: read together, and written together."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from certpin.cli.screen import say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from certpin.pins import HostPolicy, PinSet
    from certpin.rotation import Event, Field, Sighting, Situation, Timing

_LONGEST_NAME = 100  # of whoever did it; a login name has 32

who_option = click.option(
    "--who",
    envvar="CERTPIN_WHO",
    show_envvar=True,
    metavar="NAME",
    help="Who does it, for the journal; by default your login name.",
)


class Ledger:
    """A pin file, its journal, and what both say. Raises ``PinFileError`` and ``JournalError``.

    What contradicts in the journal is told on standard error.
    """

    def __init__(self, path: Path) -> None:
        from certpin.pinfile.editor import PinFileEditor
        from certpin.rotation import contradictions
        from certpin.rotation.history import journal_beside, load_journal

        self.path = path
        self.journal = journal_beside(path)
        self.editor = PinFileEditor.open(path)
        self._before = self.editor.text
        self.history = load_journal(self.journal)
        self.measured: Field | None = None  # with what clients told, where somebody asked for that
        self.contradictions = contradictions(self.history)
        for each in self.contradictions:
            say("certpin: warning", f"{self.journal}: {each}")

    @property
    def pins(self) -> PinSet:
        """The draft: the pin file as it stands, or as it is being changed."""
        return self.editor.check()

    @property
    def field(self) -> Field:
        """The versions that went out."""
        return self.measured or self.history.field

    @property
    def timing(self) -> Timing:
        """The delays that were given at the last publish, or the defaults."""
        from certpin.rotation import Timing

        return self.history.timing or Timing()

    def situation(
        self,
        policy: HostPolicy,
        sightings: Sequence[Sighting],
        now: datetime,
        timing: Timing | None = None,
    ) -> Situation:
        """What is known of one host."""
        from certpin.rotation import Situation

        return Situation(
            self.pins,
            policy.pattern,
            self.field,
            tuple(sightings),
            timing or self.timing,
            now,
            self.history.past(policy.pattern),
        )

    def need_a_version(self) -> None:
        """Raise ``ConfigError`` where nobody knows what clients hold."""
        from certpin.errors import ConfigError

        if not self.field.versions:
            raise ConfigError(
                f"{self.journal} knows of no version that is in the field",
                key="version",
                fix="record the one that clients have: certpin rotate publish, "
                "with --bundled if it is in a binary; oldest first, if there are several",
            )

    def commit(self, events: Sequence[Event]) -> None:
        """Write both, or neither. The journal comes last: it says what was done."""
        from certpin.errors import JournalError
        from certpin.pinfile.writing import write_atomically
        from certpin.rotation import after, format_journal

        changed = self.editor.text != self._before
        if changed:
            self.editor.save()
        try:
            _append(self.journal, format_journal(after(self.history.events, events)))
        except OSError as exc:
            if changed:
                write_atomically(self.path, self._before)
            raise JournalError(
                f"it cannot be written: {exc.strerror or exc}", path=self.journal
            ) from exc


def name_of(who: str | None) -> str:
    """Who does it. A machine that has no names for its users has numbers."""
    import getpass

    from certpin.x509 import printable

    if who is None:
        try:
            who = getpass.getuser()
        except (OSError, KeyError):
            who = str(os.getuid())
    return printable(who)[:_LONGEST_NAME]


def _append(path: Path, lines: str) -> None:
    """Add lines. A last line without its end, as an editor may leave it, gets one first."""
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            lines = lines if file.read(1) == b"\n" else "\n" + lines
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())
