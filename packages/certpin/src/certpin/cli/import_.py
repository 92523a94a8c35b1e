"""``certpin import``: the pins of another platform's file, in the pin file.

The file has an underscore, since a module that is called ``import`` cannot be imported.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.choices import MODES
from certpin.cli.options import format_name, json_option, pin_file_option
from certpin.cli.reply import fold, print_json, say

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.pins import Mode


@click.command("import")
@click.argument("name", metavar="FORMAT", type=format_name)
@click.argument("source", metavar="FILE")
@pin_file_option
@click.option("--name", "called", help="The name of a new pin file; by default what FILE says.")
@click.option(
    "--host",
    default="",
    metavar="HOST",
    help="The host that the pins are for, if the platform's file names none (*.HOST too).",
)
@click.option(
    "--mode",
    type=click.Choice(MODES),
    help='"report" takes a file with one pin alone; by default what FILE says.',
)
@json_option
def import_(
    name: str,
    source: str,
    path: Path,
    called: str | None,
    host: str,
    mode: Mode | None,
    as_json: bool,
) -> None:
    """Write the pins of another platform's file into the pin file.

    FORMAT is the platform (certpin export --list names them), FILE its file; - reads standard
    input. Comments and order of a pin file that is there stay, and its version goes up. A host
    that it has already is left alone where it means the same, and refused where it does not.

    Elements that a pin file can't hold are not imported, and each of them is a warning.
    A platform's file holds less than a pin file: it does not say which pin is the backup, say.
    Look at what was written before you use it.

    Exit code 0: it is written. 2: it was refused, and nothing is written.
    """
    from certpin.cli.importing import HostImport
    from certpin.cli.source import read_source
    from certpin.formats import FORMATS, FormatWarning, ImportOptions

    options = ImportOptions(name=called or "", host=host, mode=mode)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FormatWarning)
        pins = FORMATS[name].load(read_source(source), options)
    dropped = [str(each.message).removeprefix("not imported: ") for each in caught]
    for each in dropped:
        say("certpin: warning", f"not imported: {each}")
    importing = HostImport(path, pins, named=called is not None)
    importing.save()
    facts: dict[str, Any] = {
        "format": name,
        "file": str(path),
        "version": importing.version,
        "added": [str(policy.pattern) for policy in importing.added],
        "kept": [str(policy.pattern) for policy in importing.kept],
        "anchors": [str(each) for each in importing.anchors],
        "dropped": dropped,
    }
    if as_json:
        print_json(facts)
    else:
        _print_import(facts)


def _print_import(facts: dict[str, Any]) -> None:
    click.secho(f"{facts['file']} (version {facts['version']}):", bold=True)
    for host in facts["added"]:
        click.echo(fold(f"  added  {host}", sys.stdout))
    for host in facts["kept"]:
        click.echo(fold(f"  there  {host}", sys.stdout))
    for file in facts["anchors"]:
        click.echo(fold(f"  trust  {file}", sys.stdout))
    if facts["added"]:
        click.echo("Look at the roles: the file did not say which pin is the backup.")
    click.echo("Next:  certpin check")
