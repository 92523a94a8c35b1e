"""Flutter: only the pins, for an additional build flavour of an app that has the full export.

The format ``flutter`` exports the pins together with the other files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.formats import _flutter
from certpin.formats.format import File, Format

if TYPE_CHECKING:
    from certpin.pins import PinSet


def write(pins: PinSet) -> tuple[File, ...]:
    """Return the Dart file with the constant ``pins``, for a second build flavour of an app.

    The file of the first flavour, an export in the format ``flutter``, has a constant of the same
    name, so the app has to import this file with a prefix. Unlike that format, this one has no
    other files. ``pins`` is a pin set that ``project`` has reduced to the settings that this
    platform can express.
    """
    return (_flutter.pins_file(pins, FLUTTER_PINS.name),)


FLUTTER_PINS = Format(
    name="flutter-pins",
    title="Flutter, pins of another build flavour",
    use="Add it to the folder of `flutter` under another name, and select it by a constant.",
    file=_flutter.FILE,
    limits=_flutter.LIMITS,
    write=write,
    read=_flutter.read,
    vendored=lambda generated: tuple(map(_flutter.import_vendored, generated)),
    in_debug_builds=True,
    lacks=_flutter.LACKS,
    language="dart",
    needs=("Select the pins with `const`, so that a build contains only its own pins.",),
)
