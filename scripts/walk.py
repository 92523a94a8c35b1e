"""Count the files that a reader opens to follow one user action: ``make walk``.

Five actions run in this process, with ``sys.setprofile`` in every thread. A file counts once a
function in it is entered. Modules are imported before, so that what runs at import doesn't count.
The servers are processes of their own (nginx, curl), or are left out by their path (``tests``).
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import certpin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SOURCE = Path(certpin.__file__).parent


class Walk:
    """The files of certpin in which functions were entered."""

    def __init__(self) -> None:
        self._code: set[str] = set()

    @property
    def files(self) -> list[str]:
        """Paths below the package, sorted."""
        folder = f"{SOURCE}/"
        inside = (name for name in self._code if name.startswith(folder))
        return sorted(name.removeprefix(folder) for name in inside)

    @contextmanager
    def following(self) -> Iterator[None]:
        """Follow this thread, and the threads that are started in the block."""
        threading.setprofile(self._entered)
        sys.setprofile(self._entered)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _entered(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name != "<module>":
            self._code.add(frame.f_code.co_filename)


def import_everything() -> None:
    """Import each module of certpin that can be imported here."""
    for module in pkgutil.walk_packages(certpin.__path__, "certpin.", onerror=lambda _: None):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):
                importlib.import_module(module.name)
