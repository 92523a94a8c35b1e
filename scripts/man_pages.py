"""Write the man pages of all commands, from their help texts: ``make man``.

The pages are committed files, so that a wheel can be built without click, and is the same with
every version of click. packages/certpin/tests/test_man_pages.py compares them with the commands.
They have no date, because it would change with each run.

The pages are roff with the macros of man(7). Each character of a help text that roff or a terminal
would change (``-``, quotes, a dot at the beginning of a line) is escaped, so that examples can be
copied from the page.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path

import click

from certpin import __version__
from certpin.cli.conventions import EXIT_CODES, OWN, STANDARD
from certpin.cli.main import COMMAND_GROUPS, EXTENSIONS
from scripts.docs.commands import every_command, parts_of, root

ROOT = Path(__file__).parent.parent
_WIDTH = 78  # of the lines of a page

# groff_char(7): what roff would show as another character, as a backslash sequence.
_ESCAPES = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
_CODE = re.compile(r"`([^`]+)`")
_EXIT = "Exit code"


def main() -> None:
    """Write the man pages of both packages, and remove those of commands that no longer exist."""
    for package, pages in all_pages().items():
        folder = ROOT / "packages" / package / "man"
        folder.mkdir(exist_ok=True)
        for file in folder.iterdir():
            if file.name not in pages:
                file.unlink()
        for name, text in pages.items():
            (folder / name).write_text(text, encoding="ascii")


def all_pages() -> dict[str, dict[str, str]]:
    """Return the text of every man page, by package and then by file name."""
    found: dict[str, dict[str, str]] = {"certpin": {}, "certpin-watch": {}}
    for each in (root(), *every_command()):
        package = "certpin-watch" if each.words[:1] and each.words[0] in EXTENSIONS else "certpin"
        found[package][f"{each.title.replace(' ', '-')}.1"] = page(each.context)
    return found


def page(context: click.Context) -> str:
    """Return the man page of one command, in roff."""
    command, words = context.command, context.command_path.split()
    name = "-".join(words)
    first, paragraphs, exits = _split(inspect.cleandoc(command.help or ""))
    lines = [
        f'.TH "{_escape(name.upper())}" 1 "" "certpin {__version__}" "certpin manual"',
        ".nh",  # a word such as {pinnedpubkey} is not divided
        ".ad l",
        ".SH NAME",
        f"{_escape(name)} \\- {_escape(first.rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_escape(context.command_path)}",
        *_filled(" ".join(command.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
        *_filled(first),
        *(line for text in paragraphs for line in (".PP", *_paragraph(text))),
        *_commands(context),
        *_options(context),
        ".SH EXIT STATUS",
        *_exit_status(exits),
        *_environment(context),
        ".SH SEE ALSO",
        *_see_also(context),
    ]
    return "\n".join(lines) + "\n"


def _split(text: str) -> tuple[str, list[str], list[str]]:
    """Return three parts of a help text: its first line, other paragraphs, and exit codes.

    The third part is the paragraphs that begin with "Exit code".
    """
    first, *rest = text.split("\n\n")
    head, _, more = first.partition("\n")
    paragraphs = [part for part in (more, *rest) if part.strip()]
    exits = [part for part in paragraphs if part.startswith(_EXIT)]
    return head, [part for part in paragraphs if part not in exits], exits


def _paragraph(text: str) -> list[str]:
    """Return the roff lines of a paragraph.

    A paragraph that begins with click's mark for "do not wrap" keeps its lines.
    """
    if not text.startswith("\b"):
        return _filled(text)
    lines = textwrap.dedent(text.removeprefix("\b").lstrip("\n")).rstrip().splitlines()
    return [".RS 4", ".EX", *(_protected(_escape(line)) for line in lines), ".EE", ".RE"]


def _commands(context: click.Context) -> list[str]:
    parts = dict(parts_of(context))
    if not parts:
        return []
    path = "-".join(context.command_path.split())
    groups = COMMAND_GROUPS.items() if context.parent is None else [("", dict.fromkeys(parts))]
    lines = [".SH COMMANDS"]
    for title, names in groups:
        lines += [f".SS {_escape(title)}"] if title else []
        for name in names:
            summary = (parts[name].help or "").lstrip().partition("\n")[0]
            lines += [".TP", f".BR {_escape(f'{path}-{name}')} (1)", *_filled(summary)]
    return lines


def _options(context: click.Context) -> list[str]:
    lines = [".SH OPTIONS"]
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        # click 8.5 has records of arguments too, which are in the synopsis.
        if record is not None and isinstance(parameter, click.Option):
            names, text = record
            lines += [".TP", f".B {_escape(names)}", *_filled(text)]
    return lines


def _exit_status(paragraphs: list[str]) -> list[str]:
    if paragraphs:
        own = [line for text in paragraphs for line in _filled(text)]
        return [*own, ".PP", "The other exit codes are in", ".BR certpin (1)."]
    lines = []
    for each in EXIT_CODES:
        text = f"{each.name[0].upper()}{each.name[1:]}: {each.meaning}."
        lines += [".TP", f".B {each.number}", *_filled(text)]
    return lines


def _environment(context: click.Context) -> list[str]:
    """Return the roff lines on the environment variables that set a command's options.

    For ``certpin`` itself, they describe all variables that certpin reads.
    """
    lines: list[str] = []
    for variable in (*OWN, *STANDARD) if context.parent is None else ():
        text = f"{variable.meaning[0].upper()}{variable.meaning[1:]}. Read by {variable.readers}."
        lines += [".TP", f".B {_escape(', '.join(variable.names))}", *_filled(text)]
    for option in context.command.get_params(context):
        if isinstance(option, click.Option) and isinstance(option.envvar, str):
            text = f"Used if {option.opts[-1]} is not given."
            lines += [".TP", f".B {_escape(option.envvar)}", *_filled(text)]
    return [".SH ENVIRONMENT", *lines] if lines else []


def _see_also(context: click.Context) -> list[str]:
    """Return roff lines that refer to the pages of the command's group and its other commands."""
    if context.parent is None:
        return _references(["certpin-demo", "certpin-doctor", "certpin-pin"])
    group = "-".join(context.parent.command_path.split())
    others = [] if context.parent.parent is None else parts_of(context.parent)
    own = "-".join(context.command_path.split())
    names = [group, *(f"{group}-{name}" for name, _ in others)]
    return _references([name for name in names if name != own])


