"""The results of reading an app's source: pins, certificates, mistakes and open questions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from certpin.apps.usage import Acceptance
from certpin.support.text import printable

if TYPE_CHECKING:
    from certpin.errors import ConfigError, InputError
    from certpin.pins import Pin
    from certpin.x509 import Certificate

# The first line of the library that ``certpin export flutter --vendored`` copies into an app.
_COPIED = "// Copied by: certpin export "

# The readers of certpin.formats begin with the line, or end with that of expat.
_LINE = re.compile(r"^line ([0-9]{1,9}): |: line ([0-9]{1,9}), column [0-9]+$")

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_LINE_END = re.compile(r"\n|\r(?!\n)")


@dataclass(frozen=True, order=True)
class Place:
    """A line in a file of the app.

    Attributes:
        file: the path. It begins with the path that the user named: for example ``lib/api.dart``,
            if the user named ``lib`` or ``.``. It may contain control characters: escape it before
            printing.
        line: the line, from 1.
    """

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class SourceFile:
    """One file of the app.

    Attributes:
        path: the path, which begins with the path that the user named.
        data: the content in bytes.
        text: the content decoded as UTF-8, with replacements for invalid bytes.
    """

    path: str
    data: bytes
    text: str

    @property
    def is_utf16(self) -> bool:
        """True if the file begins like UTF-16, or like a binary file. Don't search ``text`` then.

        XML parsers and compilers may recognise UTF-16 without a byte order mark, too.
        """
        return self.data.startswith(_UTF16) or 0 in self.data[:2]

    def lines(self) -> list[str]:
        """Return the lines of the text, as compilers and XML parsers count them.

        A carriage return that no line feed follows ends a line, too.
        """
        return _LINE_END.split(self.text)

    @property
    def is_copied(self) -> bool:
        """True if the file is certpin's own Dart code, which an export copied into the app.

        Such a file is not read: its code is not the app's.
        """
        return self.text.removeprefix("\N{BOM}").startswith(_COPIED)


@dataclass(frozen=True)
class FoundPin:
    """A pin in the source of an app.

    Attributes:
        pin: the pin. A fingerprint without a prefix is a whole-certificate pin (``cert-sha256``),
            unless the library that receives it compares keys.
        place: the file and line of the pin.
        name: the constant, the list or the parameter that contains the pin; may be empty.
        hosts: the hosts and host patterns that the code itself assigns to the pin, each as written
            (``HOST`` or ``HOST:PORT``); may be empty.
        builds: the builds that use the pin, such as "debug builds"; empty if builds for the app
            store use it. Only pins for which it is empty belong in the pin set of a release.
        key_type: the type of a public key, such as ``EC P-256``; empty for a digest.
        acceptance: whether the names around the pin, such as ``revokedPins``, or that of the file
            say that the app accepts or refuses the key.
    """

    pin: Pin
    place: Place
    name: str = ""
    hosts: tuple[str, ...] = ()
    builds: str = ""
    key_type: str = ""
    acceptance: Acceptance = field(default_factory=Acceptance)


@dataclass(frozen=True)
class FoundCertificate:
    """A certificate in an asset or a string of the app, and the file and line that contain it.

    Attributes:
        certificate: the certificate.
        place: the file and line.
        builds: the builds that use the certificate; empty if builds for the app store use it.
        acceptance: whether names around the certificate say that the app accepts or refuses its
            key.
        name: the constant that contains the certificate; may be empty.
    """

    certificate: Certificate
    place: Place
    builds: str = ""
    acceptance: Acceptance = field(default_factory=Acceptance)
    name: str = ""


@dataclass(frozen=True)
class Mistake:
    """A mistake in the app's code. The message can contain quotes from the file.

    Attributes:
        rule: the ID of the broken rule in ``RULES``, such as ``pin-in-callback``.
        place: the file and line.
        message: the problem, as a phrase.
        fix: how to correct it; if empty, the fix of the rule applies.
        allowed: the reason in a comment that allows the mistake; empty if it is not allowed.
    """

    rule: str
    place: Place
    message: str
    fix: str = ""
    allowed: str = ""


@dataclass(frozen=True)
class Unknown:
    """A question that the user has to answer, because the source doesn't contain the answer.

    Attributes:
        question: the question, as a sentence without the place.
        place: the file and line that the question is about; None if it is about the whole app.
    """

    question: str
    place: Place | None = None


@dataclass(frozen=True)
class Dropped:
    """A part of a file that is not imported, for example because a pin file can't contain it.

    Attributes:
        what: a phrase that describes the part.
        place: the file and line.
    """

    what: str
    place: Place


@dataclass(frozen=True)
class Unread:
    """A file, or a part of a file, that couldn't be read. Its pins and mistakes are unknown.

    Attributes:
        place: the file, and the line of the problem; line 1 if the problem has no line.
        problem: why it couldn't be read.
        fix: how to make it readable; may be empty.
    """

    place: Place
    problem: str
    fix: str = ""

    @staticmethod
    def as_utf16(file: SourceFile) -> Unread:
        """Return the ``Unread`` for a file that is not UTF-8."""
        problem = "it is not UTF-8, but UTF-16 or binary"
        return Unread(Place(file.path, 1), problem, "save it as UTF-8")

    @staticmethod
    def because_of(
        error: InputError | ConfigError, file: SourceFile, default_line: int = 1
    ) -> Unread:
        """Return the ``Unread`` for a file, or a part of it, that a reader refused with an error.

        Args:
            error: the error of the reader.
            file: the file.
            default_line: the line to use if the error names none.
        """
        found = _LINE.search(error.problem)
        line = int(found[1] or found[2]) if found else default_line
        problem = error.problem[found.end() :] if found and found[1] else error.problem
        return Unread(Place(file.path, max(line, 1)), printable(problem), printable(error.fix))


@dataclass
class FileFindings:
    """The results of reading one file, or all files of an app.

    Attributes:
        pins: the pins.
        certificates: the certificates.
        mistakes: the mistakes in how the app checks pins.
        unknown: the questions for the user.
        hosts: the hosts of the URLs in the code, each with its file and line.
        dropped: the parts that are not imported.
        unread: the parts that couldn't be read.
        exported: the host patterns in a pin set that ``certpin export`` wrote into the code.
        pinned_clients: the places of clients that enforce such a pin set.
        debug_anchors: the resources of Android that a ``<debug-overrides>`` trusts, each as the
            path of its file, without suffix and without the qualifiers of its folder.
        released_anchors: the same for the resources that a release trusts.
    """

    pins: list[FoundPin] = field(default_factory=list)
    certificates: list[FoundCertificate] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    hosts: list[tuple[str, Place]] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    exported: list[str] = field(default_factory=list)
    pinned_clients: list[Place] = field(default_factory=list)
    debug_anchors: list[str] = field(default_factory=list)
    released_anchors: list[str] = field(default_factory=list)

    def limit_to(self, builds: str) -> None:
        """Mark all pins and certificates as used by ``builds`` only, and not in the app store.

        ``released_anchors`` becomes empty, because no release uses the file. ``builds`` is a phrase
        such as "debug builds".
        """
        self.pins = [replace(each, builds=builds) for each in self.pins]
        self.certificates = [replace(each, builds=builds) for each in self.certificates]
        self.released_anchors = []

    def judge_by_name(self, name: str, *, is_source: bool) -> None:
        """Record whether the file's name says that the app accepts or refuses the keys in the file.

        Args:
            name: the name of the file.
            is_source: True for source code. Its name counts less than that of a list of keys,
                because the code possibly only uses keys that are listed elsewhere.
        """
        self.pins = [
            replace(each, acceptance=each.acceptance.inside(name, is_outer=is_source))
            for each in self.pins
        ]
        self.certificates = [
            replace(each, acceptance=each.acceptance.inside(name, is_outer=is_source))
            for each in self.certificates
        ]

    def extend(self, other: FileFindings) -> None:
        """Add the results of another file (``other``) to these results."""
        for name in self.__dataclass_fields__:
            getattr(self, name).extend(getattr(other, name))
