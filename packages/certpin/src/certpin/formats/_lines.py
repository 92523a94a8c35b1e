"""Read and write the configuration files of curl and wget.

The files consist of lines ``name = value``, and of comments after ``#``. The settings don't name a
host, so certpin writes the host pattern into a comment: ``# for PATTERN``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.errors import FormatError
from certpin.formats.format import File
from certpin.formats.header import commented, read_header
from certpin.formats.parsed import Found, ParsedFile, pem, pins_from, read_anchors

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.formats.parsed import Source
    from certpin.pins import HostPolicy, PinSet

# A checkout on Windows may have changed the line ends.
_HOST = re.compile(
    r"^# certpin pin set .*\n# Made by: certpin export .*\n# for (\S{1,260})[ \t\r]*+$",
    re.MULTILINE,
)
_BUNDLE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_PINS = re.compile(r"(?:sha256//[0-9A-Za-z+/]{43}=;?)++")


def lines(pins: PinSet, name: str, settings: dict[str, str], quote: str = '"') -> str:
    """Return the text of a configuration file for curl or wget.

    It has certpin's header, the host pattern as a comment, and ``key = "value"`` for each setting.

    Args:
        pins: the pin set, which must have exactly one policy.
        name: the name of the format.
        settings: the values of the settings, by name.
        quote: the quotation mark around each value; may be empty.
    """
    [policy] = pins.policies
    head = f"{commented(pins, name, '#')}# for {policy.pattern}\n"
    return head + setting_lines(settings, quote)


def setting_lines(settings: dict[str, str], quote: str = '"') -> str:
    """Return the line ``key = "value"`` for each setting, with ``quote`` around the value."""
    return "".join(f"{key} = {quote}{value}{quote}\n" for key, value in settings.items())


def bundle(policy: HostPolicy, name: str) -> tuple[File, ...]:
    """Return a policy's trust anchors as a PEM file named ``name``, in a tuple.

    The tuple is empty if the policy has no anchors.
    """
    return (File(name, pem(policy.trust)),) if policy.trust else ()


def settings(text: str) -> list[set[str]]:
    """Return the setting lines of a configuration file for curl or wget, as a list with one set.

    ``certpin lint --exported`` compares them with those of a new export. The list has one set
    because all lines are for one connection; other formats have a set for each connection. Comments
    are left out. The pins are shortened to ``…``, because their order can differ. ``text`` is the
    content of the file.
    """
    found = {_PINS.sub("…", " ".join(line.split())) for line in text.split("\n")}
    return [{line for line in found if line[:1] not in {"", "#"}}]


def spelled(policy: HostPolicy) -> str:
    """Return a policy's pins in curl's notation: ``sha256//…;sha256//…``."""
    return ";".join(str(entry.pin).replace("sha256/", "sha256//", 1) for entry in policy.pins)


def pattern_of(text: str) -> str:
    """Return the host pattern from the comment below certpin's header; empty if there is none.

    In another place, ``# for production`` is a comment of the file's author. ``text`` is the
    content of the configuration file.
    """
    host = _HOST.search(text)
    return host[1] if host else ""


def read_lines(
    source: Source, pinned: str, anchors: str, setting: Callable[[str, str], str | None]
) -> ParsedFile:
    """Parse the pins and the trust anchors in a configuration file of curl or wget.

    Args:
        source: the file.
        pinned: the name of the setting that contains the pins.
        anchors: the name of the setting that contains the path of the trust anchors.
        setting: a function that returns the value that the program uses, from the text of the file
            and the name of a setting.

    Raises:
        FormatError: a value is invalid, or the file of the anchors can't be read.
    """
    name, version = read_header(source.text)
    pins = [part.strip() for part in (setting(source.text, pinned) or "").split(";")]
    file = setting(source.text, anchors)
    found = Found(
        pattern_of(source.text),
        pins_from([part for part in pins if part]),
        match="leaf",
        trust=read_anchors(source.beside(beside(file)), file) if file else None,
    )
    return ParsedFile((found,) if found.pins else (), name, version)


def last_value(text: str, name: str) -> str | None:
    """Return the last value of the setting ``name`` in a file; None if the file lacks the setting.

    If a setting is repeated, curl and wget use the last value too. ``text`` is the content of the
    file, and ``name`` a regular expression for the name (see ``values``).
    """
    return next(reversed(values(text, name)), None)


def values(text: str, name: str) -> list[str]:
    """Return each value of the setting ``name`` in a file, in the order of the lines.

    ``text`` is the content of the file. ``name`` is a regular expression, and its case is ignored.
    The name is the first word of its line, perhaps after ``--``, and is followed by ``=``, ``:`` or
    a space. The value ends with the line, and is returned with its quotes.
    """
    between = r"[ \t]*+(?:[=:]|(?<=[ \t]))[ \t]*+"
    pattern = rf"^[ \t]*+(?:--)?{name}{between}([^\r\n]*+)"
    return [each.strip() for each in re.findall(pattern, text, re.MULTILINE | re.IGNORECASE)]


def beside(name: str) -> str:
    """Return ``name``, the value of a setting, if it is a file name without a folder.

    The file is then read from the folder of the imported file. Raises ``FormatError`` for a path
    with folders, because it could lead to any other folder.
    """
    if _BUNDLE.fullmatch(name):
        return name
    raise FormatError(
        f"{name[:80]!r} is not a plain file name: only files beside the imported one are read",
        fix="copy the file beside a copy of this one, and write only its name: anchors.pem",
    )
