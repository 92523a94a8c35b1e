"""Flutter: a small Dart library on ``dart:io``, and the pins as a Dart constant.

The export copies the library from ``dart/``. docs/flutter.md describes what it enforces, and
tests/formats/flutter runs it on Dart VMs.
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
    from certpin.formats.format import SignedSource
    from certpin.pins import PinSet

# The public interface, the core in order of dependency, and a file per supported HTTP package.
LIBRARY = (
    "pinning.dart",
    "policy.dart",
    "debug.dart",
    "der.dart",
    "digests.dart",
    "hosts.dart",
    "verdict.dart",
    "exceptions.dart",
    "rate.dart",
    "report.dart",
    "check.dart",
    "connector.dart",
    "pinned_http_client.dart",
    "pinned_dio.dart",
    "pinned_http.dart",
)

# More files for apps that update their pins, in order of dependency.
SIGNED = (
    "signed_exception.dart",
    "signed_metadata.dart",
    "signed_json.dart",
    "signed_keys.dart",
    "signed_roles.dart",
    "signed_policies.dart",
    "signed_pins.dart",
    "signed_trust.dart",
    "signed_refresh.dart",
    "signed_state.dart",
    "signed_verifier.dart",
    "signed_storage.dart",
    "signed_fetch.dart",
    "pin_updates.dart",
)


_SIGNED_SOURCE = """\
// Made by: certpin export flutter. Do not edit: export it again.

/// The source of signed pin sets.
library;

import 'pin_updates.dart';

/// The source: give it to a `PinUpdates`.
const SignedSource signedSource = SignedSource(
  url: '{url}',
  root: {root},
);
"""


def write(pins: PinSet) -> tuple[File, ...]:
    """Return ``pins.dart``, and the Dart library, which is the same for every pin set."""
    return (_flutter.pins_file(pins, FLUTTER.name), *map(_file, LIBRARY))


def write_signed(pins: PinSet, signed: SignedSource) -> tuple[File, ...]:
    """Return ``signed_source.dart``, and the part of the Dart library that updates pins.

    Raises:
        ConfigError: the name of the pin set is different in Dart, so that the app would refuse
            every signed pin set.
    """
    if _flutter.label(pins) != pins.name:
        raise ConfigError(
            f"{pins.name!r} becomes {_flutter.label(pins)!r} in Dart, not the name of signed sets",
            key="name",
            fix="give the pin set a name of letters, digits, spaces and . _ -",
        )
    return (_source_file(signed), *map(_file, SIGNED))


def _source_file(signed: SignedSource) -> File:
    """Return the Dart file with the constant ``signedSource``."""
    lines = textwrap.wrap(b64encode(signed.root).decode(), 68)
    root = "\n      ".join(f"'{line}'" for line in lines)
    return File("signed_source.dart", _SIGNED_SOURCE.format(url=signed.url, root=root))


def _file(name: str) -> File:
    return File(name, _source(name))


@cache
def _source(name: str) -> str:
    return files(__name__).joinpath("dart", name).read_text(encoding="utf-8")


FLUTTER = Format(
    name="flutter",
    title="Flutter (Dart)",
    use="Write it to lib/pinning/, and create a `PinnedHttpClient(pins)`: see docs/flutter.md.",
    file=_flutter.FILE,
    limits=_flutter.LIMITS,
    write=write,
    read=_flutter.read,
    needs=(
        "Dart 3.5 (Flutter 3.24) and package:crypto; package:dio or package:http for its file.",
        "For apps that update their pins from signed sets: also package:pointycastle 4.",
        "Code that does not use dart:io is not pinned: WebViews, plugins with native HTTP clients.",
        "Overrides apply neither to new isolates (`Isolate.run`, `compute`) nor to `SecureSocket`.",
    ),
    folder=True,
    signed=write_signed,
)
