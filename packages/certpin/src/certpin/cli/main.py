"""``certpin``: the group of all commands, and the exit code of each error.

A command's module is imported only when the command runs. For an unknown command, the error gives a
hint: a similar command, or the package that adds the command.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from contextlib import contextmanager, suppress
from importlib import import_module
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

import click

from certpin._version import __version__
from certpin.cli.choices import COMPLETION_VARIABLE
from certpin.cli.extras import load_extension
from certpin.cli.reply import (
    CommandReply,
    discard,
    errors_optional,
    open_missing_streams,
    plain_warnings,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from click.shell_completion import CompletionItem

    from certpin.errors import CertpinError, ConfigError

# The exit codes of every command.
SUCCESS = 0
PROBLEM_FOUND = 1
USAGE = 2
INCONCLUSIVE = 3
INTERRUPTED = 130  # 128 and the number of SIGINT, as shells report it
CLOSED = 141  # 128 and the number of SIGPIPE: the reader closed the output

# A new command is one file with a function of the same name, and one line here. A command is
# imported only when it runs: `certpin --version` loads no client library.
COMMAND_GROUPS = {
    "Everyday": {
        "decide": "Find out whether to pin a host, and what.",
        "pin": "Show the certificates and keys of a server or a file, and suggest pins.",
        "add": "Write a host into the pin file, with a backup.",
        "check": "Compare the chain that each pinned host serves with its pins.",
        "calendar": "List the dates ahead that can lock your clients out.",
        "lint": "Find mistakes in a pin file that lock users out or expose them.",
        "explain": "Explain a rule of lint or import, or list all rules.",
        "providers": "List the root sets of providers, or bring the pins of a file up to date.",
        "diff": "Show what a change of the pins means for installed clients.",
        "get": "Make one request over a pinned connection.",
    },
    "Mobile apps and other platforms": {
        "export": "Write the pins in the format of another platform.",
        "import": "Write the pins of another platform's file, or of an app, into the pin file.",
    },
    "Rotation": {
        "rotate": "Change a key without locking anyone out.",
        "publish": "Sign pin sets, and deliver them to installed clients.",
    },
    "Monitoring service": {
        "serve": "Monitor your servers and the reports of your apps, and send alerts.",
        "watch": "Administer the monitoring service: accounts, alerts, workers, database.",
    },
    "Tests and surveys": {
        "scan": "Read the certificates of many hosts, as JSON lines.",
        "prove": "Attack a client, and report which attacks succeed.",
        "lab": "List the attacks, serve them to a device, or exchange chains with others.",
        "demo": "Watch a pinned client refuse a man in the middle.",
    },
    "This installation": {
        "doctor": "Find out which parts of certpin work here, and what prevents the others.",
        "completion": "Print the script that completes commands and options in a shell.",
    },
}
COMMANDS = {name: text for group in COMMAND_GROUPS.values() for name, text in group.items()}
EXTENSIONS = ("serve", "watch")  # of the package certpin-watch

# Failures of a database that may be over at the next try (certpin_watch.store.engine).
_TEMPORARY = frozenset({"away", "busy", "disk", "full"})

# A refusal is printed as an error; its log record would print it a second time.
_SILENT = logging.NullHandler()

_MAX_SHOWN = 80  # characters of an unknown word

# A command prints its result when its work is done (decision 42).
_OUTPUT_FIX = (
    "make space for the output; files that the command changes are changed already: look at "
    "them before you repeat it"
)


class _OutputError(Exception):
    """Raised if certpin can't write to standard output; ``__cause__`` is the ``OSError``."""


