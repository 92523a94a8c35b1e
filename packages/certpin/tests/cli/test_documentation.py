"""Each command's short help is as listed, and its JSON is as docs/reference/json.md describes it.

``tests.documentation.test_site`` checks the options and their pages.
"""

from __future__ import annotations

import re

import click
import pytest

from certpin.cli.main import COMMANDS, cli
from scripts.docs import commands
from tests.cli import _documented


def _command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli, **cli.context_settings), name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_the_short_help_is_that_of_the_command(name: str) -> None:
    assert (_command(name).help or "").splitlines()[0] == COMMANDS[name]


def test_every_object_of_the_table_of_commands_is_documented() -> None:
    objects = commands.json_objects()
    assert {each.title for each in commands.every_command()} >= objects.keys()
    linked = set(re.findall(r"\]\((?:reports\.md)?#json-([\w-]+)\)", "".join(objects.values())))
    assert linked <= {name.replace(" ", "-") for name in _documented.tables()}
    assert len(linked) > 30


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
