"""The output of commands: messages and progress for a terminal, and JSON with ``--json``.

All messages have the same form, long lines are folded, and hostile text is escaped. JSON is one
object, or for a stream one object on each line. Each object begins with ``schema`` and ``command``.
The last object (for most commands the only one) also has ``exit_code``, so it is printed after the
command has ended: ``print_json`` only stores the data until then. With ``--json``, errors are JSON
too. Before a long run, ``check_folder`` checks that the result can be written to its file.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
import warnings
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rich.console import Console

_MIN_WIDTH = 40  # columns; lines are not folded to less
_UNBOUNDED = 10_000  # columns of a file or a pipe
_INDENT = 4  # columns before the continuation of a folded line

# Raised if a field is removed or changes its meaning, not for a new field.
SCHEMA = 1

# The fields of an error: None if they do not apply.
_ERROR_FIELDS = ("fix", "path", "line", "key", "host", "port", "reason")

# A shell word: a space in quotes does not end it.
_WORD = r"""(?:'[^']*'|"[^"]*"|\S)+"""
# A command in a text. Its end is unknown, so it has too many words rather than too few: the names
# of subcommands and a word, then options with a value each, and words unlike those of a sentence.
_GO_ON = r"(?<![,;:.)]) "
_COMMAND = re.compile(
    r"(?<![\w./-])(?:certpin|git|openssl|pip)(?= [a-z])"
    rf"(?:{_GO_ON}[a-z]\S*){{1,3}}"
    rf"(?:{_GO_ON}(?:-\S*{_GO_ON}{_WORD}|(?=\S*(?:[A-Z\d/=_@*'\"…~%<\[-]|[.:]\w)){_WORD}))*"
)
_COMMAND_LINE = re.compile(r" {4,}certpin ")  # as steps and their commands are printed
_NO_BREAK = "\0"  # for a space in a command: `printable` leaves no such character in a text

# The commands that read the pin file, up to the next command or punctuation without --file (the
# colon before a port is none, and none is in a quoted word). Not import and export: texts mention
# them without the pin file, such as `certpin export --list`.
_FILE_COMMAND = re.compile(
    r"\bcertpin (?:add|calendar|check|get|lint|providers update"
    r"|publish (?:add-key|init|propose|push|review|sign|status)"
    r"|rotate (?:clock|csr|emergency|finish|gone|history|plan|shipped|simulate|start|status"
    r"|switch|webhook))"
    r"(?![\w-])(?!(?>(?<=[\s=])'[^']*'|(?!certpin )[^,;:()\n]|:(?=\S))*? (?:--file[ =]|-f ))"
)


def say(prefix: str, text: str) -> None:
    """Print an error or a warning to standard error.

    Args:
        prefix: the start of the line, such as ``certpin`` or ``certpin: warning``.
        text: the message. It may have several lines and contain hostile text.
    """
    with errors_optional():
        click.secho(f"{prefix}: ", nl=False, err=True, bold=True, color=_colour())
        click.echo(fold(text, sys.stderr, taken=len(prefix) + 2), err=True)


@contextmanager
def errors_optional() -> Iterator[None]:
    """Context manager: ignore the failure if the block can't write messages to standard error.

    The messages are then lost, but the exit code of the command stays as it is. Causes of such a
    failure are a full disk and a closed pipe.
    """
    try:
        yield
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Discard the output that is still in a stream's buffer, and all later output.

    Otherwise Python would write the buffer again when the program ends, fail again, and end with
    exit code 120.
    """
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def open_missing_streams() -> None:
    """Open the null device for each standard stream that the caller closed (``certpin check >&-``).

    Otherwise the next file or socket that certpin opens would get the number of the closed stream,
    and the output of a library or another program would go into that file. Python sets a closed
    stream to None. Reading from a closed standard input still fails.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free number: that of the stream.
            number = os.open(os.devnull, os.O_WRONLY)
            os.set_inheritable(number, True)
            stream = open(number, mode, closefd=False, encoding="utf-8")  # noqa: SIM115  # stays open
            setattr(sys, name, stream)


