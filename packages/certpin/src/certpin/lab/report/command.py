"""The client's command with nothing in it that may be a secret: reports are passed around.

What is known to be harmless is shown, and the rest is left out: no list of secrets is complete.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.lab.client import SUBSTITUTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HIDDEN = "…"

_NAMES = "|".join(map(re.escape, SUBSTITUTIONS))
_PLACEHOLDER = re.compile(rf"(\{{(?:{_NAMES})\}})")
_HARMLESS_AROUND = re.compile(r"(?:--?[A-Za-z-]{1,32}=?)?|[:/;,]{1,3}|https://|http://")
_LONG_OPTION = re.compile(r"--[A-Za-z][A-Za-z-]{0,40}")
_SHORT_OPTION = re.compile(r"-[A-Za-z]{1,4}")  # -sSfL; a value may stick to one that is longer
_JAVA_OPTION = re.compile(r"-(?:jar|cp|classpath|Xmx\d+m)")
_PROGRAM = re.compile(
    r"(?:[\w.-]{1,64}/)*[\w-]{1,64}\.(?:py|js|mjs|ts|rb|pl|php|sh|jar|go|dart|exe)"
)


def shown(words: Sequence[str]) -> list[str]:
    """Return the program, its options, placeholders and program files; ``…`` for the rest."""
    return list(_shown(words))


def _shown(words: Sequence[str]) -> Iterator[str]:
    for number, word in enumerate(words):
        if number == 0:
            yield word.rpartition("/")[2]
        elif _PLACEHOLDER.search(word):
            yield _around(word)
        else:
            yield _alone(word)


def _alone(word: str) -> str:
    for harmless in (_LONG_OPTION, _SHORT_OPTION, _JAVA_OPTION, _PROGRAM):
        if harmless.fullmatch(word):
            return word
    option, equals, _ = word.partition("=")
    return f"{option}={HIDDEN}" if equals and _LONG_OPTION.fullmatch(option) else HIDDEN


def _around(word: str) -> str:
    """Keep a word with placeholders only if the text around them is harmless."""
    pieces = _PLACEHOLDER.split(word)
    return "".join(
        piece if number % 2 or _HARMLESS_AROUND.fullmatch(piece) else HIDDEN
        for number, piece in enumerate(pieces)
    )
