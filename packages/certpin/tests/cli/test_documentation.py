"""docs/commands.md has exactly the existing commands, options and fields."""

from __future__ import annotations

import click
import pytest

from certpin.cli.main import COMMANDS, cli
from tests.cli import _documented


def _command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


def _parameters(command: click.Command) -> list[click.Option]:
    """Return the options of a command, or of all commands of a group.

    Hidden options are left out: they only name their replacements.
    """
    options = [param for param in command.params if isinstance(param, click.Option)]
    found = [option for option in options if not option.hidden]
    if isinstance(command, click.Group):
        context = click.Context(command)
        parts = [command.get_command(context, name) for name in command.list_commands(context)]
        found += [parameter for part in parts if part for parameter in _parameters(part)]
    return found


def _options(name: str) -> set[str]:
    parameters = _parameters(_command(name))
    return {
        word for parameter in parameters for word in (*parameter.opts, *parameter.secondary_opts)
    }


def test_every_command_has_its_section_in_the_order_of_the_help() -> None:
    assert list(_documented.sections()) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_a_command_are_those_of_its_section(name: str) -> None:
    assert _documented.options(_documented.sections()[name]) == _options(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    options = _parameters(_command(name))
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_short_help_is_that_of_the_command(name: str) -> None:
    assert (_command(name).help or "").splitlines()[0] == COMMANDS[name]


def test_every_documented_type_is_checked() -> None:
    for fields in _documented.tables().values():
        for kind in fields.values():
            assert not _documented.is_a(kind, object())


@pytest.mark.parametrize(
    "value",
    [
        {"pin": "sha256/", "role": "leaf", "more": 1},
        {"pin": "sha256/"},
        {"pin": 1, "role": "leaf"},
        {"pin": None, "role": "leaf"},
        [],
    ],
)
def test_json_that_differs_from_the_documentation_fails(value: object) -> None:
    with pytest.raises(AssertionError):
        _documented.check("added pin", value)
