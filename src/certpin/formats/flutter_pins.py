"""Flutter: the pins of one more build flavour, for the library that ``flutter`` has written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.formats import _flutter
from certpin.formats.format import File, Format

if TYPE_CHECKING:
    from certpin.pins import PinSet


def write(pins: PinSet) -> tuple[File, ...]:
    """The constant ``pins`` alone: import it with a prefix."""
    return (_flutter.pins_file(pins, FLUTTER_PINS.name),)


FLUTTER_PINS = Format(
    name="flutter-pins",
    title="Flutter, a flavour",
    use="Put it beside the files of `flutter`, under another name, and choose by a constant.",
    file=_flutter.FILE,
    limits=_flutter.LIMITS,
    write=write,
    read=_flutter.read,
    needs=("A build chooses its pins by `const`: what it doesn't choose is not in the app.",),
)
