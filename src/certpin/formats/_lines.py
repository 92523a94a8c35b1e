"""Configuration files of lines, ``name = value``, with comments behind a ``#``: curl's and wget's.

Neither says for which host it is: the pattern stands in a comment.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.errors import FormatError
from certpin.formats.format import File, Found, Reading
from certpin.formats.header import commented, read_header
from certpin.formats.table import pem, pins_from, read_anchors

if TYPE_CHECKING:
    from certpin.formats.format import Source
    from certpin.pins import HostPolicy, PinSet

_HOST = re.compile(r"^# for (\S{1,260})$", re.MULTILINE)
_BUNDLE = re.compile(r"[A-Za-z0-9._-]{1,100}")


def lines(pins: PinSet, name: str, settings: dict[str, str], quote: str = '"') -> str:
    """The text of the file: header, host, one line a setting, its value between these quotes."""
    [policy] = pins.policies
    words = "".join(f"{key} = {quote}{value}{quote}\n" for key, value in settings.items())
    return f"{commented(pins, name, '#')}# for {policy.pattern}\n{words}"


def bundle(policy: HostPolicy, name: str) -> tuple[File, ...]:
    """The file of the trust anchors, where the policy has some."""
    return (File(name, pem(policy.trust)),) if policy.trust else ()


def spelled(policy: HostPolicy) -> str:
    """The pins as curl writes them: ``sha256//…;sha256//…``."""
    return ";".join(str(entry.pin).replace("sha256/", "sha256//", 1) for entry in policy.pins)


def pattern_of(text: str) -> str:
    """The pattern that the comment of certpin's names; empty where there is none."""
    host = _HOST.search(text)
    return host[1] if host else ""


def read_lines(source: Source, pinned: str, anchors: str) -> Reading:
    """Read the setting of the pins, and that of the trust anchors. Raises ``FormatError``."""
    name, version = read_header(source.text)
    pins = [part.strip() for part in (_setting(source.text, pinned) or "").split(";")]
    file = _setting(source.text, anchors)
    found = Found(
        pattern_of(source.text),
        pins_from([part for part in pins if part]),
        match="leaf",
        trust=read_anchors(source.beside(beside(file)), file) if file else None,
    )
    return Reading((found,) if found.pins else (), name, version)


def _setting(text: str, name: str) -> str | None:
    """The value of a setting, behind an equals sign, a colon or a space. The last one counts."""
    between = r"[ \t]*+(?:[=:]|(?<=[ \t]))[ \t]*+"
    pattern = rf"^[ \t]*+(?:--)?{name}{between}([\"']?)([^\"'\r\n]*+)\1[ \t\r]*+$"
    found = re.findall(pattern, text, re.MULTILINE | re.IGNORECASE)
    return found[-1][1].strip() if found else None


def beside(name: str) -> str:
    """A name, if it is one of a file in the same folder. Raises ``FormatError``."""
    if not _BUNDLE.fullmatch(name):
        raise FormatError(f"{name[:80]!r} is not a file beside it", fix="put the file beside it")
    return name
