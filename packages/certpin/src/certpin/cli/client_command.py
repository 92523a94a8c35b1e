"""Check the client's command of ``certpin prove`` before the run: its program and placeholders."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from shutil import which

import click

from certpin.cli.main import unknown

# A command that contains one of these connects to the lab without a proxy.
_DIRECT = ("{address}", "{port}", "{endpoint}")
# An argument that is no code: an option, a path, a URL.
_PLAIN_WORD = re.compile(r"[\w./:;,=@+{}-]*", re.ASCII)
_BRACED = re.compile(r"(?<!\{)\{([A-Za-z][\w:-]{0,80})\}(?!\})", re.ASCII)


def default_route(command: tuple[str, ...]) -> str:
    """Return how the client reaches the lab if the user did not give ``--via``.

    The result is ``port`` (directly) if the command contains a placeholder for the lab's address or
    port, else ``connect`` (through the lab's proxy).
    """
    named = any(name in word for word in command for name in _DIRECT)
    return "port" if named else "connect"


def check_placeholders(command: tuple[str, ...]) -> None:
    """Check that every placeholder in the command is known.

    The braces of a command may also be its own: a word with white space, quotes or other marks is
    taken for code, and only a name that resembles a placeholder is refused.

    Raises:
        click.UsageError: a format of ``{export:FORMAT}`` is unknown, or a name in braces resembles
            a placeholder.
    """
    from certpin.formats import FORMATS
    from certpin.lab.client import SUBSTITUTIONS, exports_in

    for name in exports_in(command):
        if name not in FORMATS:
            problem = unknown("format", name, list(FORMATS), "`certpin export --list`")
            raise click.UsageError(f"{{export:{name[:80]}}}: {problem}")
    known = [*SUBSTITUTIONS, *(f"export:{name}" for name in FORMATS)]
    for word in filter(_PLAIN_WORD.fullmatch, command):
        for name in _BRACED.findall(word):
            if name not in known and (near := _near(name, known)):
                raise click.UsageError(
                    f"{{{name}}} is not a placeholder. Did you mean {{{near}}}?\n  fix: correct "
                    f"it; if the braces are the client's, write spaces into them: {{ {name} }}"
                )


def _near(name: str, known: list[str]) -> str:
    """Return the placeholder that the user may have meant; an empty string if none is similar."""
    from difflib import get_close_matches

    name = name.lower()
    begun = [each for each in known if name.startswith(each)]  # {cafile}, {hostname}
    near = get_close_matches(name, known, n=1, cutoff=0.8) or sorted(begun, key=len)[-1:]
    return next(iter(near or get_close_matches(name, known, n=1)), "")


def check_program(name: str) -> None:
    """Check that the program of the client can be started.

    Raises:
        ConfigError: the program does not exist, or is not executable.
    """
    from certpin.errors import ConfigError
    from certpin.support.text import printable

    if "{" in name or which(name):  # a placeholder has its value during the run
        return
    if "/" not in name or not Path(name).is_file():
        place = "" if "/" in name else " in PATH"
        raise ConfigError(
            f"there is no program {printable(name)}{place}",
            key="COMMAND",
            fix="check its name, or give its path, as in ./client",
        )
    script = f"chmod +x {shlex.quote(name)}, or name its interpreter before it: python {name}"
    raise ConfigError(f"{printable(name)} is not executable", key="COMMAND", fix=printable(script))
