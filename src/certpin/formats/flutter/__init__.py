"""Flutter: a small library in Dart on ``dart:io`` alone, and the pins as a constant in it.

The library stands under ``dart/``, as it is written. How it holds is told in docs/flutter.md; what
of it runs in certpin's own tests, in tests/formats/flutter.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from certpin.formats import _flutter
from certpin.formats.format import File, Format

if TYPE_CHECKING:
    from certpin.pins import PinSet

# The face, the core from the inside out, and a file for each package that an app may use.
LIBRARY = (
    "pinning.dart",
    "policy.dart",
    "debug.dart",
    "der.dart",
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


def write(pins: PinSet) -> tuple[File, ...]:
    """``pins.dart``, and the library, which is the same for every pin set."""
    library = tuple(File(name, _source(name)) for name in LIBRARY)
    return (_flutter.pins_file(pins, FLUTTER.name), *library)


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
        "Dart 3.1 and package:crypto; package:dio or package:http where you use its file.",
        "What goes around dart:io is not pinned: WebViews, plugins with native HTTP clients.",
    ),
    folder=True,
)