def fold(text: str, stream: TextIO, *, taken: int = 0) -> str:
    """Fold each line of a text to the width of the terminal, and escape control characters.

    The commands in the text name the pin file of this run (``with_file``), and are not folded, so
    that users can paste them: the terminal wraps a long one. Lines are not folded if the stream is
    not a terminal, so that programs can search them.

    Args:
        text: the text. It may be hostile.
        stream: the stream on which the text will be printed.
        taken: the number of columns of the first line that are already used.
    """
    from certpin.support.text import printable

    lines = [printable(line) for line in with_file(text).splitlines()]
    width = width_of(stream)
    if width < _MIN_WIDTH:
        return "\n".join(lines)
    return "\n".join(
        _fold_line(line, width, 0 if index else taken) for index, line in enumerate(lines)
    )


def table_console(*, width: int = _UNBOUNDED) -> Console:
    """Return a rich console for standard output.

    A closed pipe raises ``BrokenPipeError``, as with ``click.echo``.

    Args:
        width: the width in columns if the output is a file or a pipe. By default it is unlimited,
            so that each row of a table is one line.
    """
    from rich.console import Console

    class OutputConsole(Console):
        def on_broken_pipe(self) -> None:
            # rich raises SystemExit(1), which means that certpin found a problem.
            raise BrokenPipeError

    return OutputConsole(width=None if sys.stdout.isatty() else width)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Context manager: print Python's warnings in certpin's form, without source code."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: say("certpin: warning", str(message))
        yield


