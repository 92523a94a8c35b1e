"""``PinSet``, read from ``pins.toml``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from certpin import pins
from certpin.errors import PinFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

PINS_VARIABLE = "CERTPIN_PINS"


class PinSet(pins.PinSet):
    """A pin set from a file. Immutable.

    The files that it names (trust anchors) are read when it is loaded. Afterwards a pin set never
    reads the disk.
    """

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a pin file.

        Args:
            path: the file; other files that it names are relative to its folder.

        Returns:
            The pin set.

        Raises:
            PinFileError: the file is refused. The error has file, line, key and fix.

        """
        from pathlib import Path  # here and below: a large part of the time of `import certpin`

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
        """Read the text of a pin file.

        Args:
            text: the content of the file.
            path: for errors; files that the text names are relative to its folder.
            files: the content of these files by their names in the text. The disk is not read then.

        Returns:
            The pin set.

        Raises:
            PinFileError: the text is refused.

        """
        from pathlib import Path

        from certpin.pinfile.reader import locate_errors, read_fields

        with locate_errors(text, Path(path)):
            return cls(**read_fields(text, Path(path), files))

    @classmethod
    def from_env(cls) -> Self:
        """Read the pin file that the environment variable ``CERTPIN_PINS`` names.

        Raises:
            PinFileError: the variable is not set, or the file is refused.

        """
        path = os.environ.get(PINS_VARIABLE)
        if not path:
            raise PinFileError(
                f"{PINS_VARIABLE} names no file", path="environment", fix=f"set {PINS_VARIABLE}"
            )
        return cls.load(path)
