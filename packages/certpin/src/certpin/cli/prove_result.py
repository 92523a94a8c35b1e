"""The output of ``certpin prove``: progress and results on the terminal, evidence and report files.

A case is one attack, or one legitimate change of a server, that a client was confronted with.
"""

from __future__ import annotations

import os
import shlex
import sys
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self

import click

from certpin.cli.main import stop_on_signals
from certpin.cli.reply import fold, print_json, table_console
from certpin.lab.case import Expect
from certpin.lab.pki import LETTERS
from certpin.lab.report.words import (
    action,
    advice,
    details,
    explain,
    headline,
    only_reported,
    other_hosts,
)
from certpin.lab.verdict import NEEDS_ATTENTION, Outcome
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin.lab.evidence.facts import AttackedFiles
    from certpin.lab.evidence.minisign import MinisignKey
    from certpin.lab.runner import Result, Run

COLOURS = {
    Outcome.RIGHT: "green",
    Outcome.WRONG: "bold red",
    Outcome.WARNING: "yellow",
    Outcome.TOLD: "cyan",
    Outcome.UNDECIDED: "bold yellow",
    Outcome.NOT_RUN: "dim",
}
SHOULD = {
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


class RunProgress:
    """A context manager that shows a progress bar for a run of cases, on a terminal only.

    Args:
        total: the number of results to expect.
        shown: False to show no bar, not even on a terminal.
    """

    def __init__(self, total: int, *, shown: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (TextColumn("attacking"), BarColumn(), MofNCompleteColumn())
        visible = shown and sys.stdout.isatty()
        self._progress = Progress(
            *columns, console=table_console(), transient=True, disable=not visible
        )
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if not self._progress.disable:  # before rich 14, it would print an empty line
            self._progress.stop()

    def advance(self, _: Result) -> None:
        """Add one finished case to the progress bar."""
        self._progress.advance(self._task)


def print_run(run: Run, *, quiet: bool = False, verbose: bool = False) -> None:
    """Print the result of a run: the verdict on the client, advice, and the causes of failures.

    Args:
        run: the results of all cases for one client.
        quiet: True to print only the verdict.
        verbose: True to also print the table of all cases, with an explanation of each finding.
    """
    failed = any(result.outcome is Outcome.WRONG for result in run.results)
    proven = run.controlled and not only_reported(run)
    colour = "red" if failed else "green" if proven else "yellow"
    click.secho(fold(f"{headline(run)}.", sys.stdout), fg=colour, bold=True)
    if quiet:
        return
    for line in (advice(run), *details(run)):
        click.echo(fold(line, sys.stdout))
    _print_other_command(run)
    if failed:
        from certpin.lab.report.causes import cause_lines, find_causes

        _print_lines("", cause_lines(find_causes(run.results)))
    if verbose:
        _print_lines("", ["The letters:", *_legend()])
        _print_table(run)
    else:
        _print_others(run)


def _print_other_command(run: Run) -> None:
    """Print the command with which a client that never connected to the lab can reach it."""
    if not any(result.unreached for result in run.results):
        return
    from certpin.lab.report.reach import other_command

    command = other_command(run, _given_options(click.get_current_context()))
    if command:
        click.echo(f"  {printable(command)}")  # not folded, so that the user can paste it


def _given_options(ctx: click.Context) -> list[tuple[str, ...]]:
    """Return the options that the user gave to ``certpin prove``, each with its value.

    A flag has no value. ``ctx`` is the context of the command.
    """
    words = ctx.find_root().obj.words
    values, _, order = ctx.command.make_parser(ctx).parse_args(words[1:])
    given: list[tuple[str, ...]] = []
    for option in dict.fromkeys(order):
        if isinstance(option, click.Option):
            value = values[option.name]
            name = max(option.opts, key=len)
            several = value if option.multiple else [value]
            given += [(name,) if option.is_flag else (name, str(each)) for each in several]
    return given


def _print_others(run: Run) -> None:
    """Print the cases of a run that are neither right nor wrong.

    These are cases with a warning, undecided cases, cases that were not run, and cases in which the
    right reaction depends on the policy of the client's owner.
    """
    for outcome, title in ((Outcome.WARNING, "Warnings"), (Outcome.UNDECIDED, "Undecided")):
        lines = []
        for result in run.results:
            if result.outcome is outcome:
                first, *others = (*explain(result), *_client_output(result))
                lines += [f"  {result.case.name}: {first}", *(f"    {line}" for line in others)]
        _print_lines(title, lines)
    _print_lines("Your policy decides", _grouped(run, Outcome.TOLD, action))
    _print_lines("Not run", _grouped(run, Outcome.NOT_RUN, attrgetter("why")))
    click.echo(
        fold("\nEvery case, with its evidence: --verbose, --html FILE or --json.", sys.stdout)
    )


def _grouped(run: Run, outcome: Outcome, text_of: Callable[[Result], str]) -> list[str]:
    """Group the cases of a run that have the same text, and return one line for each group.

    A line has the names of the cases, then the text.

    Args:
        run: the results of all cases for one client.
        outcome: only results with this outcome are used.
        text_of: a function that returns the text of a result.
    """
    names: dict[str, list[str]] = {}
    for result in run.results:
        if result.outcome is outcome:
            names.setdefault(text_of(result), []).append(result.case.name)
    return [f"  {', '.join(cases)}: {text}" for text, cases in names.items()]


def _print_lines(title: str, lines: list[str]) -> None:
    if lines:
        click.echo()
        if title:
            click.secho(title, bold=True)
        for line in lines:
            click.echo(fold(line, sys.stdout))


def _legend() -> Iterator[str]:
    return (f"  {letter:<3} {meaning}" for letter, meaning in LETTERS.items())


def _print_table(run: Run) -> None:
    """Print a row for each case, with an explanation beneath a case that needs attention.

    Beneath any other case are the hosts that the client requested, and that were not judged.
    """
    console = table_console()
    console.print()
    presents = "the server presents" if console.width >= _WIDE else ""
    _print_row(console, ("", "case", "should", "did"), presents, style="bold")
    for result in run.results:
        verdict = str(result.verdict) if result.verdict else "-"
        cells = (result.outcome, result.case.name, SHOULD[result.expect], verdict)
        presents = result.why if result.outcome is Outcome.NOT_RUN else result.case.presents
        _print_row(console, cells, presents, style=COLOURS[result.outcome])
        if result.outcome in NEEDS_ATTENTION:
            for line in (*explain(result), *_client_output(result)):
                _print_note(console, line)
        else:
            for other in other_hosts(result):
                _print_note(console, other.note)


def _print_row(console: Any, cells: tuple[str, ...], presents: str, *, style: str) -> None:
    from rich.table import Table
    from rich.text import Text

    grid: Any = Table.grid(padding=(0, 1))
    for width in _WIDTHS:
        grid.add_column(width=width, overflow="fold")
    texts = [Text(printable(cell)) for cell in cells]
    texts[0].stylize(style)
    if console.width >= _WIDE:
        texts.append(Text(printable(presents)))
        presents = ""
    grid.add_row(*texts)
    console.print(grid)
    if presents:
        _print_note(console, presents)


def _print_note(console: Any, line: str) -> None:
    """Print a line of explanation beneath a table row, folded to the width of the terminal."""
    from rich.padding import Padding
    from rich.text import Text

    console.print(Padding(Text(printable(line)), (0, 0, 0, _WIDTHS[0] + 1), expand=False))


def _client_output(result: Result) -> list[str]:
    """Return the last lines that the client printed in a case with an undecided outcome.

    Return an empty list for any other outcome.
    """
    if result.outcome is not Outcome.UNDECIDED or not result.attempts:
        return []
    lines = result.attempts[-1].ending.output.splitlines()
    if not lines:
        return []
    return ["output of the client:", *(f"  {line}" for line in lines[-_OUTPUT_LINES:])]


def print_result(run: Run, check: str, *, as_json: bool, quiet: bool, verbose: bool) -> None:
    """Print the results of a run as text or as JSON.

    Args:
        run: the results of all cases for one client.
        check: a text that says how to check the evidence, to print below the results; empty without
            evidence. It is left out of JSON, and if ``quiet`` is True.
        as_json: True to print JSON.
        quiet: True to print only the verdict.
        verbose: True to also print the table of all cases.
    """
    from certpin.lab.report.json import run_facts

    if as_json:
        print_json(run_facts(run))
    else:
        print_run(run, quiet=quiet, verbose=verbose)
        if check and not quiet:
            click.echo(check)


def write_evidence(
    run: Run, folder: Path, attacked: AttackedFiles, key: MinisignKey | None, version: str
) -> str:
    """Write the evidence of a run to a folder: files that show other people what happened.

    Args:
        run: the results of all cases for one client.
        folder: the folder.
        attacked: the client's files as they were before the run.
        key: the key that signs the evidence; None for no signature.
        version: the version of the client that was attacked.

    Returns:
        A text that says how to check the evidence.

    Raises:
        ConfigError: the folder can't be written, or a file of the client changed during the run.
    """
    from certpin.lab.evidence import folder as evidence
    from certpin.pins import utc_now

    with stop_on_signals():  # a stopped command removes its unfinished folder
        manifest = evidence.write_evidence(
            folder,
            run,
            attacked=attacked,
            key=key,
            client_version=version,
            environment=os.environ,
            now=utc_now(),
        )
    place = printable(shlex.quote(str(folder)))
    lines = [f"\nEvidence: {place}. Check it: cd {place} && sha256sum -c {evidence.SUMS}"]
    if key:
        lines.append(f"Check its signature: minisign -V -P {key.public} -m {evidence.SUMS}")
    if manifest["pdf"]["missing"]:
        lines.append(f"It has no PDF: {manifest['pdf']['missing']}.")
    return "\n".join(lines)


def write_reports(run: Run, files: dict[str, Any], location: Path) -> None:
    """Write the reports of a run that the user asked for.

    If one report can't be written, the others are written nevertheless.

    Args:
        run: the results of all cases for one client.
        files: the file for each format; None for a report that is not wanted.
        location: the file of the user's repository to which findings in SARIF point.

    Raises:
        ConfigError: a file, or several, can't be written.
    """
    from certpin.errors import ConfigError
    from certpin.lab.report import FORMATS
    from certpin.lab.report.sarif import to_sarif

    sarif = partial(to_sarif, location=location)
    formats: dict[str, Callable[[Run], str]] = {**FORMATS, "sarif": sarif}
    failures = []
    for name, path in files.items():
        if path is None:
            continue
        try:
            path.write_text(formats[name](run), encoding="utf-8")
        except OSError as exc:
            failures.append(f"{printable(str(path))} cannot be written: {exc.strerror}")
    if failures:
        raise ConfigError("; ".join(failures), fix="name a file in a folder that you may write to")
