"""Code for both Flutter formats: the Dart constant with the pins, and limitations of dart:io."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.errors import FormatError
from certpin.formats._languages import DART
from certpin.formats.code import NO_EXPORT, read_table, tokens
from certpin.formats.format import File
from certpin.formats.header import commented, is_exported
from certpin.formats.limits import (
    DartKeys,
    LeafOrAnchors,
    NoCompromisedAnchors,
    NoTransparency,
    PlainAddresses,
)
from certpin.formats.parsed import pem, read_anchors, row

if TYPE_CHECKING:
    from certpin.formats.parsed import ParsedFile, Source
    from certpin.pins import HostPolicy, PinSet, TrustAnchors

FILE = "pins.dart"
PINS_FORMAT = 1  # of the generated file; the Dart package refuses to compile with another one
PACKAGE = "package:certpin/"
_NO_CHAIN = "no chain is exposed by dart:io (dart-lang/sdk 47695)"
LIMITS = (
    NoCompromisedAnchors(_NO_CHAIN),
    LeafOrAnchors(_NO_CHAIN),
    DartKeys("its TLS library, BoringSSL, has no such keys"),
    PlainAddresses("Uri.parse would change them"),
    NoTransparency("dart:io shows only the leaf, and an SCT needs the key of its issuer"),
)
LACKS = "An export has no ports, notes and retired pins either: add them again."

_SOURCE = """\
{header}
/// The pins of the app.
library;

import '{library}';

/// The pin set: give it to a `PinnedHttpClient`.
const PinSet pins = PinSet(
  format: {format},
  name: '{label}',
  version: {version},
{debug}  policies: [
{policies}  ],
);
"""
_LISTS = {"pins", "compromised", "reportTo"}
_DEBUG = "debugAnchors"
_OTHER_CODE = "if it is code of your app, and not an export: certpin import dart PATH"
_NOT_IN_A_LABEL = re.compile(r"[^A-Za-z0-9 ._-]")


def pins_file(pins: PinSet, name: str) -> File:
    """Return the Dart file with the constant ``pins``, which imports the Dart package ``certpin``.

    ``name`` is the name of the format, for the header.
    """
    text = _SOURCE.format(
        header=commented(pins, name, "//"),
        library=f"{PACKAGE}certpin.dart",
        format=PINS_FORMAT,
        label=label(pins),
        version=pins.version,
        debug=_debug(pins.debug) if pins.debug else "",
        policies="".join(map(_policy, pins.policies)),
    )
    return File(FILE, text)


def import_vendored(file: File) -> File:
    """Return a copy of a generated Dart file that imports certpin's library by a relative path.

    The original file imports the library from the Dart package ``certpin``. The copy is for apps
    that contain the library's files.
    """
    return replace(file, text=file.text.replace(f"import '{PACKAGE}", "import '", 1))


def label(pins: PinSet) -> str:
    """Return the name of the pin set ``pins`` for Dart code, with ``_`` for each unsafe character.

    Safe are ASCII letters, digits, space, dot, underscore and hyphen: the name can then be written
    into a string literal without escapes.
    """
    return _NOT_IN_A_LABEL.sub("_", pins.name)


def read(source: Source) -> ParsedFile:
    """Parse the pin set in a Dart file that has the constant ``pins``. Raises ``FormatError``.

    ``source`` is the file; the result has the settings of its hosts.
    """
    try:
        reading = read_table(source, DART)
        debug = _read_debug(source.text)
    except FormatError as exc:
        if is_exported(source.text):
            raise
        raise FormatError(exc.problem, fix=_OTHER_CODE) from exc
    if not any(found.pins or found.compromised for found in reading.hosts):
        raise FormatError(NO_EXPORT, fix=_OTHER_CODE)
    return replace(reading, debug=debug)


def _policy(policy: HostPolicy) -> str:
    fields = "".join(
        f"      {name}: {_value(name, values)},\n" for name, values in row(policy).items()
    )
    return f"    HostPolicy(\n{fields}    ),\n"


def _value(name: str, values: list[str]) -> str:
    if name in _LISTS:
        return "[\n" + "".join(f"        {_string(each)},\n" for each in values) + "      ]"
    return _string(values[0])


def _string(text: str) -> str:
    """Return a text as a Dart string literal that needs no escapes.

    Not checked: that the text doesn't contain both kinds of quotes, which no exported value does.
    """
    if "\n" in text:
        return f"'''\n{text}'''"
    quote = '"' if "'" in text else "'"
    raw = "r" if "$" in text else ""  # in other strings, `$` starts an expression
    return f"{raw}{quote}{text}{quote}"


def _debug(anchors: TrustAnchors) -> str:
    """Return the Dart field with the trust anchors for debug builds, as source code.

    The field is a constant expression, so that the compiler leaves the anchors out of release
    builds.
    """
    return f"  {_DEBUG}: debugOverride ? {_string(pem(anchors))} : null,\n"


def _read_debug(text: str) -> TrustAnchors | None:
    """Return the trust anchors for debug builds in a Dart file; None if it has none.

    Raises ``FormatError`` if the field ``debugAnchors`` is not written exactly as certpin exports
    it. Another expression could make release builds trust the anchors, too.
    """
    if _DEBUG not in text:
        return None  # saves a second pass for most files
    pieces = list(tokens(text, DART))
    for place, token in enumerate(pieces):
        if (token.kind, token.text) != ("word", _DEBUG):
            continue
        value = pieces[place + 1 : place + 7]
        shape = [each.kind if each.kind == "string" else each.text for each in value]
        if shape != [":", "debugOverride", "?", "string", ":", "null"]:
            raise FormatError(
                f"line {token.line}: {_DEBUG} is not written literally",
                fix=f"write {_DEBUG}: debugOverride ? '…' : null, with a certificate as PEM text",
            )
        return read_anchors(value[3].value())
    return None
