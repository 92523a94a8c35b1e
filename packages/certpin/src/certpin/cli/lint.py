"""``certpin lint``: find all mistakes in a pin file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.choices import ADOPTION_DAYS, LINT_FORMATS, SEVERITIES
from certpin.cli.main import INCONCLUSIVE, PROBLEM_FOUND, SUCCESS
from certpin.cli.options import json_option, pin_file_option, timeout_option
from certpin.cli.servers import server_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.cli.findings import LintedFile
    from certpin.cli.servers import ServerOptions
    from certpin.lint import LintDocument, Severity


@click.command()
@click.argument(
    "files", nargs=-1, metavar="[FILE]...", type=click.Path(dir_okay=False, path_type=Path)
)
@pin_file_option
@click.option("--live", is_flag=True, help="Also connect to the servers, from this machine.")
@server_options
@timeout_option
@click.option(
    "--exported",
    multiple=True,
    metavar="FORMAT=PATH",
    help="Compare this exported file with the pin file. May be repeated.",
)
@click.option(
    "--adoption-days",
    type=click.IntRange(min=0, max=36500),
    default=ADOPTION_DAYS,
    show_default=True,
    help="How long your slowest clients take to get a new pin set.",
)
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES),
    default="error",
    show_default=True,
    help="The lowest severity for which the exit code is 1.",
)
@click.option(
    "--format",
    "output",
    type=click.Choice(LINT_FORMATS),
    default="text",
    show_default=True,
    help="The output: sarif for code scanning, github for annotations of a pull request.",
)
@json_option
@click.pass_context
def lint(
    ctx: click.Context,
    files: tuple[Path, ...],
    path: Path,
    live: bool,
    servers: ServerOptions,
    timeout: float,
    exported: tuple[str, ...],
    adoption_days: int,
    fail_on: Severity,
    output: str,
    as_json: bool,
) -> None:
    """Find mistakes in a pin file that lock users out or expose them.

    Reports all mistakes of each FILE (pins.toml by default) at once, even if no client would load
    the file. With --live, it also connects to the hosts and judges the chains that they serve:
    whether a pin matches, whether a backup is outside the chain, and when certificates expire. A
    comment in the file allows a finding: # certpin: allow RULE because REASON.

    --json is short for --format json. certpin explain RULE explains a mistake.

    Exit code 0: no finding of the severity of --fail-on or worse. 1: such a finding. 2: a file
    cannot be read at all. 3: no such finding, but with --live no host answered.
    """
    from certpin.cli.exported import gather_exports
    from certpin.cli.findings import FORMATS, LintedFile
    from certpin.lint import lint as judge
    from certpin.lint import load_document
    from certpin.pins import utc_now

    if servers.given and not live:
        raise click.UsageError("--host, --connect and --starttls are for --live")
    now = utc_now()
    done = []
    for file in files or (path,):
        document = load_document(file, adoption_days=adoption_days)
        document = replace(document, exported=gather_exports(exported, document.pins))
        if live:
            from certpin.cli.lint_live import probe_hosts  # needs TLS, which lint itself does not

            document = probe_hosts(document, servers, now, timeout)
        done.append(LintedFile(document, judge(document, now)))
    FORMATS["json" if as_json else output](done)
    ctx.exit(_exit_code(done, fail_on))


def _exit_code(done: Sequence[LintedFile], fail_on: Severity) -> int:
    if any(linted.report.at_least(fail_on) for linted in done):
        return PROBLEM_FOUND
    return INCONCLUSIVE if any(_none_answered(linted.document) for linted in done) else SUCCESS


def _none_answered(document: LintDocument) -> bool:
    return document.live is not None and all(result.error for result in document.live)
