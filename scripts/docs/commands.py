"""The reference page of each command, made from its click declaration.

A page has usage, description, options, examples and exit codes. Longer explanations are
hand-written: ``docs/reference/commands/NAME.notes.md``, where NAME is the words of the command
after ``certpin``, joined by hyphens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.main import cli
from scripts.docs.markdown import block, code, page, prose, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]
NOTES = ROOT / "docs/reference/commands"
_JSON = ROOT / "docs/reference/json.md"
# click's marks in a help text: the lines of this paragraph are not wrapped.
_AS_IS = "\b"
_EXIT_CODES = re.compile(r"^Exit codes?:? (?=\d)")
_EXIT_CODE = re.compile(r"(?:^|(?<=[.;] ))(\d+): ")

_INTRODUCTION = """\
`certpin COMMAND --help`, or `certpin help COMMAND`, prints the same in a terminal. `certpin
--version`, or `-V`, prints the version. `python -m certpin` is the same as `certpin`. If a
command needs packages that are not installed, it prints the extra to install: `pip install
'certpin[watch]'`.

All commands have the same [exit codes](../exit-codes.md) and read the same [environment
variables](../environment.md). With `--json`, a command prints [JSON](../json.md) only."""

_OUTPUT = """\
## Output

Output goes to standard output; errors and warnings go to standard error. On a terminal, long
lines are folded to its width (or to `COLUMNS`), and some words have colours (`NO_COLOR` turns
them off). In a file or a pipe, lines are not folded and there is no colour. In texts from servers
and certificates, control characters are escaped; the only exception is the response body that
`certpin get` prints.

## One host: --host

`--host HOST` means the same in every command: only this host. The others are not changed.

- A command that reads the pin file accepts a `HOST` as the file has it (`api.bank.example`,
  `'*.bank.example'`), or a host that one of its wildcards covers. `HOST:PORT` is the server of
  that host at that port: the one in the pin file, or else the host's own name at that port. A
  command that does not connect ignores the port.
- `publish sign` and `rotate shipped` are for the whole file. They are refused if `--host` leaves
  out a host. A step of `rotate` is also refused if a port leaves out a server that the pin file
  lists for the host.
- A command without a pin file uses the name as given: `import` and `rotate csr` make pins and a
  certificate request for this host (`*.bank.example` too), `prove` and `lab serve` test a client
  of this host, and `watch silence` silences alerts of this host."""


@dataclass(frozen=True)
class Documented:
    """A command or a group of commands that gets a reference page.

    ``words`` are its words on the command line, without ``certpin``; ``context`` is the click
    context of ``command``.
    """

    words: tuple[str, ...]
    command: click.Command
    context: click.Context

    @property
    def name(self) -> str:
        """The name of the command's page: its words without ``certpin``, joined by hyphens."""
        return "-".join(self.words)

    @property
    def title(self) -> str:
        """The command with all its words, such as ``certpin rotate switch``."""
        return " ".join(("certpin", *self.words))

    @property
    def parts(self) -> list[Documented]:
        """The commands of a group, in the order of its help; an empty list if this is no group."""
        return [
            Documented(
                (*self.words, name), part, click.Context(part, info_name=name, parent=self.context)
            )
            for name, part in parts_of(self.context)
        ]


def parts_of(context: click.Context) -> list[tuple[str, click.Command]]:
    """Return name and command of each member that a group's help lists.

    The list is empty if the command of ``context`` is no group.
    """
    group = context.command
    if not isinstance(group, click.Group):
        return []
    named = [(name, group.get_command(context, name)) for name in group.list_commands(context)]
    return [(name, part) for name, part in named if part is not None and not part.hidden]


def root() -> Documented:
    """Return the group of all commands, ``certpin`` itself."""
    return Documented((), cli, click.Context(cli, info_name="certpin", **cli.context_settings))


def every_command(of: Documented | None = None) -> Iterator[Documented]:
    """Yield each command and each group below a group; a group comes before its commands.

    Args:
        of: the group in which to begin; by default ``certpin`` itself.
    """
    for part in (of or root()).parts:
        yield part
        yield from every_command(part)


def command_pages() -> dict[str, str]:
    """Return the text of each page of ``reference/commands``, by its path below ``docs``."""
    found = {f"reference/commands/{each.name}.md": _page(each) for each in every_command()}
    return {"reference/commands/index.md": _index()} | found


def notes_without_command(root: Path) -> list[str]:
    """Return the names of the ``*.notes.md`` files of a repository that belong to no command."""
    names = {f"{each.name}.notes.md" for each in every_command()}
    folder = root / NOTES.relative_to(ROOT)
    return sorted(path.name for path in folder.glob("*.md") if path.name not in names)


def parameters(documented: Documented) -> list[click.Option]:
    """Return the options of a command that its help lists.

    Hidden options are omitted: they only name their replacements.
    """
    return [
        each
        for each in documented.command.params
        if isinstance(each, click.Option) and not each.hidden
    ]


def option_words(option: click.Option) -> list[str]:
    """Return every spelling of an option, such as ``-f``, ``--file`` and ``--no-file``."""
    return [*option.opts, *option.secondary_opts]


