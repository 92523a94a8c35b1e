"""``certpin import``: write the pins of a platform's file, or of an app, into the pin file.

The module's name has an underscore, because ``import`` is a keyword.
"""

from __future__ import annotations

import shlex
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.candidates import complete_files
from certpin.cli.choices import MODES
from certpin.cli.import_app import app_options
from certpin.cli.options import (
    NameType,
    file_option,
    json_option,
    pin_file_option,
    unused_name,
)
from certpin.cli.reply import fold, print_json, say

if TYPE_CHECKING:
    from collections.abc import Collection

    from certpin.cli.import_app import AppOptions
    from certpin.formats import Format, ImportOptions
    from certpin.pins import HostPolicy, Mode, PinSet


def _sources() -> Collection[str]:
    from certpin.apps.languages import LANGUAGES
    from certpin.formats import FORMATS

    return {**LANGUAGES, **FORMATS}


_MISSING_ROLES = "Check the roles: the file did not name the backup pin."

_MAX_HOSTS = 3  # of which a note has commands
_ONLY_PINS = "Only the pins were read: certpin looks for mistakes in code only in Dart."

_source_name = NameType("format", _sources, "`certpin export --list`")


@click.command("import")
@click.argument("name", metavar="FORMAT|dart", type=_source_name)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, shell_complete=complete_files)
@pin_file_option
@click.option("--name", "called", help="The name of a new pin file; by default the name in FILE.")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="The host of the pins, if the platform's file or the code names none (*.HOST too). For "
    "dart it may have a port, and be repeated.",
)
@click.option(
    "--mode",
    type=click.Choice(MODES),
    help='"report" accepts a file with only one pin; by default the mode in FILE.',
)
@app_options
@json_option
@click.pass_context
def import_(
    ctx: click.Context,
    name: str,
    paths: tuple[str, ...],
    path: Path,
    called: str | None,
    hosts: tuple[str, ...],
    mode: Mode | None,
    app: AppOptions,
    as_json: bool,
) -> None:
    """Write the pins of another platform's file, or of an app, into the pin file.

    Use it if your app pins already, with another library or by hand.

    FORMAT is the platform (certpin export --list prints all), PATH its file; - reads standard
    input. An existing pin file keeps its comments and order, and gets a higher version. A host that
    it already has is skipped if its policy is the same, and refused if it differs.

    "dart" reads the source of a Flutter app: each PATH is a file or a folder of it. certpin takes
    the pins from the code, the assets and the configuration of Android and Apple, notes file and
    line of each, and reports the mistakes that it sees on the way (certpin explain RULE). Links are
    not followed. With --check it only reports the mistakes.

    certpin looks for mistakes in code only in Dart. Of all other formats it reads only the pins: it
    does not see a TrustManager in Kotlin that accepts every certificate. Test the app for such
    mistakes with certpin prove or certpin lab serve.

    Elements that a pin file can't contain are not imported, and each of them is a warning. A
    platform's file has less information than a pin file: for example, it does not name the backup.
    Check the result before you use it.

    \b
    certpin import android app/src/main/res/xml/network_security_config.xml
    certpin import dart . --check              only look for mistakes
    certpin import dart . --live

    Exit code 0: written. 2: refused, nothing is written. For dart also 1: written, but there is a
    mistake of the severity of --fail-on or worse, or with --live a host presents none of its pins.
    3: written, but a file could not be read, or with --live a host did not answer.
    """  # noqa: D301  # click reads the \b itself
    from certpin.apps.languages import LANGUAGES
    from certpin.cli.import_app import AppRequest, import_app

    if name in LANGUAGES:
        request = AppRequest(LANGUAGES[name], paths, path, called, hosts, mode, app)
        import_app(ctx, request, as_json=as_json)
        return
    _refuse_app_options(name, paths, hosts, app)
    _import_file(name, paths[0], path, called, "".join(hosts), mode, as_json=as_json)


def _refuse_app_options(
    name: str, paths: tuple[str, ...], hosts: tuple[str, ...], app: AppOptions
) -> None:
    if app.check:
        raise click.UsageError(
            f"--check is for the source of a Flutter app: certpin import dart PATH --check. Of "
            f"{name}, certpin reads only the pins, and looks for no mistakes in code"
        )
    if app.given:
        raise click.UsageError(f"{app.given} is for the source of an app: certpin import dart PATH")
    if len(paths) > 1:
        raise click.UsageError(f"the format {name} has exactly one FILE")
    if len(hosts) > 1:
        raise click.UsageError(f"--host may be repeated for the source of an app, not for {name}")