class Group(click.Group):
    """A click group of commands that gives a hint for an unknown command.

    It also records the name of the command that runs, for the JSON output.
    """

    def summaries(self) -> dict[str, str]:
        """Return the first line of each command's help, by the name of the command.

        The hint for an unknown command is found in these names and texts.
        """
        return {name: command.get_short_help_str() for name, command in self.commands.items()}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the user named; for an unknown name, fail with a hint."""
        known = self.summaries()
        strict = not ctx.resilient_parsing  # a shell asks for completions otherwise
        if strict and args[0] not in known and not args[0].startswith("-"):
            near = self._within_groups(ctx, args[0])
            raise click.UsageError(unknown("command", args[0], known, near=near), ctx)
        root = ctx.find_root()
        if root.obj is not None:
            path = f"{ctx.command_path} {args[0]}"
            root.obj.command = path.removeprefix(root.command_path).strip()
        return super().resolve_command(ctx, args)

    def _within_groups(self, ctx: click.Context, name: str) -> list[str]:
        """Return the commands with this name in the groups below, such as ``rotate plan``.

        They are suggested if the user gave the name without its group.
        """
        groups = {each: self.get_command(ctx, each) for each in self.own_commands()}
        return [
            f"{each} {name}"
            for each, group in groups.items()
            if isinstance(group, click.Group) and name in group.list_commands(ctx)
        ]

    def own_commands(self) -> list[str]:
        """Return the names of the commands that are installed with this group."""
        return list(self.summaries())


class LazyGroup(Group):
    """A click group that imports a command only when the command runs, so that help is fast.

    Args:
        lazy: the first line of each command's help, by the name of the command.
        package: the Python package with a module for each command. The module and its function have
            the name of the command.
        modules: the name of a command's module by the name of the command, if the two names differ.
        extensions: the names of the commands that another package adds (``load_extension``).
    """

    def __init__(
        self,
        *args: Any,
        lazy: dict[str, str],
        package: str = "certpin.cli",
        modules: dict[str, str] | None = None,
        extensions: Collection[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._lazy = lazy
        self._package = package
        self._modules = modules or {}
        self._extensions = extensions

    def summaries(self) -> dict[str, str]:
        """Return the first line of each command's help, by the command's name."""
        return self._lazy

    def own_commands(self) -> list[str]:
        """Return the names of the commands without those that another package adds.

        Only these commands are imported to find a hint for an unknown command.
        """
        return [name for name in self._lazy if name not in self._extensions]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order in which a newcomer needs them."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command and return it; None if the group has no such command.

        Raises:
            ConfigError: the package that adds the command is not installed.
        """
        if cmd_name not in self._lazy:
            return None
        command: click.Command
        if cmd_name in self._extensions:
            command = load_extension("certpin.commands", cmd_name, f"certpin {cmd_name}")
        else:
            function = function_name(cmd_name)
            module = self._modules.get(cmd_name, function)
            command = getattr(import_module(f"{self._package}.{module}"), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands for the help, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lazy.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin with the typed text. Nothing is imported."""
        from certpin.cli.candidates import completions

        commands = completions(self.summaries(), incomplete)
        return commands + click.Command.shell_complete(self, ctx, incomplete)


class CommandGroup(LazyGroup):
    """The group of all commands. It ends the program with an exit code for every error.

    With ``--json``, errors are printed as JSON.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Treat ``certpin help COMMAND`` as ``certpin COMMAND --help``."""
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands for the help, grouped by their purpose."""
        width = max(map(len, COMMANDS))  # the same in each group
        for title, commands in COMMAND_GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, text in commands.items()])

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the options of certpin itself; ``--help`` and ``--version`` print at once.

        Raises ``_OutputError`` if this output can't be written.
        """
        with _output_checked():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. click calls this method.

        Raises:
            click.Abort: the user pressed Ctrl-C.
            _OutputError: standard output can't be written.
        """
        try:
            with _output_checked():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.Abort from None

    def main(self, args: Any = None, *more: Any, **extra: Any) -> NoReturn:
        """Run a command, or answer a shell's completion request, and end with an exit code."""
        if COMPLETION_VARIABLE in os.environ:
            from certpin.cli.shells import respond

            sys.exit(respond(self))
        words = list(sys.argv[1:] if args is None else args)
        with plain_warnings():
            sys.exit(self._main(words, *more, **extra))

    def _main(self, words: list[str], *more: Any, **extra: Any) -> int:
        reply = CommandReply(words)
        try:
            try:
                code = self._run(reply, words, *more, **extra)
            except KeyboardInterrupt:  # while an error was printed
                code = INTERRUPTED
            with _output_checked():
                reply.finish(code)
                sys.stdout.flush()
        except _OutputError as exc:
            return _without_output(exc)
        return code

    def _run(self, reply: CommandReply, words: list[str], *more: Any, **extra: Any) -> int:
        extra |= {"standalone_mode": False, "obj": reply}
        try:
            return super().main(words, *more, **extra) or SUCCESS
        except click.ClickException as exc:
            if not reply.fail(exc, exc.format_message()):
                with errors_optional():
                    exc.show()
            return exc.exit_code
        except click.Abort as exc:
            if sys.stderr.isatty():
                with errors_optional():
                    click.echo(err=True)  # the terminal shows ^C on this line
            if not reply.fail(exc, "stopped"):
                say("certpin", "stopped")
            return INTERRUPTED
        except Exception as exc:
            if not _is_ours(exc):
                raise
            report_error(exc, reply)
            return _code(exc)