def _index() -> str:
    rows = map(_row, every_command())
    return page("Commands", table(("command", "purpose"), rows), _INTRODUCTION, _OUTPUT)


def _row(documented: Documented) -> tuple[str, str]:
    summary = _paragraphs(documented.command)[0]
    return f"[{code(documented.title)}]({documented.name}.md)", prose(summary)


def _page(documented: Documented) -> str:
    summary, *paragraphs = _paragraphs(documented.command)
    examples = [each for each in paragraphs if _is_example(each)]
    codes = [each for each in paragraphs if _EXIT_CODES.match(each)]
    described = [_described(each) for each in paragraphs if each not in {*examples, *codes}]
    usage = " ".join(
        (documented.title, *documented.command.collect_usage_pieces(documented.context))
    )
    return page(
        documented.title,
        _parent(documented),
        prose(summary),
        block(usage, "text"),
        *described,
        _commands(documented.parts),
        _examples(examples),
        _arguments(documented),
        _notes(documented),
        _options(documented),
        _exit_codes(codes),
        _json(documented),
    )


def _paragraphs(command: click.Command) -> list[str]:
    """Return the paragraphs of a command's help text; its name if there is no text.

    The lines of a paragraph are joined, unless it begins with click's mark for "do not wrap".
    """
    text = cleandoc((command.help or "").partition("\f")[0])
    found = []
    for part in re.split(r"\n\s*\n", text):
        as_is = part.startswith(_AS_IS)
        found.append(part if as_is else " ".join(part.split()))
    return [each for each in found if each.strip(_AS_IS + "\n ")] or [command.name or ""]


def _is_example(paragraph: str) -> bool:
    return paragraph.startswith(_AS_IS) and _as_is(paragraph).startswith("certpin ")


def _described(paragraph: str) -> str:
    return block(_as_is(paragraph), "text") if paragraph.startswith(_AS_IS) else prose(paragraph)


def _as_is(paragraph: str) -> str:
    return cleandoc(paragraph.removeprefix(_AS_IS))


def _parent(documented: Documented) -> str:
    *above, _ = documented.words
    if not above:
        return ""
    return f"A command of [{code(' '.join(('certpin', *above)))}]({'-'.join(above)}.md)."


def _commands(parts: Sequence[Documented]) -> str:
    return f"## Commands\n\n{table(('command', 'purpose'), map(_row, parts))}" if parts else ""


def _examples(texts: Sequence[str]) -> str:
    if not texts:
        return ""
    blocks = [block(_as_is(text), "text") for text in texts]
    return "\n\n".join(["## Examples", *blocks])


def _arguments(documented: Documented) -> str:
    rows = [
        (code(each.make_metavar(documented.context).strip("[]")), prose(text))
        for each in documented.command.params
        if isinstance(each, click.Argument) and (text := getattr(each, "help", None))
    ]
    return f"## Arguments\n\n{table(('argument', 'meaning'), rows)}" if rows else ""


def _options(documented: Documented) -> str:
    rows = [_option(each, documented.context) for each in parameters(documented)]
    return f"## Options\n\n{table(('option', 'meaning'), rows)}" if rows else ""


def _option(option: click.Option, context: click.Context) -> tuple[str, str]:
    words = ", ".join(map(code, option_words(option)))
    if not (option.is_flag or option.count):
        words += f" {code(option.make_metavar(context))}"
    extra = option.get_help_extra(context)
    facts = []
    if default := extra.get("default"):
        facts.append(f"Default: {code(default)}.")
    if allowed := extra.get("range"):
        facts.append(f"Range: {code(allowed)}.")
    if names := extra.get("envvars"):
        facts.append(f"Environment: {', '.join(map(code, names))}.")
    if "required" in extra:
        facts.append("Required.")
    return words, " ".join([prose(" ".join((option.help or "").split())), *facts])


def _exit_codes(paragraphs: Sequence[str]) -> str:
    if not paragraphs:
        return ""
    rows = []
    for paragraph in paragraphs:
        _, *found = _EXIT_CODE.split(_EXIT_CODES.sub("", paragraph))
        rows += [
            (number, prose(text.strip(" ;.")))
            for number, text in zip(found[::2], found[1::2], strict=True)
        ]
    shown = table(("exit code", "meaning"), rows)
    others = "All commands also use the [other exit codes](../exit-codes.md)."
    return f"## Exit codes\n\n{shown}\n\n{others}"


def _json(documented: Documented) -> str:
    fields = json_objects().get(documented.title)
    if fields is None:
        return ""
    shown = fields.replace("](#", "](../json.md#").replace("](reports", "](../reports")
    return f"## JSON\n\nWith `--json`, the data of the [object](../json.md) is: {shown}."


def json_objects() -> dict[str, str]:
    """Return a description of each command's ``--json`` data, by command.

    The descriptions come from the first table of docs/reference/json.md.
    """
    text = _JSON.read_text(encoding="utf-8").partition("## Commands")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`certpin [^|]*) \| (.*) \|$", text, re.MULTILINE)
    return {name: shown for names, shown in rows for name in re.findall(r"`([^`]+)`", names)}


def _notes(documented: Documented) -> str:
    path = NOTES / f"{documented.name}.notes.md"
    return path.read_text(encoding="utf-8") if path.exists() else ""
