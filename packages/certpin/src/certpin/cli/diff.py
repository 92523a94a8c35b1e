"""``certpin diff``: the effect of a change of the pin file on installed clients."""

from __future__ import annotations

import shlex
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.options import json_option, name_pin_file
from certpin.cli.reply import fold, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.pinfile import PinSet
    from certpin.pins.changes import Change

_COLOURS = {"safe": "green", "careful": "yellow", "breaks": "red"}
_STDIN = "-"

_file = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


@click.command()
@click.argument("old", type=_file)
@click.argument("new", type=_file)
@json_option
@click.pass_context
def diff(ctx: click.Context, old: Path, new: Path, as_json: bool) -> None:
    """Show what a change of the pins means for installed clients.

    Run it in the review of a change, and in CI.

    OLD and NEW are pin files. One of them may be - for standard input; its trust files are then
    those in the folder of the other file. A pipe, such as <(...), is refused.

    \b
    certpin diff old.toml pins.toml
    git show HEAD:pins.toml | certpin diff - pins.toml

    Each change is "safe" (no client is locked out), "careful" (safe if the steps are taken in the
    right order, or it weakens the protection), or "breaks": some clients refuse their own server,
    never accept the new set, or trust a compromised key again.

    Exit code 0: no change breaks clients. 1: a change does. 2: a file is invalid.
    """  # noqa: D301  # click reads the \b itself
    from certpin.pins import utc_now
    from certpin.pins.changes import changes

    if str(old) == str(new) == _STDIN:
        raise click.UsageError("one of the two must be a file")
    for path in (old, new):
        _refuse_pipe(path, old, new)
    before, after = _load(ctx, old, beside=new), _load(ctx, new, beside=old)
    name_pin_file(ctx, next(filter(_is_lasting, (new, old)), None))
    found = changes(before, after, utc_now())
    if as_json:
        print_json(_diff_json(before, after, found))
    else:
        _print_changes(before, after, found)
    ctx.exit(PROBLEM_FOUND if any(change.weight == "breaks" for change in found) else SUCCESS)


def _is_lasting(path: Path) -> bool:
    """Return True if a later command can read the same text from this path.

    Standard input and open files of this process (``/dev/fd/63``, as a shell's ``<(…)`` passes a
    pipe) are gone when the command has ended.
    """
    return str(path) != _STDIN and path.absolute().parts[1:2] not in {("dev",), ("proc",)}


def _refuse_pipe(path: Path, old: Path, new: Path) -> None:
    """Refuse a pipe or a device: a pin file is a regular file, or the text on standard input.

    ``path`` is one of the two arguments of the command, ``old`` and ``new``.

    Raises:
        PinFileError: the path is that of another kind of file.
    """
    from certpin.errors import PinFileError

    try:
        is_regular = str(path) == _STDIN or stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):  # reading it fails, too, and reports the reason
        return
    if is_regular:
        return
    other = new if path is old else old
    fix = "write its text into a file, and name that"
    if _is_lasting(other):
        words = ("-" if each is path else shlex.quote(str(each)) for each in (old, new))
        fix = f"write its text to standard input: certpin diff {' '.join(words)}"
    raise PinFileError("it is not a regular file, such as the pipe of <(…)", path=path, fix=fix)


def _load(ctx: click.Context, path: Path, *, beside: Path) -> PinSet:
    """Read one of the two pin files that ``certpin diff`` compares, and return its pin set.

    From then on, printed commands name this file, if a later command can read it.

    Args:
        ctx: the context of the command.
        path: the file; ``-`` for standard input.
        beside: the other file. If ``path`` is ``-``, the trust files that the text on standard
            input names are read from the folder of this other file.
    """
    from certpin.errors import PinFileError
    from certpin.pinfile import PinSet
    from certpin.pinfile.file import MAX_PIN_FILE_BYTES

    is_stdin = str(path) == _STDIN
    name_pin_file(ctx, path if _is_lasting(path) else None)
    if not is_stdin:
        return PinSet.load(path)
    data = sys.stdin.buffer.read(MAX_PIN_FILE_BYTES + 1)
    place = beside.parent / "<stdin>"
    if len(data) > MAX_PIN_FILE_BYTES:
        raise PinFileError(f"it has more than {MAX_PIN_FILE_BYTES} bytes", path=place)
    try:
        return PinSet.parse(data.decode(), path=place)
    except UnicodeDecodeError as exc:
        raise PinFileError("it is not UTF-8 text", path=place) from exc


def _diff_json(old: PinSet, new: PinSet, found: Sequence[Change]) -> dict[str, Any]:
    return {
        "old": {"pin_set": old.name, "version": old.version},
        "new": {"pin_set": new.name, "version": new.version},
        "changes": [
            {"weight": change.weight, "host": change.host or None, "text": change.text}
            for change in found
        ],
    }


def _print_changes(old: PinSet, new: PinSet, found: Sequence[Change]) -> None:
    from certpin.pins.changes import WEIGHTS

    click.echo(fold(f"{new.name}: version {old.version} to {new.version}", sys.stdout))
    host = ""
    for change in found:
        if change.host != host:
            host = change.host
            click.echo("\n" + fold(host, sys.stdout))
        click.secho(f"  {change.weight:<8}", nl=False, fg=_COLOURS[change.weight])
        click.echo(fold(f" {change.text}", sys.stdout, taken=10).rstrip())
    counts = [sum(change.weight == weight for change in found) for weight in WEIGHTS]
    words = ", ".join(f"{count} {weight}" for count, weight in zip(counts, WEIGHTS, strict=True))
    click.echo("\nNo change that clients notice." if not found else f"\n{words}")
