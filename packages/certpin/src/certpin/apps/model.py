"""What certpin finds in the source of an app: pins, certificates, mistakes and open questions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from certpin.support.text import printable

if TYPE_CHECKING:
    from certpin.errors import ConfigError, InputError
    from certpin.pins import Pin
    from certpin.x509 import Certificate

Severity = Literal["error", "warning", "note"]

# The first line of the library that ``certpin export flutter --vendored`` copies into an app.
_COPIED = "// Copied by: certpin export "

# The readers of certpin.formats begin with the line, or end with that of expat.
_LINE = re.compile(r"^line ([0-9]{1,9}): |: line ([0-9]{1,9}), column [0-9]+$")


@dataclass(frozen=True, order=True)
class Place:
    """A line in a file of the app.

    ``file`` begins with the path that the user named: ``lib/api.dart`` for ``lib`` and for ``.``.
    It may be hostile: escape it before printing.
    """

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class SourceFile:
    """One file of the app. ``text`` is decoded; ``data`` are its bytes."""

    path: str
    data: bytes
    text: str

    @property
    def is_copied(self) -> bool:
        """True for a file of certpin's own library, which an export copied into the app."""
        return self.text.removeprefix("\N{BOM}").startswith(_COPIED)


@dataclass(frozen=True)
class FoundPin:
    """A pin in the source.

    ``name`` is the constant, the list or the parameter that contains it. ``hosts`` are the hosts
    and host patterns that the code itself assigns to it, each as written (``HOST`` or
    ``HOST:PORT``), and may be empty. ``kind`` of an unprefixed fingerprint is ``cert-sha256``,
    unless the library that receives it compares keys. ``debug`` is True if only debug builds use
    the pin: it doesn't belong into the pin set of a release. ``key_type`` is the type of a public
    key, such as ``EC P-256``, and empty for a digest.
    """

    pin: Pin
    place: Place
    name: str = ""
    hosts: tuple[str, ...] = ()
    debug: bool = False
    key_type: str = ""


@dataclass(frozen=True)
class FoundCertificate:
    """A certificate in an asset or a string of the app."""

    certificate: Certificate
    place: Place


@dataclass(frozen=True)
class Mistake:
    """A mistake of the code. ``rule`` is an id of ``RULES``; the texts may quote the file.

    ``fix`` is empty if it is that of the rule. ``allowed`` is the reason given in a comment that
    allows it.
    """

    rule: str
    place: Place
    message: str
    fix: str = ""
    allowed: str = ""


@dataclass(frozen=True)
class Unknown:
    """A fact that the source doesn't contain, and that the user has to add or to verify."""

    question: str
    place: Place | None = None


@dataclass(frozen=True)
class Dropped:
    """An element of a file that a pin file can't contain, or that is not imported. A phrase."""

    what: str
    place: Place


@dataclass(frozen=True)
class Unread:
    """A file, or a part of one, that couldn't be read. Its pins and mistakes are unknown.

    The line is 1 if the problem has no line.
    """

    place: Place
    problem: str
    fix: str = ""

    @staticmethod
    def because_of(
        error: InputError | ConfigError, file: SourceFile, default_line: int = 1
    ) -> Unread:
        """Return the result for a file, or a part of it, that a reader refused.

        The line is the one that the error names, or else ``default_line``.
        """
        found = _LINE.search(error.problem)
        line = int(found[1] or found[2]) if found else default_line
        problem = error.problem[found.end() :] if found and found[1] else error.problem
        return Unread(Place(file.path, max(line, 1)), printable(problem), printable(error.fix))


@dataclass
class FileFindings:
    """The results for one file, or for all. ``hosts`` are the hosts of the URLs in it."""

    pins: list[FoundPin] = field(default_factory=list)
    certificates: list[FoundCertificate] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    hosts: list[tuple[str, Place]] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)

    def extend(self, other: FileFindings) -> None:
        """Add the results for another file."""
        for name in self.__dataclass_fields__:
            getattr(self, name).extend(getattr(other, name))
