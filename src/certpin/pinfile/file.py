"""``PinSet``: the pin set as its users meet it, read from ``pins.toml``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from certpin import pins
from certpin.errors import PinFileError
from certpin.pinfile.reader import read_fields

PINS_VARIABLE = "CERTPIN_PINS"

# A million hosts take some 200 MB; nobody keeps more in one file, and a parser has to end.
MAX_PIN_FILE_BYTES = 256 * 1024 * 1024


class PinSet(pins.PinSet):
    """A pin set that comes from a file. Immutable.

    Everything that the file names (trust anchors) is read when it is loaded, so that a pin set
    never touches the disk again.
    """

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a pin file. Raises ``PinFileError``, with file, line, key and what would be right."""
        file = Path(path)
        try:
            if file.stat().st_size > MAX_PIN_FILE_BYTES:
                raise PinFileError(f"it has more than {MAX_PIN_FILE_BYTES} bytes", path=file)
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as exc:
            raise PinFileError("it is not UTF-8 text", path=file, fix="save it as UTF-8") from exc
        except OSError as exc:
            raise PinFileError(
                f"it cannot be read: {exc.strerror or exc}",
                path=file,
                fix="check the path, or make one: certpin add HOST",
            ) from exc
        return cls.parse(text, path=file)

    @classmethod
    def parse(cls, text: str, *, path: str | os.PathLike[str] = "pins.toml") -> Self:
        """Read the text of a pin file. Files that it names are found relative to ``path``.

        Raises ``PinFileError``.
        """
        return cls(**read_fields(text, Path(path)))

    @classmethod
    def from_env(cls) -> Self:
        """Read the pin file that the environment variable ``CERTPIN_PINS`` names."""
        path = os.environ.get(PINS_VARIABLE)
        if not path:
            raise PinFileError(
                f"{PINS_VARIABLE} names no file", path="environment", fix=f"set {PINS_VARIABLE}"
            )
        return cls.load(path)
