"""``certpin import``: write the pins of another platform's file into the pin file.

The module's name has an underscore, because ``import`` is a keyword.
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
@click.option("--name", "called", help="The name of a new pin file; by default the name in FILE.")
@click.option(
    "--host",
    default="",
    metavar="HOST",
    help="The host of the pins, if the platform's file names none (*.HOST too).",
)
@click.option(
    "--mode",
    type=click.Choice(MODES),
    help='"report" accepts a file with only one pin; by default the mode in FILE.',
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

    FORMAT is the platform (certpin export --list prints all), FILE its file; - reads standard
    input. An existing pin file keeps its comments and order, and gets a higher version. A host that
    it already has is skipped if its policy is the same, and refused if it differs.

    Elements that a pin file can't contain are not imported, and each of them is a warning. A
    platform's file has less information than a pin file: for example, it does not name the backup.
    Check the result before you use it.

    Exit code 0: written. 2: refused, nothing is written.
    """
    from certpin.cli.importing import HostImport
    from certpin.cli.source import read_source
    from certpin.formats import FORMATS, FormatWarning, ImportOptions

    options = ImportOptions(name=called or "", host=host, mode=mode)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FormatWarning)
        pins = FORMATS[name].load(read_source(source), options)
    dropped = [str(warning.message).removeprefix("not imported: ") for warning in caught]
    for element in dropped:
        say("certpin: warning", f"not imported: {element}")
    imported = HostImport(path, pins, named=called is not None)
    imported.save()
    result: dict[str, Any] = {
        "format": name,
        "file": str(path),
        "version": imported.version,
        "added": [str(policy.pattern) for policy in imported.added],
        "kept": [str(policy.pattern) for policy in imported.kept],
        "anchors": [str(file) for file in imported.anchors],
        "dropped": dropped,
    }
    if as_json:
        print_json(result)
    else:
        _print_import(result)


def _print_import(result: dict[str, Any]) -> None:
    click.secho(f"{result['file']} (version {result['version']}):", bold=True)
    for host in result["added"]:
        click.echo(fold(f"  added  {host}", sys.stdout))
    for host in result["kept"]:
        click.echo(fold(f"  kept   {host}", sys.stdout))
    for file in result["anchors"]:
        click.echo(fold(f"  trust  {file}", sys.stdout))
    if result["added"]:
        click.echo("Check the roles: the file did not name the backup pin.")
    click.echo("Next:  certpin check")
