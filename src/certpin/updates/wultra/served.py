"""The list of one app in the challenge mode: read anew when it changes, and the last good kept."""

from __future__ import annotations

import logging
from threading import Lock
from typing import TYPE_CHECKING

from certpin.errors import CertpinError, ConfigError, FormatError
from certpin.pins import utc_now
from certpin.updates.wultra import rules
from certpin.updates.wultra.check import check_list
from certpin.updates.wultra.keys import require_p256
from certpin.updates.wultra.listing import MAX_LIST_BYTES, read_list
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from certpin.updates.wultra.finding import Finding
    from certpin.updates.wultra.listing import Entry
    from certpin.x509.signing import Signer

_log = logging.getLogger(__name__)


class ServedList:
    """A file with a list, and the key that signs the answers.

    ``signed_by`` is the key that signed the list's entries: with it, a list that was not signed by
    it is not served. Without it, the file is believed as it is. A list that has a mistake is not
    served either; that an entry has ended is none, unless all have: the SDKs pass over it.

    Raises ``FormatError``, ``ConfigError`` or ``KeyParseError`` where the first list, or the key,
    is not to be used. Later it goes on with the list that it has, and logs why. Safe in threads.
    """

    def __init__(
        self,
        path: Path,
        signer: Signer,
        *,
        signed_by: EllipticCurvePublicKey | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        require_p256(signer)
        self.signer = signer
        self._path = path
        self._signed_by = signed_by
        self._clock = clock
        self._lock = Lock()
        self._mark = self._look()
        self._entries = self._read()

    def entries(self) -> tuple[Entry, ...]:
        """Those of the newest good list."""
        mark = self._look()
        if mark != self._mark:
            with self._lock:
                if mark != self._mark:
                    self._mark = mark
                    self._read_anew()
        return self._entries

    def _look(self) -> tuple[int, ...]:
        """What tells a file from the one that stood there before; nothing where there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def _read_anew(self) -> None:
        """A bad file is read once, not at each request."""
        try:
            self._entries = self._read()
        except CertpinError as exc:
            _log.warning(
                "%s is not served, the list before it is: %s",
                printable(str(self._path)),
                printable(str(exc)),
            )

    def _read(self) -> tuple[Entry, ...]:
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_LIST_BYTES + 1)
        except OSError as exc:
            raise FormatError(f"it cannot be read: {exc.strerror}") from exc
        for finding in self._findings(data):
            if finding.rule != "expired":
                raise ConfigError(finding.problem, key="fingerprints", fix=finding.fix)
        entries, now = read_list(data).entries, self._clock()
        if not any((end := rules.ends(entry)) and now < end for entry in entries):
            raise ConfigError("every entry has ended", key="fingerprints", fix="sign a new list")
        return entries

    def _findings(self, data: bytes) -> Iterator[Finding]:
        if self._signed_by is None:
            yield from rules.of_all(read_list(data), self._clock())
            return
        checked = check_list(data, self._signed_by, self._clock())
        yield from checked.findings
        for each in checked.entries:
            yield from each.findings