@click.group(
    cls=CommandGroup,
    lazy=COMMANDS,
    extensions=EXTENSIONS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 success; 1 problem found (pins don't match, a chain doesn't verify); "
    "2 wrong usage or an invalid file; 3 inconclusive (no answer). `certpin help COMMAND` is the "
    "same as `certpin COMMAND --help`.",
)
@click.version_option(__version__, "-V", "--version", prog_name="certpin")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Pin certificates, so that a client accepts only its own server.

    A TLS client accepts certificates from every authority that the machine trusts. A pin is the
    fingerprint (SHA-256) of a public key that your server's certificate or one of its authorities
    must have. certpin stores pins in a file, pins.toml, and makes every client check them.

    \b
    Begin with:
      certpin demo                                 see a pin stop an attack
      certpin decide                               find out if you need pins, and which
      certpin pin HOST                             show the certificates of your server
      certpin add HOST --backup-key backup.key     pin it, with a backup
      certpin check                                check that every pin still matches
    """  # noqa: D301  # click reads the \b itself: it does not wrap the lines below it
    logging.getLogger("certpin").addHandler(_SILENT)
    if "NO_COLOR" in os.environ:
        ctx.color = False


def main() -> None:
    """Run certpin as the console script of the installed package."""
    open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal's encoding lacks must not end the program.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        cli(prog_name="certpin")
    except SystemExit as exc:
        if "mitmproxy_rs" in sys.modules:
            _end_at_once(exc.code)
        raise


def _end_at_once(code: Any) -> NoReturn:
    """Write the buffered output, and end the process without Python's shutdown.

    The threads of the WireGuard library may call into Python during the shutdown: on Python 3.13
    that caused a SIGSEGV, which replaced the exit code. ``code`` is the exit code.
    """
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else USAGE)


def report_error(exc: CertpinError, reply: CommandReply | None = None) -> None:
    """Print an error that ends the command, and how to fix it: on standard error, or as JSON.

    Args:
        exc: the error.
        reply: the output of this run of the command; None for that of the current click context.
    """
    reply = reply or click.get_current_context().find_root().obj
    if not reply.fail(exc, getattr(exc, "problem", str(exc))):
        say("certpin", reply.with_file(_message(exc)))


def function_name(command: str) -> str:
    """Return the name of the Python function of a command: ``add_key`` for ``add-key``.

    A Python keyword gets an underscore: ``import_``.
    """
    name = command.replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def unknown(
    kind: str, name: str, known: Collection[str], listing: str = "", near: Sequence[str] = ()
) -> str:
    """Return the error message for an unknown name, with a similar known name as a hint.

    Args:
        kind: the noun for such names, such as ``command``.
        name: the unknown name.
        known: all known names; or a dict from names to help texts. With a dict, a command is also
            suggested if its help contains the unknown name as a word: ``list`` finds the command
            with the help "List the attacks".
        listing: a command or a file that lists the names, if there are too many for the message;
            else empty.
        near: the names to suggest, if the caller knows better ones than the most similar one.
    """
    from difflib import get_close_matches

    problem = f"there is no {kind} {name[:_MAX_SHOWN]!r}."
    near = near or get_close_matches(name[:_MAX_SHOWN], known, n=1) or _by_help(name, known)
    if near:
        return f"{problem} Did you mean {' or '.join(map(repr, near))}?"
    return f"{problem} {listing or 'There are:'} {'lists them' if listing else ', '.join(known)}."


def _by_help(name: str, known: Collection[str]) -> list[str]:
    """Return the first command with a word in its help, as a list; empty if there is none.

    Args:
        name: the word, which the user typed as the name of a command.
        known: a dict from commands to their help texts. For any other collection of names, the
            result is empty.
    """
    if not isinstance(known, dict):
        return []
    word = name.casefold()
    found = [known_name for known_name, text in known.items() if word in _words(text)]
    return found[:1]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


@contextmanager
def stop_on_signals(end: Callable[[], None] | None = None) -> Iterator[None]:
    """Context manager: the first SIGINT, SIGTERM or SIGHUP raises ``KeyboardInterrupt``.

    SIGHUP means that the terminal was closed. Later signals are ignored until the program has
    ended, so that they don't interrupt the clean-up or the summary.

    Args:
        end: a function to call at the first signal instead of raising ``KeyboardInterrupt``. It is
            for a block that an exception must not interrupt. None to raise the exception.
    """
    import signal

    received = False

    def stop(*_: object) -> None:
        nonlocal received
        if not received:
            received = True
            if end is None:
                raise KeyboardInterrupt
            end()

    numbers = [signal.SIGTERM]
    # A background job of a shell ignores SIGINT, and a program under nohup ignores SIGHUP.
    may_be_ignored = (signal.SIGINT, signal.SIGHUP)
    numbers += [
        number for number in may_be_ignored if signal.getsignal(number) is not signal.SIG_IGN
    ]
    previous = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_IGN if received else handler)


@contextmanager
def _output_checked() -> Iterator[None]:
    """Context manager: raise ``_OutputError`` if the block can't write to standard output.

    An ``OSError`` without a file name is taken for an error of standard output: errors of other
    files name the file, and network errors are raised as certpin's own error types. The only
    exceptions are the error of ``tempfile`` if it finds no folder for temporary files, and that
    about a working directory that was deleted.

    Raises:
        _OutputError: standard output can't be written.
        ConfigError: a file can't be used, or there is no folder for temporary files, or no working
            directory.
    """
    try:
        yield
    except OSError as exc:
        if _is_ours(exc):  # a PinError is an OSError
            raise
        if isinstance(exc, FileNotFoundError) and exc.filename is None:
            raise (_no_current_folder() if _is_gone() else _no_temporary_folder()) from exc
        if exc.filename is not None:
            raise _unusable_file(exc) from exc
        raise _OutputError from exc


def _without_output(exc: _OutputError) -> int:
    cause = exc.__cause__
    discard(sys.stdout)
    if isinstance(cause, BrokenPipeError):
        return CLOSED
    problem = getattr(cause, "strerror", None) or cause
    say("certpin", f"standard output cannot be written: {problem}\n  fix: {_OUTPUT_FIX}")
    return INCONCLUSIVE


def _is_ours(exc: Exception) -> TypeGuard[CertpinError]:
    from certpin.errors import CertpinError

    return isinstance(exc, CertpinError)


def _unusable_file(exc: OSError) -> ConfigError:
    from certpin.errors import ConfigError
    from certpin.support.text import printable  # here, because no command has been imported yet

    return ConfigError(
        f"{printable(os.fsdecode(exc.filename))} cannot be used: {exc.strerror}",
        fix="check the path, and its permissions and those of its folders",
    )


def _is_gone() -> bool:
    """Return True if the working directory was deleted."""
    try:
        os.getcwd()  # noqa: PTH109  # pathlib is not imported yet
    except FileNotFoundError:
        return True
    return False


def _no_current_folder() -> ConfigError:
    from certpin.errors import ConfigError

    return ConfigError(
        "the current folder was deleted",
        fix="change to a folder that exists (cd), and run the command again",
    )


def _no_temporary_folder() -> ConfigError:
    from certpin.errors import ConfigError

    return ConfigError(
        "no folder for temporary files can be written",
        key="TMPDIR",
        fix="set TMPDIR to a folder that can be written",
    )


def _message(exc: CertpinError) -> str:
    """Return the text of an error, with its fix on a separate line."""
    from certpin.errors import InputError

    if isinstance(exc, InputError) and exc.fix:
        return f"{exc.problem}\n  fix: {exc.fix}"
    return str(exc)


def _code(exc: CertpinError) -> int:
    from certpin.errors import PinError, ProbeError, StoreError

    if isinstance(exc, PinError):
        return PROBLEM_FOUND
    if isinstance(exc, StoreError):
        return INCONCLUSIVE if exc.reason in _TEMPORARY else USAGE
    return INCONCLUSIVE if isinstance(exc, ProbeError) else USAGE


if __name__ == "__main__":
    main()
