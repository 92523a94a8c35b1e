"""Find the ``certpin import`` command that reads a file, for the fixes of messages."""

from __future__ import annotations

import shlex
from pathlib import PurePath

from certpin.apps.languages import LANGUAGES
from certpin.formats import FORMATS

# Files of these types are source code, or the configuration of an app. Other types, such as .json
# and .conf, don't show of which platform a file is.
_PLAIN = frozenset({".cs", ".go", ".java", ".kt", ".mjs", ".plist", ".ts", ".xml"})


def language_of(path: str) -> str:
    """Return the name of the language for ``certpin import`` that reads a file, such as ``dart``.

    The suffix of the path decides. Return an empty text if certpin reads no such files as source
    code.
    """
    suffix = PurePath(path).suffix.lower()
    return next((each.name for each in LANGUAGES.values() if suffix in each.suffixes), "")


def format_command(path: str) -> str:
    """Return the command that imports the pins in an app's file that the app import does not read.

    An example is ``certpin import android FILE``. The suffix of the path decides. If several
    formats have files with this suffix, there is a command for each of them. Return an empty text
    if no format is known for the suffix.
    """
    suffix = PurePath(path).suffix.lower()
    if suffix not in _PLAIN:
        return ""
    names = (each.name for each in FORMATS.values() if each.file.endswith(suffix))
    return ", or ".join(f"certpin import {name} {shlex.quote(path)}" for name in names)
