"""Flutter: a small library in Dart that needs only ``dart:io``, and the pins as a constant in it.

The library is in ``dart/``, as it is written. docs/flutter.md says what it enforces, and
tests/formats/flutter runs it on Dart VMs.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats import _flutter
from certpin.formats.flutter import source
from certpin.formats.format import File, Format

if TYPE_CHECKING:
    from certpin.formats.format import SignedSource
    from certpin.pins import PinSet

# The face, the core from the inside out, and a file for each package that an app may use.
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

# What an app has beside them that follows signed sets; from the inside out, too.
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


def write(pins: PinSet) -> tuple[File, ...]:
    """``pins.dart``, and the library, which is the same for every pin set."""
    return (_flutter.pins_file(pins, FLUTTER.name), *map(_file, LIBRARY))


def write_signed(pins: PinSet, signed: SignedSource) -> tuple[File, ...]:
    """``signed_source.dart``, and what follows signed sets from there.

    Raises ``ConfigError`` where the name of the pin set is another one in Dart: no set that is
    signed for it would be taken.
    """
    if _flutter.label(pins) != pins.name:
        raise ConfigError(
            f"{pins.name!r} is {_flutter.label(pins)!r} in Dart, and signed sets go by their name",
            key="name",
            fix="give the pin set a name of letters, digits, spaces and . _ -",
        )
    return (source.file(signed), *map(_file, SIGNED))


def _file(name: str) -> File:
    return File(name, _source(name))


@cache
def _source(name: str) -> str:
    return files(__name__).joinpath("dart", name).read_text(encoding="utf-8")


FLUTTER = Format(
    name="flutter",
    title="Flutter (Dart)",
    use="Write it into lib/pinning/, and make a `PinnedHttpClient(pins)`: see docs/flutter.md.",
    file=_flutter.FILE,
    limits=_flutter.LIMITS,
    write=write,
    read=_flutter.read,
    needs=(
        "Dart 3.5 (Flutter 3.24) and package:crypto; package:dio or package:http for its file.",
        "An app that follows signed sets: package:pointycastle 4, too.",
        "Code that doesn't use dart:io is not pinned: WebViews, plugins with native HTTP clients.",
        "Overrides pin no new isolate (`Isolate.run`, `compute`), and no `SecureSocket.connect`.",
    ),
    folder=True,
    signed=write_signed,
)
