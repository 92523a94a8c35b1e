"""The output of ``certpin prove``: a row for each finished case, then a summary."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

from certpin.cli.reply import table_console
from certpin.lab.case import Expect
from certpin.lab.pki import LEGEND
from certpin.lab.report.words import explain, summary
from certpin.lab.verdict import Outcome
from certpin.x509 import printable

if TYPE_CHECKING:
    from certpin.lab.runner import Result, Run

_COLOURS = {
    Outcome.RIGHT: "green",
    Outcome.WRONG: "bold red",
    Outcome.WARNING: "yellow",
    Outcome.TOLD: "cyan",
    Outcome.UNDECIDED: "bold yellow",
    Outcome.NOT_RUN: "dim",
}
_SHOULD = {
    Expect.ACCEPT: "accept",
    Expect.REJECT: "refuse",
    Expect.EITHER: "either",
    Expect.WARN: "refuse?",
    Expect.POLICY: "as you like",
    Expect.UNDEFINED: "-",
}
_WIDTHS = (9, 29, 11, 12)  # columns: outcome, case, expected, observed
_WIDE = 120  # columns from which a row has room for the description of the case
_OUTPUT_LINES = 8  # of a client


class MatrixPrinter:
    """Prints the results of ``certpin prove`` during a run, with a progress bar on a terminal.

    A context manager: the bar is shown until it exits.

    Args:
        total: the number of results.
        quiet: print nothing.
    """

    def __init__(self, total: int, *, quiet: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._quiet = quiet
        self._terminal = sys.stdout.isatty() and not quiet
        self._console = table_console(quiet=quiet)
        columns = (TextColumn("attacking"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(
            *columns, console=self._console, transient=True, disable=not self._terminal
        )
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        presents = "the server presents" if self._console.width >= _WIDE else ""
        self._row(("", "case", "should", "did"), presents, style="bold")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()

    def show(self, result: Result) -> None:
        """Print the row of a finished case, and an explanation if it is wrong or undecided."""
        self._progress.advance(self._task)
        verdict = str(result.verdict) if result.verdict else "-"
        cells = (result.outcome, result.case.name, _SHOULD[result.expect], verdict)
        presents = result.why if result.outcome is Outcome.NOT_RUN else result.case.presents
        self._row(cells, presents, style=_COLOURS[result.outcome])
        if result.outcome in {Outcome.WRONG, Outcome.UNDECIDED, Outcome.WARNING}:
            for line in (*explain(result), *_client_output(result)):
                self._note(line)

    def summarise(self, run: Run) -> None:
        """Print the summary of the run."""
        from rich.text import Text

        self._console.print()
        self._console.print(Text(LEGEND, "dim"))
        self._console.print()
        for line in summary(run):
            self._console.print(Text(printable(line)))

    def _row(self, cells: tuple[str, ...], presents: str, *, style: str) -> None:
        from rich.table import Table
        from rich.text import Text

        grid: Any = Table.grid(padding=(0, 1))
        for width in _WIDTHS:
            grid.add_column(width=width, overflow="fold")
        texts = [Text(printable(cell)) for cell in cells]
        texts[0].stylize(style)
        if self._console.width >= _WIDE:
            texts.append(Text(printable(presents)))
            presents = ""
        grid.add_row(*texts)
        self._console.print(grid)
        if presents:
            self._note(presents)

    def _note(self, line: str) -> None:
        """Print a line of explanation beneath a row, folded to the width of the terminal."""
        from rich.padding import Padding
        from rich.text import Text

        self._console.print(Padding(Text(printable(line)), (0, 0, 0, _WIDTHS[0] + 1), expand=False))


def _client_output(result: Result) -> list[str]:
    """Return the last lines that the client printed, if its verdict is undecided."""
    if result.outcome is not Outcome.UNDECIDED or not result.attempts:
        return []
    lines = result.attempts[-1].ending.output.splitlines()
    if not lines:
        return []
    return ["output of the client:", *(f"  {line}" for line in lines[-_OUTPUT_LINES:])]