def _references(names: list[str]) -> list[str]:
    ends = [*[","] * (len(names) - 1), ""]
    return [f".BR {_escape(name)} (1){end}" for name, end in zip(names, ends, strict=True)]


def _filled(text: str) -> list[str]:
    """Return a text as wrapped lines of roff, with text in backquotes in bold."""
    words = " ".join(text.split())
    # A no-break space inside code, so that a line ends only between words of the text.
    joined = _CODE.sub(lambda code: code[0].replace(" ", "\xa0"), words)
    lines = textwrap.wrap(joined, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return [_protected(_with_code(line)) for line in lines]


def _with_code(line: str) -> str:
    parts = _CODE.split(line)
    escaped = [_escape(part.replace("\xa0", " ")) for part in parts]
    return "".join(f"\\fB{text}\\fR" if index % 2 else text for index, text in enumerate(escaped))


def _escape(text: str) -> str:
    return "".join(_character(character) for character in text)


def _character(character: str) -> str:
    if character.isascii():
        return _ESCAPES.get(character, character)
    return f"\\[u{ord(character):04X}]"


def _protected(line: str) -> str:
    """Return a line so that roff prints it, even if it begins with a dot or an apostrophe."""
    return f"\\&{line}" if line.startswith((".", "'")) else line


if __name__ == "__main__":
    main()
