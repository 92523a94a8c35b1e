"""``certpin``: the group of all commands, and the exit code of each error."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

import click

from certpin._version import __version__
from certpin.cli.group import LazyGroup
from certpin.cli.reply import CommandReply, plain_warnings, say

if TYPE_CHECKING:
    from collections.abc import Iterator

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
COMMANDS = {
    "pin": "Show the certificates and keys of a server or a file, and suggest pins.",
    "add": "Write a host into the pin file, with a backup.",
    "check": "Compare the chain that each pinned host serves with its pins.",
    "lint": "Find mistakes in a pin file that lock users out or expose them.",
    "explain": "Explain a lint rule, or list all rules.",
    "diff": "Show what a change of the pins means for installed clients.",
    "get": "Make one request over a pinned connection.",
    "export": "Write the pins in the format of another platform.",
    "import": "Write the pins of another platform's file into the pin file.",
    "rotate": "Change a key without locking anyone out.",
    "publish": "Sign pin sets, and deliver them to installed clients.",
    "serve": "Monitor your servers and the reports of your apps, and send alerts.",
    "watch": "Administer the monitoring service: accounts, alerts, workers, database.",
    "scan": "Read the certificates of many hosts, as JSON lines.",
    "prove": "Attack a client, and report which attacks succeed.",
    "lab": "List the attacks, or serve them to a device.",
    "demo": "Watch a pinned client refuse a man in the middle.",
}
EXTENSIONS = ("serve", "watch")  # of the package certpin-watch

# Failures of a database that may be over at the next try (certpin_watch.store.failures).
_TEMPORARY = frozenset({"away", "busy", "disk", "full"})

# A refusal is printed as an error; its log record would print it a second time.
_SILENT = logging.NullHandler()


class _OutputError(Exception):
    """Standard output can't be written. ``__cause__`` is the error of the operating system."""


class CommandGroup(LazyGroup):
    """The group of all commands. Every error becomes an exit code, and JSON with ``--json``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Treat ``certpin help COMMAND`` as ``certpin COMMAND --help``."""
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        return super().parse_args(ctx, args)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the options of certpin itself, such as ``--help``, which print at once."""
        with _output_checked():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            with _output_checked():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.Abort from None

    def main(self, args: Any = None, *more: Any, **extra: Any) -> NoReturn:
        """Run a command, and end with one of the exit codes."""
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
                exc.show()
            return exc.exit_code
        except click.Abort as exc:
            if sys.stderr.isatty():
                click.echo(err=True)  # the terminal shows ^C on this line
            if not reply.fail(exc, "stopped"):
                say("certpin", "stopped")
            return INTERRUPTED
        except Exception as exc:
            if not _is_ours(exc):
                raise
            report_error(exc, reply)
            return _code(exc)


def report_error(exc: CertpinError, reply: CommandReply | None = None) -> None:
    """Print an error that ends the command, with its fix: on standard error, or as JSON.

    Args:
        exc: the error.
        reply: the output of the run; by default that of the current click context.
    """
    reply = reply or click.get_current_context().find_root().obj
    if not reply.fail(exc, getattr(exc, "problem", str(exc))):
        say("certpin", _message(exc))


@contextmanager
def extra_needed(extra: str, what: str) -> Iterator[None]:
    """Context manager: if an import in the block fails, raise an error that names the extra.

    Args:
        extra: the extra of certpin.
        what: the feature that needs the package, for the error.

    Raises:
        ConfigError: a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        package = (exc.name or "certpin").partition(".")[0]
        if package == "certpin" or package in sys.stdlib_module_names:
            raise
        from certpin.errors import ConfigError

        raise ConfigError(
            f"{what} needs the package {package}", fix=f"pip install 'certpin[{extra}]'"
        ) from exc


@contextmanager
def _output_checked() -> Iterator[None]:
    """Context manager: raise ``_OutputError`` if the block can't write to standard output.

    An ``OSError`` without a file name is one of standard output: errors of other files name the
    file, and errors of the network have types of certpin.
    """
    try:
        yield
    except OSError as exc:
        if _is_ours(exc):  # a PinError is an OSError
            raise
        if exc.filename is not None:
            raise _unusable_file(exc) from exc
        raise _OutputError from exc


def _without_output(exc: _OutputError) -> int:
    cause = exc.__cause__
    with suppress(OSError):  # otherwise Python writes the rest again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(cause, BrokenPipeError):
        return CLOSED
    say("certpin", str(getattr(cause, "strerror", None) or cause))
    return INCONCLUSIVE


def _is_ours(exc: Exception) -> TypeGuard[CertpinError]:
    from certpin.errors import CertpinError

    return isinstance(exc, CertpinError)


def _unusable_file(exc: OSError) -> ConfigError:
    from certpin.errors import ConfigError
    from certpin.x509 import printable  # here, because no command has been imported yet

    return ConfigError(
        f"{printable(os.fsdecode(exc.filename))} cannot be used: {exc.strerror}",
        fix="check the path, and its permissions and those of its folders",
    )


def _message(exc: CertpinError) -> str:
    """Return the text of the error, with its fix on a separate line."""
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
      certpin pin HOST                             show the certificates of your server
      certpin add HOST --backup-key backup.key     pin it, with a backup
      certpin check                                check that every pin still matches
    """  # noqa: D301  # click reads the \b itself: it does not wrap the lines below it
    logging.getLogger("certpin").addHandler(_SILENT)
    if "NO_COLOR" in os.environ:
        ctx.color = False


def main() -> None:
    """Run the console script."""
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
    """End the process without Python's shutdown.

    The threads of the WireGuard library may call into Python during the shutdown: on Python 3.13
    that caused a SIGSEGV, which replaced the exit code.
    """
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else USAGE)


if __name__ == "__main__":
    main()