def _import_file(
    name: str,
    source: str,
    path: Path,
    called: str | None,
    host: str,
    mode: Mode | None,
    *,
    as_json: bool,
) -> None:
    from certpin.cli.export_files import SOURCE_CODE
    from certpin.cli.import_hosts import HostImport
    from certpin.formats import FORMATS, FormatWarning, ImportOptions
    from certpin.pinfile.file import changing

    chosen = FORMATS[name]
    options = ImportOptions(name=called or "", host=host, mode=mode)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FormatWarning)
        try:
            pins = _load(chosen, source, options)
        finally:  # a skipped element may be the reason for an error
            dropped = [str(each.message).removeprefix("not imported: ") for each in caught]
            _warn_dropped(dropped)
    with changing(path):
        imported = HostImport(path, pins, named=called is not None)
        imported.save()
    unlisted = [
        f"certificateTransparency of {host}: name a list of logs (ct_logs) in the pin file, and "
        "write require_ct = true below this host"
        for host in imported.unlisted
    ]
    _warn_dropped(unlisted)
    dropped += unlisted
    result: dict[str, Any] = {
        "format": name,
        "file": str(path),
        "version": imported.version,
        "added": [str(policy.pattern) for policy in imported.added],
        "kept": [str(policy.pattern) for policy in imported.kept],
        "anchors": [str(file) for file in imported.anchors],
        "log_list": str(imported.log_list) if imported.log_list else None,
        "dropped": dropped,
        "unknown": imported.unknown,
    }
    if as_json:
        print_json(result)
    else:
        are_roles_known = chosen.has_roles and _have_backups(imported.added)
        missing = "" if are_roles_known else f"{_MISSING_ROLES} {chosen.lacks}".rstrip()
        notes = [missing] if missing and imported.added else []
        if Path(chosen.file).suffix in SOURCE_CODE:
            notes.append(_ONLY_PINS)
        notes += _missing_backups(imported.added, imported.version)
        _print_import(result, notes)


def _warn_dropped(elements: list[str]) -> None:
    for element in elements:
        say("certpin: warning", f"not imported: {element}")


def _load(chosen: Format, source: str, options: ImportOptions) -> PinSet:
    """Read a file of another platform, and return its pins as a pin set.

    Args:
        chosen: the format.
        source: the path of the file; ``-`` for standard input.
        options: the options for the import.

    Raises:
        ConfigError: the file names no host, so that the user has to; or the host that the user
            named is not in the file.
        FormatError: the file can't be read or imported.
        PinFileError: the file has an unsafe policy.
    """
    from certpin.cli.source import read_source
    from certpin.errors import FormatError, PinFileError
    from certpin.support.text import printable

    if source != "-" and Path(source).is_dir():
        file = Path(source) / chosen.file
        fix = f"name the exported file, such as {file}"
        if chosen.language:
            fix += f"; for the source of an app: certpin import {chosen.language} {source}"
        raise FormatError(printable(f"{source} cannot be read: it is a folder"), fix=printable(fix))
    opened = read_source(source)
    try:
        return chosen.load(opened, options)
    except FormatError as exc:
        raise FormatError(f"{printable(source)}: {exc.problem}", fix=exc.fix) from exc
    except PinFileError as exc:
        raise PinFileError(
            exc.problem, path=printable(source), line=exc.line, fix=exc.fix, host=exc.host
        ) from exc


def _have_backups(policies: list[HostPolicy]) -> bool:
    return all(any(entry.role == "backup" for entry in policy.pins) for policy in policies)


def _missing_backups(policies: list[HostPolicy], version: int) -> list[str]:
    """Return notes on how to add a backup to imported hosts with only one pin.

    Such a host is accepted with ``mode = "report"``.

    Args:
        policies: the imported policies.
        version: the version of the pin file.
    """
    single = [policy.pattern for policy in policies if len(policy.live_pins) == 1]
    if not single:
        return []
    hosts = ", ".join(map(str, single[:_MAX_HOSTS]))
    more = f" and {len(single) - _MAX_HOSTS} more" if len(single) > _MAX_HOSTS else ""
    starts = (
        f"    certpin rotate start --new {unused_name(f'{host.name}.key')} "
        f"--host {shlex.quote(str(host))}"
        for host in single[:_MAX_HOSTS]
    )
    problem = (
        f"No backup: there is only one pin for {hosts}{more}. Record the version that clients "
        "have, and make a backup key:"
    )
    return [problem, f"    certpin rotate shipped {version}", *starts]


def _print_import(result: dict[str, Any], notes: list[str]) -> None:
    click.secho(f"{result['file']} (version {result['version']}):", bold=True)
    for host in result["added"]:
        click.echo(fold(f"  added  {host}", sys.stdout))
    for host in result["kept"]:
        click.echo(fold(f"  kept   {host}", sys.stdout))
    for file in result["anchors"]:
        click.echo(fold(f"  trust  {file}", sys.stdout))
    if result["log_list"]:
        click.echo(fold(f"  logs   {result['log_list']}", sys.stdout))
    for note in notes:
        click.echo(fold(note, sys.stdout))
    for unknown in result["unknown"]:
        click.echo(fold(f"Not known: {unknown}.", sys.stdout))
    click.echo(f"Next:  certpin check{file_option(Path(result['file']))}")
