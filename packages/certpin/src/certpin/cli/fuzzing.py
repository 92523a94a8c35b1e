"""``certpin prove --fuzz``: compare a client with other verifiers on mutated chains."""

from __future__ import annotations

import shlex
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from certpin.cli.main import (
    INCONCLUSIVE,
    PROBLEM_FOUND,
    SUCCESS,
    report_error,
    stop_on_signals,
)
from certpin.cli.reply import fold, print_json, progress

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from certpin.lab.client import Command, EveryWay
    from certpin.lab.fuzz.compare import FuzzedClient, FuzzRun
    from certpin.lab.lab import Lab

# The options of prove that have no meaning for mutated chains.
_UNUSED = (
    "chain_file",
    *("cases", "case_file", "pin_file", "upstream", "ca_file", "repeat", "bound", "stall"),
    *("evidence", "client_version", "sign_key", "junit", "sarif", "sarif_location", "html"),
)


@dataclass(frozen=True)
class FuzzOptions:
    """The options of ``certpin prove --fuzz``: the chains to make, and the output.

    ``count`` chains are made by random mutations; the same ``seed`` makes the same chains. ``save``
    is the folder for the chains on which verifiers differ; None to write none. ``jobs`` is the
    number of chains that are checked at the same time.
    """

    count: int
    seed: int
    save: Path | None
    jobs: int
    as_json: bool
    quiet: bool
    verbose: bool


def fuzz_options(ctx: click.Context, count: int, seed: int, save: Path | None) -> FuzzOptions:
    """Return the options of ``--fuzz``.

    Args:
        ctx: the context of the command.
        count: the number of mutated chains.
        seed: the seed of the mutations.
        save: the new folder for the case file, with the smallest chains on which verifiers differ;
            None to write no case file.

    Raises:
        click.UsageError: an option does not go together with ``--fuzz``.
    """
    options = {parameter.name: parameter.opts[0] for parameter in ctx.command.params}
    for name in _UNUSED:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--fuzz has its own chains: leave out {options[name]}")
    if ctx.params["via"] == "all":
        raise click.UsageError("--fuzz runs the client once for each chain: choose one way")
    shown = {name: ctx.params[name] for name in ("jobs", "as_json", "quiet", "verbose")}
    return FuzzOptions(count, seed, save, **shown)


def fuzz_certpin(host: str, options: FuzzOptions) -> int:
    """Compare certpin itself with the other verifiers on mutated chains, and print the result.

    Args:
        host: the host name in the chains, normalised.
        options: the number of chains, their seed, and the output.

    Returns:
        The exit code of the command.

    Raises:
        ConfigError: the folder has files or can't be written, or the host can't be used.
    """
    with stop_on_signals():
        return _run(host, None, options)


def fuzz_client(lab: Lab, client: Command | EveryWay, options: FuzzOptions) -> int:
    """Compare a client with other verifiers on mutated chains, and print the result.

    Args:
        lab: the lab that serves the chains to the client; this function opens and closes it.
        client: the client under test; this function closes it at the end.
        options: the number of chains, their seed, and the output.

    Returns:
        The exit code of the command.

    Raises:
        ConfigError: the folder has files or can't be written, or the host can't be used.
    """
    from certpin.lab.fuzz.compare import LabClient

    with stop_on_signals(), lab, closing(client):
        return _run(lab.host, LabClient(lab, client), options)


def _run(host: str, client: FuzzedClient | None, options: FuzzOptions) -> int:
    from certpin.lab.case import LabError
    from certpin.lab.fuzz.chains import Corpus
    from certpin.lab.fuzz.compare import cases_of
    from certpin.lab.fuzz.run import fuzz, fuzz_facts
    from certpin.lab.own.writer import CASE_FILE, new_folder, write_cases
    from certpin.pins import utc_now

    corpus = Corpus(options.seed, host)
    if options.save:
        with new_folder(options.save):  # before the run, which can be long
            pass
    hidden = options.quiet or options.as_json
    try:
        with progress(options.count, "fuzzing", quiet=hidden) as advance:
            run = fuzz(
                corpus, options.count, client, now=utc_now(), jobs=options.jobs, progress=advance
            )
    except LabError as exc:
        report_error(exc)
        return INCONCLUSIVE
    saved = options.save / CASE_FILE if options.save and run.classes else None
    if saved:
        with new_folder(saved.parent):
            write_cases(saved.parent, cases_of(run))
    if options.as_json:
        print_json({**fuzz_facts(run), "file": str(saved) if saved else None})
    else:
        _print_run(run, saved, options)
    if run.findings:
        return PROBLEM_FOUND
    return SUCCESS if run.compared else INCONCLUSIVE


def _print_run(run: FuzzRun, saved: Path | None, options: FuzzOptions) -> None:
    colour = "red" if run.findings else "green" if run.compared else "yellow"
    _echo(_headline(run), fg=colour)
    if options.quiet:
        return
    from certpin.lab.fuzz.compare import Disagreement
    from certpin.lab.fuzz.run import findings_text, patterns
    from certpin.support.text import printable

    versions = [f"{name} ({version})" for name, version in run.peers.items()]
    _echo(f"Compared with {', '.join(versions)}.")
    for name, why in run.absent.items():
        _echo(f"Not compared with {name}: {printable(why)}.")
    _echo(f"Alike: {run.agreed[0]} accepted, {run.agreed[1]} refused.")
    _section("Not compared", [f"{count}: {why}" for why, count in run.not_compared.items()])
    _section("The client accepts, all others refuse", findings_text(run, Disagreement.ACCEPTED))
    _section("The client refuses, all others accept", findings_text(run, Disagreement.REFUSED))
    _section("The others disagree, chains by verdict", patterns(run))
    if options.verbose:
        _section("Each of them", findings_text(run, Disagreement.SPLIT))
    if saved:
        place = printable(shlex.quote(str(saved)))
        _echo(f"\nThe minimal chains: {place}. Run one again: --case-file {place} --case NAME")
    elif run.classes:
        _echo("\nWrite the minimal chains as a case file: the same command with --save DIR.")


def _headline(run: FuzzRun) -> str:
    which = f"{run.chains} chains of seed {run.corpus.seed}"
    if run.findings:
        number = sum(each.count for each in run.findings)
        return f"{which}: the client accepted {number} that all others refuse."
    if not run.compared:
        return f"{which}: inconclusive: {run.problem or 'no chain could be compared'}."
    return f"{which}: the client accepted none that all others refuse."


def _section(title: str, lines: Iterable[str]) -> None:
    from certpin.support.text import printable

    found = list(lines)
    if found:
        _echo(f"\n{title}:")
        for line in found:
            _echo(f"  {printable(line)}")


def _echo(text: str, fg: str | None = None) -> None:
    click.secho(fold(text, sys.stdout), fg=fg)
