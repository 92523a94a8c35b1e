"""Decide from a file's path which builds of the app contain it: those for the app store, or others.

A file belongs to builds for debugging, tests or a flavour (a variant of the app, such as staging)
if its Gradle source set, its name or the name of its folder says so. This applies to the
configuration of Android and Apple, to certificates, and to source files. The pins and certificates
of such builds don't belong in the pin set of a release.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from certpin.apps.usage import affirmed_words, flavour_of, words
from certpin.support.text import printable

# Builds that are never in the store: those of developers, of profilers, and of tests.
DEBUG_BUILDS = "debug builds"

# A source set of Gradle: https://developer.android.com/build/build-variants#sourcesets. Its name is
# that of a build type or a flavour, or of both (stagingDebug). Flutter adds the type "profile".
# Gradle refuses flavours that begin with "test".
_SOURCE_SET = re.compile(r"(?<!lib/)\bsrc/([^/]+)/(?:res|assets)/")
_DEBUG_SET = re.compile(r"debug|profile|.*(?:Debug|Profile)")
_TEST_SET = re.compile(r"(?:test|androidTest|screenshotTest)(?:[A-Z].*)?")
_MAX_SHOWN = 200  # characters of the names of flavours
_TEST_BUNDLE = re.compile(r".*Tests")  # of Xcode, such as ios/RunnerTests


def is_for_debug(path: str) -> bool:
    """Return True if a file is in a Gradle source set for debugging or tests: no release has it.

    The last source set in the path decides.
    """
    name = _source_set(path)
    if _TEST_SET.fullmatch(name):
        return True
    is_negated = affirmed_words(name)[-1:] != words(name)[-1:]  # nonDebug
    return _DEBUG_SET.fullmatch(name) is not None and not is_negated


def builds_of(path: str) -> str:
    """Return the builds that use the pins in a file; empty if builds for the app store use them.

    The result is ``DEBUG_BUILDS``, or a phrase with the flavour. It follows from the Gradle source
    set in the path, and from the words in the names of the file and its folder. A name is no proof
    that a release lacks the file (see ``is_for_debug``).

    Args:
        path: the path of a resource, a property list or a certificate, relative to the project.
    """
    source_set = _source_set(path)
    file = PurePosixPath(path)
    if (
        is_for_debug(path)
        or affirmed_words(file.stem)[-1:] == ("profile",)
        or _TEST_BUNDLE.fullmatch(file.parent.name)
    ):
        return DEBUG_BUILDS
    return builds_of_source(path, flavour_of(source_set))


def builds_of_source(path: str, flavour: str = "") -> str:
    """Return the builds that use a source file; empty if builds for the app store use it.

    Names such as ``env_dev.dart`` or ``staging/pins.dart`` show that other builds use it. The word
    ``profile`` doesn't count: in the name of a source file, it means a feature of the app.

    Args:
        path: the path of the file, relative to the project.
        flavour: the flavour of the file if the caller knows it; empty to take it from the path.
    """
    file = PurePosixPath(path)
    # Folders have many names: only one that is a single word, such as "staging", is for a flavour.
    folder = file.parent.name if len(words(file.parent.name)) == 1 else ""
    name = affirmed_words(file.stem)
    if "debug" in (*name, *words(folder)):
        return DEBUG_BUILDS
    flavours = (flavour, flavour_of(file.stem), flavour_of(folder))
    return builds_of_flavours(*list(filter(None, flavours))[:1])


def _source_set(path: str) -> str:
    return next(reversed(_SOURCE_SET.findall(path)), "")


def builds_of_flavours(*flavours: str) -> str:
    """Return text such as "builds of the flavour 'dev'", safe to print; empty if none."""
    names = printable(", ".join(f"'{flavour}'" for flavour in flavours)[:_MAX_SHOWN])
    return names and f"builds of the flavour{'s' if len(flavours) > 1 else ''} {names}"
