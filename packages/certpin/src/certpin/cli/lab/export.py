"""``certpin lab export``: write the chains of the attack cases, for other test suites."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from certpin.cli.options import json_option
from certpin.cli.reply import fold, print_json


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--host",
    default="api.bank.example",
    show_default=True,
    metavar="NAME",
    help="The host under test, in the certificates.",
)
@json_option
def export(folder: Path, host: str, as_json: bool) -> None:
    """Write the chains of the attacks as PEM, for other test suites.

    DIR is a new folder. It gets a folder with chain.pem and key.pem for each case with an attack
    in its chain, anchors.pem with the roots to trust, and index.json: the host, the pins and the
    right reactions of each case, and the cases that were left out. The keys of the authorities are
    not written. The certificates are for the time in index.json; those of servers are valid for 47
    days.

    \b
    certpin lab export chains
    certpin lab export chains --host api.shop.example

    Exit code 0: written. 2: DIR has files, or can't be written.
    """  # noqa: D301  # click reads the \b itself
    from certpin.lab.attacks import CASES, CONTROL
    from certpin.lab.own.matrix import INDEX_FILE, write_matrix
    from certpin.lab.own.writer import new_folder
    from certpin.pins import normalise, utc_now
    from certpin.support.text import counted, printable

    name = normalise(host)
    with new_folder(folder):
        written = write_matrix(folder, (CONTROL, *CASES), name, utc_now())
    index = folder / INDEX_FILE
    if as_json:
        print_json(
            {
                "index": str(index),
                "cases": list(written.cases),
                "left_out": [vars(each) for each in written.left_out],
            }
        )
        return
    for each in written.left_out:
        click.echo(fold(f"  left out: {each.name}: {each.reason}", sys.stdout))
    place = printable(shlex.quote(str(index)))
    click.echo(f"{counted(len(written.cases), 'case')} in {place}")
