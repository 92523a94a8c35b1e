"""``certpin export``: the pins as another platform wants them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.options import format_name, json_option, pin_file_option
from certpin.cli.reply import print_json, say
from certpin.cli.servers import host_option, select_policies

if TYPE_CHECKING:
    from certpin.cli.output import OutputFile
    from certpin.formats import Export, Format
    from certpin.pinfile import PinSet


def _list_formats(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from certpin.formats import FORMATS

    formatter = ctx.make_formatter()
    formatter.write_dl([(each.name, each.title) for each in FORMATS.values()])
    click.echo(formatter.getvalue(), nl=False)
    ctx.exit()


@click.command()
@click.argument("name", metavar="FORMAT", type=format_name)
@pin_file_option
@click.option(
    "--out",
    type=click.Path(),
    metavar="PATH",
    help="Where to write: a file, or a folder for a format of several. By default it is printed.",
)
@click.option(
    "--check",
    "checking",
    is_flag=True,
    help="Write nothing: tell whether what is at --out is up to date, for CI.",
)
@host_option
@click.option(
    "--package",
    default="",
    metavar="NAME",
    help="Put source code in Java or Kotlin into this package.",
)
@click.option(
    "--signed-root",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Let the app follow signed pin sets, which begin with this root.json (Flutter).",
)
@click.option(
    "--signed-url",
    default="",
    metavar="URL",
    help="Where it fetches them: https://pins.bank.example/app/",
)
@click.option(
    "--strict", is_flag=True, help="What the platform cannot express is an error, not a warning."
)
@click.option(
    "--release", is_flag=True, help="For a release build: refuse a pin file with [debug]."
)
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_formats,
    help="List the formats.",
)
@json_option
@click.pass_context
def export(
    ctx: click.Context,
    /,
    name: str,
    path: Path,
    out: str | None,
    checking: bool,
    hosts: tuple[str, ...],
    package: str,
    signed_root: Path | None,
    signed_url: str,
    strict: bool,
    release: bool,
    as_json: bool,
) -> None:
    """Write the pins as another platform wants them.

    FORMAT is the platform: an app's configuration or source code, a program's, a proxy's.
    certpin export --list names them all. What the platform cannot express is a warning with the
    reason; with --strict nothing is written then.

    \b
    certpin export android --out app/src/main
    certpin export flutter --out lib/pinning --release --check

    The files say which pin set they are, and its version. The same pin file makes the same files.

    Exit code 0: written, or up to date. 1: out of date, or an omission under --strict. 2: it was
    refused, and nothing is written.
    """  # noqa: D301  # click reads the \b itself
    from certpin.cli.output import compare_files, output_files, write_files
    from certpin.cli.signed_source import signed_source
    from certpin.formats import FORMATS, only
    from certpin.pinfile import PinSet

    pins = PinSet.load(path)
    if release:
        _refuse_debug(pins)
    if checking and out is None:
        raise click.UsageError("--check compares with what is at --out: name it")
    chosen = FORMATS[name]
    wanted = only(pins, [str(each.pattern) for each in select_policies(pins, hosts)])
    made = chosen.export(wanted, package, signed_source(wanted, signed_root, signed_url))
    for omission in made.omissions:
        say("certpin: error" if strict else "certpin: warning", str(omission))
    if strict and made.omissions:
        files = []
    elif out is None:
        files = _print_files(chosen, made, quiet=as_json)
    else:
        files = (compare_files if checking else write_files)(output_files(chosen, made, out))
    _print_result(chosen, made, files, as_json=as_json)
    lost = strict and made.omissions
    ctx.exit(PROBLEM_FOUND if lost or any(each.stale for each in files) else SUCCESS)


def _refuse_debug(pins: PinSet) -> None:
    from certpin.errors import ConfigError

    if pins.debug:
        raise ConfigError(
            "the pin file has a [debug] section: whoever holds that authority's key could read "
            "along in a release",
            key="debug",
            fix="keep it in a pin file for development alone, and export the other one",
        )


def _print_files(chosen: Format, made: Export, *, quiet: bool) -> list[OutputFile]:
    from certpin.cli.output import OutputFile

    if quiet:
        return [OutputFile(Path(file.path), file.text, "printed") for file in made.files]
    if len(made.files) > 1:
        raise click.UsageError(f"{chosen.name} has {len(made.files)} files: --out names a folder")
    click.echo(made.files[0].text, nl=False)
    return []


def _print_result(chosen: Format, made: Export, files: list[OutputFile], *, as_json: bool) -> None:
    if as_json:
        print_json(_export_json(chosen, made, files))
        return
    for file in files:
        click.echo(f"{file.state:<10} {file.path}")
        click.echo(file.difference, nl=False)
    if any(each.state == "written" for each in files):
        click.echo(f"Next:  {chosen.use}")
    for need in chosen.needs if files else ():
        click.echo(f"Mind:  {need}")


def _export_json(chosen: Format, made: Export, files: list[OutputFile]) -> dict[str, Any]:
    return {
        "format": chosen.name,
        "pin_set": made.pins.name,
        "version": made.pins.version,
        "losses": [
            {"aspect": omission.aspect, "host": omission.host or None, "problem": omission.problem}
            for omission in made.omissions
        ],
        "files": [
            {
                "path": str(each.path),
                "state": each.state,
                "text": each.text if each.state == "printed" else None,
            }
            for each in files
        ],
        "use": chosen.use,
        "needs": list(chosen.needs),
    }
