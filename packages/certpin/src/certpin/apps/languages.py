"""The programming languages in which certpin can read an app's source for pins.

To add a language, write a module that reads its files, and add an entry to ``LANGUAGES``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.apps.pubspec import read_pubspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin.apps.model import FileFindings, SourceFile
    from certpin.apps.pubspec import Manifest

    Reader = Callable[[SourceFile, datetime], FileFindings]


@dataclass(frozen=True)
class Language:
    """A programming language of apps, and the functions that read its files.

    Attributes:
        name: the name of the language on the command line, as in ``certpin import dart``.
        suffixes: the suffixes of its source files, in lower case.
        load: imports the parser, which may be an optional package, and returns the reader: a
            function that returns the results for one source file. Raises ``MissingExtraError`` if
            the package is missing.
        manifest: the name of the file that describes a package, such as ``pubspec.yaml``; empty if
            the language has none.
        read_manifest: a function that reads a manifest and returns the results and the assets that
            the manifest lists; None if the language has no manifest.
        tests: the names of test folders beside a manifest; they are not part of the app.
    """

    name: str
    suffixes: tuple[str, ...]
    load: Callable[[], Reader]
    manifest: str = ""
    read_manifest: Callable[[SourceFile], Manifest] | None = None
    tests: frozenset[str] = frozenset()


def _load_dart() -> Reader:
    from certpin.apps.dart.code import GRAMMAR
    from certpin.apps.dart.reader import read_dart
    from certpin.apps.syntax import parse

    parse(GRAMMAR, b"")  # otherwise the error would come with the first file
    return read_dart


DART = Language(
    name="dart",
    suffixes=(".dart",),
    load=_load_dart,
    manifest="pubspec.yaml",
    read_manifest=read_pubspec,
    # https://dart.dev/tools/pub/package-layout, and the folders of flutter drive.
    tests=frozenset({"test", "integration_test", "test_driver"}),
)

LANGUAGES: dict[str, Language] = {each.name: each for each in (DART,)}
