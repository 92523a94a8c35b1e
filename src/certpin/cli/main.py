"""``certpin``: the group of all commands, and what their errors mean for the exit code."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from importlib import import_module
from keyword import iskeyword
from typing import Any, NoReturn

import click

from certpin._version import __version__
from certpin.cli.screen import plain_warnings, say
from certpin.errors import (
    CertpinError,
    ConfigError,
    InputError,
    PinError,
    ProbeError,
    StoreError,
)

# The exit codes of every command.
HOLDS = 0
FINDING = 1
USAGE = 2
INCONCLUSIVE = 3
INTERRUPTED = 130  # as shells say it: 128 and the number of SIGINT

# A new command is one file with a function of its own name, and one line here. Each is loaded when
# it is called: `certpin --version` starts no client library.
COMMANDS = {
    "pin": "Show what a server or a file presents, and what to pin of it.",
    "add": "Write a host into the pin file, with a backup.",
    "check": "Compare what every pinned host serves with what is pinned.",
    "lint": "Find the mistakes of a pin file that lock out or expose.",
    "explain": "Explain a rule of lint, or list them all.",
    "diff": "Tell what a change of the pins means for installed clients.",
    "get": "Make one request, pinned.",
    "export": "Write the pins as another platform wants them.",
    "import": "Write the pins of another platform's file into the pin file.",
    "rotate": "Change a key without locking anyone out.",
    "publish": "Sign pin sets, and bring them to installed clients.",
    "serve": "Watch what your servers serve and what your apps meet, and tell you.",
    "watch": "Tend the watch: who may come in, alerts, workers, the database.",
    "scan": "Read the certificates of many hosts, as JSON lines.",
    "prove": "Attack a client, and say what got through.",
    "lab": "List the attacks, or serve them to a device.",
    "demo": "Watch a pinned client refuse a man in the middle.",
}

# What may be over when a database is asked again (certpin.watch.store.failures).
_PASSING = frozenset({"away", "busy", "disk", "full"})

# A refusal is printed as the error that it is; the log record would say it twice.
_SILENT = logging.NullHandler()


def module_name(command: str) -> str:
    """The module of a command, and its function there: no module can be called ``import``."""
    return f"{command}_" if iskeyword(command) else command


class CommandGroup(click.Group):
    """Loads a command when it is called, and turns whatever happens into an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        if cmd_name not in COMMANDS:
            return None
        word = module_name(cmd_name)
        command: click.Command = getattr(import_module(f"certpin.cli.{word}"), word)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was asked for; where there is none, say which may be meant."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(_no_such_command(args[0]), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and end it where its output cannot be written."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.Abort from None
        except CertpinError:
            raise
        except OSError as exc:
            if exc.filename is not None:
                raise _unusable_file(exc) from exc
            # Networks have errors of certpin's, and files have a name: this is the output.
            _give_up_output()
            if not isinstance(exc, BrokenPipeError):  # `certpin … | head` is nothing to tell
                say("certpin", str(exc.strerror or exc))
            ctx.exit(INCONCLUSIVE)

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run a command, and end with one of the exit codes."""
        with plain_warnings():
            sys.exit(self._run(*args, **{**extra, "standalone_mode": False}))

    def _run(self, *args: Any, **extra: Any) -> int:
        try:
            return super().main(*args, **extra) or HOLDS
        except CertpinError as exc:
            say("certpin", _message(exc))
            return _code(exc)
        except click.ClickException as exc:
            exc.show()
            return exc.exit_code
        except click.Abort:
            if sys.stderr.isatty():
                click.echo(err=True)  # the terminal shows ^C on this line
            say("certpin", "stopped")
            return INTERRUPTED


def _unusable_file(exc: OSError) -> ConfigError:
    from certpin.x509 import printable  # on first need: no command has been loaded yet

    return ConfigError(
        f"{printable(os.fsdecode(exc.filename))} cannot be used: {exc.strerror}",
        fix="check the path and the rights to it and its folders",
    )


def _message(exc: CertpinError) -> str:
    """The error, with what to do on a line of its own."""
    if isinstance(exc, InputError) and exc.fix:
        return f"{exc.problem}\n  fix: {exc.fix}"
    return str(exc)


def _code(exc: CertpinError) -> int:
    if isinstance(exc, PinError):
        return FINDING
    if isinstance(exc, StoreError):
        return INCONCLUSIVE if exc.reason in _PASSING else USAGE
    return INCONCLUSIVE if isinstance(exc, ProbeError) else USAGE


def _give_up_output() -> None:
    """Let standard output lead nowhere: Python would try to write the rest once more at its end."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _no_such_command(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(COMMANDS)}."
    return f"there is no command {name[:80]!r}. {hint}"


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 it holds; 1 a finding (pins don't match, a chain doesn't verify); "
    "2 usage or a bad file; 3 inconclusive (the network).",
)
@click.version_option(__version__, prog_name="certpin")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Pin certificates, so that a client accepts its own server and nobody else.

    TLS trusts every authority that the machine trusts. A pin narrows that down: it is the
    fingerprint (SHA-256) of a public key that your server's certificate must have, whoever
    issued the certificate. certpin keeps such pins in a file, pins.toml, and has every client
    check them.

    \b
    Begin with:
      certpin demo                                 see what a pin is good for
      certpin pin HOST                             what does my server present?
      certpin add HOST --backup-key backup.key     pin it, with a backup
      certpin check                                does everything still match?
    """  # noqa: D301  # click reads the \b itself: the lines below it stay as they are
    logging.getLogger("certpin").addHandler(_SILENT)
    if "NO_COLOR" in os.environ:
        ctx.color = False


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        # A name that this terminal has no letters for shall not end the program.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        cli(prog_name="certpin")
    except SystemExit as exc:
        if "mitmproxy_rs" in sys.modules:
            _end_at_once(exc.code)
        raise


def _end_at_once(code: Any) -> NoReturn:
    """End without Python's own end.

    The tunnel's library has threads that may call into Python while it ends: seen on 3.13 as a
    SIGSEGV, after all was done, in place of the exit code.
    """
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else USAGE)


if __name__ == "__main__":
    main()
