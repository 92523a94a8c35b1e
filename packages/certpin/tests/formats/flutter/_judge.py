"""A Python update client that must decide as the Dart one does.

It is the client of python-tuf, with certpin's additional rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from certpin.errors import CertpinError, UpdateError
from certpin.pinfile import PinSet
from certpin.updates import Limits
from certpin.updates.refusals import update_errors
from certpin.updates.trust import (
    SignedMetadata,
    follow_roots,
    mark_recovery,
    require_following,
    verify_files,
    verify_metadata,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from tuf.api.metadata import TargetFile

    from certpin.updates.trust import SignedSet

_LIMITS = Limits()


class Judge(FetcherInterface):
    """The update client of an app, in Python. ``Judge.verdict`` updates it.

    ``folder`` is its storage, ``pins`` the pin file in the app, ``root`` its TUF root metadata.
    """

    def __init__(self, folder: Path, pins: bytes, root: bytes) -> None:
        self._folder = folder
        self._root = root
        self._files: Mapping[str, bytes] = {}
        self.pins = self._bundled = PinSet.parse(pins.decode())
        self._known: SignedSet | None = None

    def verdict(self, files: Mapping[str, bytes], now: datetime) -> tuple[str, int]:
        """Update from a server with these files.

        Returns:
            The reason of a refusal, or an empty text; and the version of the pins in force.
        """
        self._files = files
        try:
            with update_errors():
                self._refresh(now)
        except UpdateError as refused:
            return refused.reason, self.pins.version
        except CertpinError as refused:
            return type(refused).__name__, self.pins.version
        return "", self.pins.version

    def _refresh(self, now: datetime) -> None:
        self._folder.mkdir(exist_ok=True)
        limits = {f"{role}_max_length": getattr(_LIMITS, role) for role in SignedMetadata._fields}
        updater = Updater(
            str(self._folder),
            "metadata/",
            fetcher=self,
            config=UpdaterConfig(root_max_length=_LIMITS.root, **limits),
            bootstrap=self._root,
        )
        updater._trusted_set.reference_time = now  # its default is the system clock
        updater.refresh()
        signed = SignedMetadata(
            *((self._folder / f"{role}.json").read_bytes() for role in SignedMetadata._fields)
        )
        history = self._folder / "root_history"
        later = [
            (history / f"{version}.root.json").read_bytes()
            for version in range(2, len(list(history.iterdir())) + 1)
        ]
        root = follow_roots(self._root, later, self.pins.name)[-1]
        verified = verify_metadata(root, signed, self.pins.name, _LIMITS)
        fetched = {name: self._target(name, info) for name, info in verified.targets.items()}
        found = mark_recovery(verify_files(verified, fetched), self._known, root)
        require_following(found.pins, self._bundled if found.recovers else self.pins)
        self._known, self.pins = found, found.pins

    def _target(self, name: str, info: TargetFile) -> bytes:
        folder, slash, last = name.rpartition("/")
        path = f"targets/{folder}{slash}{info.hashes['sha256']}.{last}"
        return self.download_bytes(path, info.length)

    def _fetch(self, url: str) -> Iterator[bytes]:
        if url not in self._files:
            raise DownloadHTTPError(f"{url} is not there", 404)
        yield self._files[url]
