"""Export source code: a template from this folder, with the table of policies inserted.

A template is a valid source file, so that editors can highlight it. A line ``//= NAME`` marks the
place for the generated text called NAME, such as ``policies``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from certpin.formats.format import File
from certpin.formats.header import commented
from certpin.formats.parsed import LISTS, row

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.pins import HostPolicy, PinSet

_PLACE = re.compile(r"^[ \t]*//= (\w+)\n", re.MULTILINE)


@dataclass(frozen=True)
class TableSyntax:
    """How a language writes the table of policies in exported source code.

    Attributes:
        row: the text before and after the fields of a policy.
        field: a function that returns the text before the value of a field, such as ``pins: ``,
            from the field's name.
        list: the text before and after a list of strings.
        long: the text before and after a string of several lines.
        indent: the whitespace of one level of indentation.
    """

    row: tuple[str, str]
    field: Callable[[str], str]
    list: tuple[str, str]
    long: tuple[str, str]
    indent: str


def program(pins: PinSet, name: str, file: str, template: str, language: TableSyntax) -> File:
    """Return the exported source file: a template with the header and the policies inserted.

    Args:
        pins: the pin set.
        name: the name of the format, for the header.
        file: the path of the exported file.
        template: the path of the template in this package.
        language: the syntax of the table of policies.
    """
    parts = {
        "header": commented(pins, name, "//"),
        "policies": "".join(_row(policy, language) for policy in pins.policies),
    }
    text = files("certpin.formats").joinpath(template).read_text(encoding="utf-8")
    return File(file, fill(text, parts))


def fill(template: str, parts: dict[str, str]) -> str:
    """Return a template with each line ``//= NAME`` replaced by the text ``parts[NAME]``.

    ``parts`` has the generated texts by their names. Such lines within these texts are not
    replaced.
    """
    return _PLACE.sub(lambda match: parts[match[1]], template)


def _row(policy: HostPolicy, language: TableSyntax) -> str:
    opening, closing = language.row
    fields = "".join(
        f"{language.indent * 2}{language.field(name)}{_value(name, values, language)},\n"
        for name, values in row(policy).items()
    )
    return f"{language.indent}{opening}\n{fields}{language.indent}{closing},\n"


def _value(name: str, values: list[str], language: TableSyntax) -> str:
    if name in LISTS:
        opening, closing = language.list
        lines = "".join(f"{language.indent * 3}{_quoted(each)},\n" for each in values)
        return f"{opening}\n{lines}{language.indent * 2}{closing}"
    if "\n" in values[0]:
        opening, closing = language.long
        return f"{opening}{values[0]}{closing}"
    return _quoted(values[0])


def _quoted(text: str) -> str:
    """Return a text in double quotes. Not escaped: exported values need no escapes."""
    return f'"{text}"'
