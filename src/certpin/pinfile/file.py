"""``PinSet``: the pin set as its users meet it, read from ``pins.toml``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from certpin import pins
from certpin.errors import PinFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

PINS_VARIABLE = "CERTPIN_PINS"


class PinSet(pins.PinSet):
    """A pin set that comes from a file. Immutable.

    Everything that the file names (trust anchors) is read when it is loaded, so that a pin set
    never touches the disk again.
    """

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a pin file. Raises ``PinFileError``: file, line, key and what would be right."""
        from pathlib import Path  # here and below: a good part of what `import certpin` would cost

        from certpin.pinfile.disk import read_text

        file = Path(path)
        return cls.parse(read_text(file), path=file)

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        path: str | os.PathLike[str] = "pins.toml",
        files: Mapping[str, bytes] | None = None,
    ) -> Self:
        """Read the text of a pin file. Files that it names are found relative to ``path``.

        With ``files`` they are taken from there, by the name that the pin file gives them, and the
        disk is not touched: ``path`` is then for errors alone. Raises ``PinFileError``.
        """
        from pathlib import Path

        from certpin.pinfile.reader import placed, read_fields

        with placed(text, Path(path)):
            return cls(**read_fields(text, Path(path), files))

    @classmethod
    def from_env(cls) -> Self:
        """Read the pin file that the environment variable ``CERTPIN_PINS`` names."""
        path = os.environ.get(PINS_VARIABLE)
        if not path:
            raise PinFileError(
                f"{PINS_VARIABLE} names no file", path="environment", fix=f"set {PINS_VARIABLE}"
            )
        return cls.load(path)
