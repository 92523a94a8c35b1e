"""Groups of commands that import a command when it runs; extensions; hints for unknown names."""

from __future__ import annotations

import re
from importlib import import_module
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_MAX_SHOWN = 80  # characters of an unknown word


class Group(click.Group):
    """A group that gives a hint for an unknown command, and records which command runs."""

    def summaries(self) -> dict[str, str]:
        """Return the first line of each command's help, by the command's name."""
        return {name: command.get_short_help_str() for name, command in self.commands.items()}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the user named; fail with a hint if there is none."""
        known = self.summaries()
        if args[0] not in known and not args[0].startswith("-"):
            raise click.UsageError(unknown("command", args[0], known), ctx)
        root = ctx.find_root()
        if root.obj is not None:
            path = f"{ctx.command_path} {args[0]}"
            root.obj.command = path.removeprefix(root.command_path).strip()
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """A group that imports a command only when it is called, so that help is fast.

    Args:
        lazy: the first line of each command's help, by the command's name.
        package: the package of the commands. Each is in the module that is named after it, as a
            function of the same name.
        modules: the modules of commands whose module has another name.
        extensions: the commands that another package adds (``load_extension``).

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

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which a newcomer needs them."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command.

        Raises:
            ConfigError: the package that adds the command is not installed.

        """
        command: click.Command
        if cmd_name not in self._lazy:
            return None
        if cmd_name in self._extensions:
            command = load_extension("certpin.commands", cmd_name, f"certpin {cmd_name}")
            return command
        function = function_name(cmd_name)
        module = self._modules.get(cmd_name, function)
        command = getattr(import_module(f"{self._package}.{module}"), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lazy.items()))


def load_extension(group: str, name: str, what: str) -> Any:
    """Load an object that certpin-watch adds to certpin through an entry point.

    Args:
        group: the group of entry points, ``certpin.commands`` or ``certpin.extensions``.
        name: the name of the entry point.
        what: the feature that needs it, for the error.

    Raises:
        ConfigError: certpin-watch is not installed.

    """
    from importlib.metadata import entry_points

    for entry in entry_points(group=group, name=name):
        return entry.load()
    from certpin.errors import ConfigError

    raise ConfigError(f"{what} needs the package certpin-watch", fix="pip install 'certpin[watch]'")


class NameType(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.4 on
    """Click parameter type: a name from a long list, such as that of a format or a lint rule.

    The list is loaded only when the user gives a value, so that help is fast.

    Args:
        kind: the noun for such a name, for errors.
        known: returns the names.
        listing: the command that lists all names, for an error without a similar name.
    """

    name = "name"

    def __init__(self, kind: str, known: Callable[[], Collection[str]], listing: str) -> None:
        self._kind = kind
        self._known = known
        self._listing = listing

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name unchanged if it is known; else fail with a similar known name."""
        known = self._known()
        if value not in known:
            self.fail(unknown(self._kind, value, list(known), self._listing), param, ctx)
        return value


def function_name(command: str) -> str:
    """Return the Python name of a command's function: ``add_key`` for ``add-key``.

    A keyword gets an underscore: ``import_``.
    """
    name = command.replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def unknown(kind: str, name: str, known: Collection[str], listing: str = "") -> str:
    """Return the error message for an unknown name, with a similar known name as a hint.

    Args:
        kind: the noun for such a name.
        name: the unknown name.
        known: all names. If it maps them to their help, a word of that help is a hint too:
            ``list`` means the command that says "List the attacks".
        listing: a command that lists the names, if there are too many for the message.
    """
    from difflib import get_close_matches

    problem = f"there is no {kind} {name[:_MAX_SHOWN]!r}."
    near = get_close_matches(name[:_MAX_SHOWN], known, n=1) or _by_help(name, known)
    if near:
        return f"{problem} Did you mean {near[0]!r}?"
    return f"{problem} {listing or 'There are:'} {'lists them' if listing else ', '.join(known)}."


def _by_help(name: str, known: Collection[str]) -> list[str]:
    """Return the first command with the word in its help, as a list; empty if none has it."""
    if not isinstance(known, dict):
        return []
    word = name.casefold()
    found = [known_name for known_name, text in known.items() if word in _words(text)]
    return found[:1]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
