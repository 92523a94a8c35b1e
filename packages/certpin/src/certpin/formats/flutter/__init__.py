"""Flutter: the pins as a Dart constant, for the Dart package ``certpin``.

The package is in ``packages/certpin-dart``. Its libraries are also package data of this module, so
that an export can include a copy of them. docs/guides/flutter.md describes what they enforce, and
tests/formats/flutter runs them on Dart VMs.
"""

from __future__ import annotations

import textwrap
from base64 import b64encode
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats import _flutter
from certpin.formats.format import File, Format

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

    from certpin.formats.format import SignedSource
    from certpin.pins import PinSet

_COPIED = "// Copied by: certpin export flutter. Do not edit: the next export replaces it.\n\n"
_SIGNED_SOURCE = """\
// Made by: certpin export flutter. Do not edit: export it again.

/// The source of signed pin sets.
library;

import '{library}';

/// The source: give it to a `PinUpdates`.
const SignedSource signedSource = SignedSource(
  url: '{url}',
  root: {root},
);
"""


def write(pins: PinSet) -> tuple[File, ...]:
    """Return ``pins.dart``, the Dart file with the pins as a constant.

    ``pins`` is a pin set that ``project`` has reduced to the settings that this platform can
    express.
    """
    return (_flutter.pins_file(pins, FLUTTER.name),)


def write_signed(pins: PinSet, signed: SignedSource) -> tuple[File, ...]:
    """Return ``signed_source.dart``: the URL and the trusted root for updates of the app's pins.

    Raises:
        ConfigError: the name of the pin set has characters that exported Dart code can't contain.
            They are replaced there, so the app would refuse every signed pin set of this name.
    """
    if _flutter.label(pins) != pins.name:
        raise ConfigError(
            f"{pins.name!r} becomes {_flutter.label(pins)!r} in Dart, not the name of signed sets",
            key="name",
            fix="give the pin set a name of letters, digits, spaces and . _ -",
        )
    return (_source_file(signed),)


def write_vendored(generated: tuple[File, ...]) -> tuple[File, ...]:
    """Return certpin's Dart library together with the generated files.

    The generated files are changed to import the library by a relative path.
    """
    return (*map(_flutter.import_vendored, generated), *library())


@cache
def library() -> tuple[File, ...]:
    """Return the files of certpin's Dart library, which import each other by relative paths."""
    return tuple(sorted(_dart_files(files(__name__) / "dart"), key=lambda file: file.path))


def _dart_files(folder: Traversable, prefix: str = "") -> Iterator[File]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _dart_files(entry, f"{prefix}{entry.name}/")
        else:
            yield File(prefix + entry.name, _COPIED + entry.read_text(encoding="utf-8"))


def _source_file(signed: SignedSource) -> File:
    """Return the Dart file with the constant ``signedSource``: the URL and the root for updates."""
    lines = textwrap.wrap(b64encode(signed.root).decode(), 68)
    root = "\n      ".join(f"'{line}'" for line in lines)
    text = _SIGNED_SOURCE.format(
        library=f"{_flutter.PACKAGE}updates.dart", url=signed.url, root=root
    )
    return File("signed_source.dart", text)


FLUTTER = Format(
    name="flutter",
    title="Flutter (Dart)",
    use="Add the package certpin to pubspec.yaml, and create a `PinnedHttpClient(pins)`: see the "
    "Flutter guide in the documentation of certpin.",
    file=_flutter.FILE,
    limits=_flutter.LIMITS,
    write=write,
    read=_flutter.read,
    needs=(
        "Dart 3.5 (Flutter 3.24).",
        "A server's key must be P-256, P-384 or RSA: Dart's TLS refuses other types.",
        "Code that does not use dart:io is not pinned: WebViews, plugins with native HTTP clients.",
        "New isolates have no overrides: use `PinnedHttpOverrides.runInIsolate`.",
        "`SecureSocket` has none either: use `PinnedSecureSocket`.",
    ),
    folder=True,
    in_debug_builds=True,
    lacks=_flutter.LACKS,
    language="dart",
    signed=write_signed,
    vendored=write_vendored,
    vendored_use="Add the package crypto to pubspec.yaml, import the certpin.dart beside the pins, "
    "and create a `PinnedHttpClient(pins)`: see the Flutter guide in the documentation of certpin.",
)
