"""``certpin lab import``: make a case file from the chains of another test suite."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.options import json_option
from certpin.cli.reply import fold, print_json

if TYPE_CHECKING:
    from certpin.lab.own.limbo import ImportedSuite


@click.command("import")
@click.argument("suite", type=click.Choice(["limbo"]), metavar="SUITE")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The new folder for cases.toml, and for the certificates and keys of each case.",
)
@json_option
def import_(suite: str, file: Path, out: Path, as_json: bool) -> None:
    """Make a case file of another test suite.

    SUITE is limbo: FILE is then limbo.json of x509-limbo. Its cases for certificates of servers
    become a case file for `certpin prove --case-file`. A case that no TLS server can present is
    left out, and listed with the reason. The verdict is reported and not judged if it
    depends on more than the chain, or if x509-limbo marks the case with a feature.

    \b
    certpin lab import limbo limbo.json --out chains
    certpin prove --style none --case-file chains/cases.toml -- curl -sS {url}

    Exit code 0: written. 2: FILE is not in this format, or DIR can't be written. 3: FILE has no
    case that can be served.
    """  # noqa: D301  # click reads the \b itself
    from certpin.cli.main import INCONCLUSIVE
    from certpin.lab.own.limbo import read_limbo
    from certpin.lab.own.writer import CASE_FILE, new_folder, write_cases

    imported = read_limbo(file)
    if imported.cases:
        with new_folder(out):
            write_cases(out, imported.cases)
    path = out / CASE_FILE if imported.cases else None
    if as_json:
        print_json(
            {
                "file": str(path) if path else None,
                "cases": [case.name for case in imported.cases],
                "left_out": [vars(each) for each in imported.left_out],
            }
        )
    else:
        _print(imported, path)
    if path is None:
        click.get_current_context().exit(INCONCLUSIVE)


def _print(imported: ImportedSuite, path: Path | None) -> None:
    from certpin.lab.case import Expect
    from certpin.support.text import counted, printable

    for each in imported.left_out:
        click.echo(fold(f"  left out: {each.name}: {each.reason}", sys.stdout))
    for reason, number in Counter(each.reason for each in imported.left_out).most_common():
        click.echo(fold(f"{counted(number, 'case')} left out: {printable(reason)}", sys.stdout))
    if path is None:
        click.echo("No case can be served.")
        return
    expected = Counter(case.expected.none for case in imported.cases)
    click.echo(
        f"{counted(len(imported.cases), 'case')} in {printable(shlex.quote(str(path)))}: "
        f"{expected[Expect.ACCEPT]} to accept, {expected[Expect.REJECT]} to refuse, "
        f"{expected[Expect.POLICY]} reported only"
    )