@contextmanager
def progress(total: int, word: str, *, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """Context manager: a progress bar on a terminal, nothing in a pipe.

    Args:
        total: the number of units of work.
        word: the label of the bar.
        quiet: True to show no bar.

    Yields:
        A function to call after each unit.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(word, total=total)
        yield lambda: progress.advance(task)


def check_folder(path: Path) -> None:
    """Check, before a long run of a command, that a file for the result can be written.

    Args:
        path: the path of the file.

    Raises:
        ConfigError: the folder of the file does not exist, or is not writable.
    """
    from certpin.errors import ConfigError
    from certpin.support.text import printable

    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(
            f"{printable(str(path))} cannot be written: no such folder, or no permission",
            fix="name a file in a folder that you may write to",
        )


class CommandReply:
    """The JSON output of one run of a command. click keeps it as ``obj`` of the root context.

    Args:
        words: the arguments of the run. If ``--json`` or ``--format json`` is among them, errors
            are JSON even if the arguments can't be parsed.

    Attributes:
        words: the arguments of the run.
        file_option: the option `` --file PATH`` to add to printed commands; empty for the default
            pin file.
        json_requested: True if the arguments ask for JSON. It is for options such as ``--list``,
            which end the command before click has parsed all arguments.
        wanted: True if click has parsed ``--json``.
    """

    def __init__(self, words: list[str]) -> None:
        self.command = ""
        self.words = words
        self.file_option = ""
        self.json_requested = _asks_for_json(words)
        self.wanted = False
        self._data: dict[str, Any] | None = None
        self._error: dict[str, Any] | None = None
        self._streaming = False

    def keep(self, data: dict[str, Any], *, streaming: bool = False) -> None:
        """Store the JSON data of the command; ``finish()`` prints them with the exit code.

        Args:
            data: the data.
            streaming: True if the output is a stream, so that the data are printed on one line.
        """
        self._data = self._with_file_in_fixes(data)
        self._streaming |= streaming

    def event(self, data: dict[str, Any]) -> None:
        """Print one JSON line of a stream immediately."""
        self._streaming = True
        _echo({**self._head(), **self._with_file_in_fixes(data)})

    def fail(self, error: BaseException, message: str) -> bool:
        """Store the error that ended the command, for its JSON output.

        ``message`` is the text of the error. Return True if the error was stored; False if the
        output of the command is text, so that the caller must print the error.
        """
        if not (self.json_requested or self.wanted or self._data is not None):
            return False
        kind = type(error).__name__
        fields = {name: getattr(error, name, None) or None for name in _ERROR_FIELDS}
        if isinstance(error, click.UsageError):
            kind = "UsageError"
            fields["fix"] = f"{error.ctx.command_path} --help" if error.ctx else None
        fields = {"file" if name == "path" else name: value for name, value in fields.items()}
        if fields["fix"]:
            fields["fix"] = self.with_file(fields["fix"])
        self._error = {"type": kind, "message": self.with_file(message), **fields}
        return True

    def with_file(self, text: str) -> str:
        """Return a text for the user in which each command for a pin file names that of this run.

        Otherwise a user who pastes a command would change another pin file in the same folder.
        Commands that name a file already, and those for the default pin file, stay as they are.
        """
        if not self.file_option:
            return text
        return _FILE_COMMAND.sub(lambda found: found[0] + self.file_option, text)

    def _with_file_in_fixes(self, data: Any) -> Any:
        """Return a copy of JSON data in which the commands of each ``fix`` name the pin file."""
        if not self.file_option:
            return data
        if isinstance(data, dict):
            return {
                key: self.with_file(value)
                if key == "fix" and isinstance(value, str)
                else self._with_file_in_fixes(value)
                for key, value in data.items()
            }
        if isinstance(data, list | tuple):
            return [self._with_file_in_fixes(value) for value in data]
        return data

    def finish(self, exit_code: int) -> None:
        """Print the JSON object with the exit code, and the stored data or error if there are any.

        Nothing is printed if the output of the command is text.
        """
        if not self.wanted and self._data is None and self._error is None:
            return
        data = {**self._head(), "exit_code": exit_code, **(self._data or {})}
        data["exit_code"] = exit_code  # the data of a run have one, too
        if self._error is not None:
            data["error"] = self._error
        one_line = (
            self._streaming or self._data is None
        )  # the error may be the only line of a stream
        _echo(data, indent=None if one_line else 2)

    def _head(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "command": self.command}


def _asks_for_json(words: list[str]) -> bool:
    """Return True if ``--json`` or ``--format json`` is among the words before ``--``.

    Errors are then printed as JSON, too, also those that occur before the options are parsed.
    """
    options = words[: words.index("--") if "--" in words else None]
    is_format = ("--format", "json") in pairwise(options)
    return is_format or not {"--json", "--format=json"}.isdisjoint(options)


def with_file(text: str) -> str:
    """Return a text in which each command for a pin file names the pin file of this run."""
    context = click.get_current_context(silent=True)
    reply = context.find_root().obj if context else None
    return reply.with_file(text) if isinstance(reply, CommandReply) else text


def print_json(data: dict[str, Any]) -> None:
    """Store the data of a command, to be printed as JSON when the command has ended."""
    _current().keep(data)


def print_done(data: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print the result of a command: ``data`` as JSON if ``as_json`` is True, else ``text``."""
    if as_json:
        print_json(data)
    else:
        click.echo(text)


def print_document(document: dict[str, Any]) -> None:
    """Print a JSON document that has its own schema, such as SARIF, immediately."""
    _echo(document, indent=2)


def print_event(event: str, **data: Any) -> None:
    """Print one JSON line of a stream immediately: the name of an event, and its data."""
    _current().event({"event": event, **data})


def print_last(**data: Any) -> None:
    """Store the last JSON line of a stream, to be printed when the command has ended."""
    _current().keep(data, streaming=True)


def _fold_line(line: str, width: int, taken: int) -> str:
    if _COMMAND_LINE.match(line):
        return line
    own = len(line) - len(line.lstrip())
    folded = textwrap.fill(
        _COMMAND.sub(lambda found: found[0].replace(" ", _NO_BREAK), line.strip()),
        width,
        initial_indent=" " * (own + taken),
        subsequent_indent=" " * (own + _INDENT),
        break_long_words=False,  # a pin stays whole, so that the user can copy it
        break_on_hyphens=False,
    )
    return folded[taken:].replace(_NO_BREAK, " ")


def width_of(stream: TextIO) -> int:
    """Return the width of a stream's terminal in columns; 0 if the stream is no terminal."""
    if not stream.isatty():
        return 0
    columns = os.environ.get("COLUMNS", "")
    try:
        return int(columns) if columns else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


def _colour() -> bool | None:
    """Return False (no colours) if ``NO_COLOR`` is set; None to let click decide by the stream."""
    return False if "NO_COLOR" in os.environ else None


def _current() -> CommandReply:
    reply: CommandReply = click.get_current_context().find_root().obj
    return reply


def _echo(data: dict[str, Any], *, indent: int | None = None) -> None:
    import json

    click.echo(json.dumps(data, indent=indent))
