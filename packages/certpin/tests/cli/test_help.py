"""The help of each command is its reference page: a sentence, and examples that parse."""

from __future__ import annotations

import inspect
import re
import shlex
from typing import TYPE_CHECKING

import click
import pytest

from certpin.cli.main import cli
from certpin.cli.options import NameType
from tests.cli._registry import COMMANDS, GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

_ALL = {**GROUPS, **COMMANDS}
_PROGRAMS = ("certpin ", "git show ", "cat ", "exec certpin ", "python -m gevent")


def _help(path: tuple[str, ...]) -> str:
    return inspect.cleandoc(_ALL[path].help or "")


def _examples(path: tuple[str, ...]) -> Iterator[list[str]]:
    """Yield the arguments of each certpin command in the example blocks of a command's help."""
    for block in _help(path).split("\n\n"):
        if block.startswith("\b"):
            text = re.sub(r"\s*\\\n\s*", " ", block.removeprefix("\b\n"))
            for line in text.splitlines():
                command = line.partition("certpin ")
                if command[1] and line.strip().startswith(_PROGRAMS):
                    yield _words(command[2])


def _words(line: str) -> list[str]:
    """Return the words of a command line, up to a pipe, a redirection, or a remark.

    A remark follows several spaces.
    """
    words = shlex.split(line.partition("   ")[0])
    ends = [words.index(end) for end in ("|", ">") if end in words]
    return words[: min(ends, default=len(words))]


def _parse(words: list[str]) -> tuple[str, ...]:
    """Parse the arguments of certpin, and return the command's path, as in ``("rotate", "plan")``.

    Fail unless the arguments are valid. Only values that are names are converted.
    """
    context, path = (
        click.Context(cli, info_name="certpin", **cli.context_settings),
        tuple[str, ...](),
    )
    command: click.Command = cli
    while isinstance(command, click.Group):
        name, *words = words
        part = command.get_command(context, name)
        assert part is not None, name
        context = click.Context(part, parent=context, info_name=name)
        command, path = part, (*path, name)
    values, rest, _ = command.make_parser(context).parse_args(words)
    assert rest == []
    # A flag such as --list ends the command before its arguments are needed.
    ends = any(values.get(str(each.name)) is True for each in command.params if each.is_eager)
    for each in command.params:
        value = values.get(str(each.name))
        found = value if isinstance(value, list | tuple) else [value]
        texts = [one for one in found if isinstance(one, str)]  # click has an object for no value
        assert texts or ends or not each.required, each.name
        if isinstance(each.type, click.Choice | NameType):
            assert all(each.type.convert(one, each, context) for one in texts)
    return path


@pytest.mark.parametrize("path", _ALL, ids=" ".join)
def test_the_help_of_a_command_has_an_example_of_it(path: tuple[str, ...]) -> None:
    has_example = any(tuple(words[: len(path)]) == path for words in _examples(path))
    assert has_example, r"fix: an example in its help, in a block that begins with \b"


@pytest.mark.parametrize("path", _ALL, ids=" ".join)
def test_the_examples_of_a_command_parse(path: tuple[str, ...]) -> None:
    for words in _examples(path):
        assert _parse(words)


def test_an_example_with_a_wrong_option_is_found() -> None:
    with pytest.raises(click.UsageError):
        _parse(["check", "--dayz", "3"])
    with pytest.raises(click.BadParameter):
        _parse(["export", "androit"])
    with pytest.raises(AssertionError):
        _parse(["rotate", "plan"])


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_begins_with_a_sentence_and_has_more(path: tuple[str, ...]) -> None:
    first, _, more = _help(path).partition("\n")
    assert first[0].isupper()
    assert first.endswith((".", "?"))
    assert more.strip()


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_no_option_has_the_name_of_a_type_as_its_value(path: tuple[str, ...]) -> None:
    context = click.Context(COMMANDS[path])
    options = [each for each in COMMANDS[path].params if isinstance(each, click.Option)]
    records = [each.get_help_record(context) for each in options]
    assert [record[0] for record in records if record and "RANGE" in record[0]] == []
