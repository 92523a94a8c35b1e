"""Where a signed folder is put: a folder, or what fsspec can write to (S3, say).

    www, /srv/pins, file:///srv/pins     a folder; a relative one stands beside the pin file
    s3://BUCKET/PATH, gs://…, abfs://…   fsspec, with the credentials that the user has

A file is there whole or not at all: in a folder by renaming, in object storage by its nature. What
is read back is not believed: whoever can write there can have put anything there.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from certpin.errors import CertpinError, ConfigError, UpdateError
from certpin.pinfile.disk import left_overs, put
from certpin.updates.publish.storage_options import refuse_secrets
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STORAGE = "storage"  # the reason of all storage errors
_LONGEST = 300  # characters of an error text
_READ_ONLY = {"http", "https"}
_PUSHED = re.compile(
    r"timestamp\.json|[0-9]+\.(root|targets|snapshot)\.json|[0-9a-f]{64}\..+", re.ASCII
)
_ABANDONED = 3600  # seconds; no push takes that long for one file


class Storage(Protocol):
    """Files by path, such as ``metadata/1.root.json``. Raises ``UpdateError``."""

    @property
    def where(self) -> str:
        """The location, for messages."""

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """Return up to ``max_bytes`` + 1 bytes of a file, or None if it is missing."""

    def write(self, path: str, data: bytes) -> None:
        """Write a file, replacing an existing one."""

    def sweep(self) -> None:
        """Remove the temporary files of pushes that were killed an hour ago or earlier."""


class FolderStorage:
    """A local folder, for example of a web server. It is created if its parent exists."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def where(self) -> str:
        """The location, for messages."""
        return str(self._folder)

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """As in ``Storage``."""
        with reached(self.where, "read"):
            try:
                with (self._folder / path).open("rb") as file:
                    return file.read(max_bytes + 1)
            except FileNotFoundError:
                return None

    def write(self, path: str, data: bytes) -> None:
        """As in ``Storage``. Also deletes temporary files of killed pushes for this file."""
        file = self._folder / path
        with reached(self.where, "written to"):
            self._folder.mkdir(exist_ok=True)
            file.parent.mkdir(parents=True, exist_ok=True)
            known = re.compile(re.escape(file.name))
            for left in left_overs(file.parent, known, recursive=False):
                with suppress(OSError):
                    left.unlink()
            put(file, data)

    def sweep(self) -> None:
        """As in ``Storage``. Newer temporary files may belong to a running push."""
        with reached(self.where, "swept"):
            for left in left_overs(self._folder, _PUSHED):
                with suppress(OSError):
                    if time.time() - left.stat().st_mtime >= _ABANDONED:
                        left.unlink()


def open_storage(url: str, beside: Path, options: Mapping[str, Any]) -> Storage:
    """Return the storage at a URL.

    Args:
        url: a folder, or a URL that fsspec knows.
        beside: the folder that a relative ``url`` starts from.
        options: options for fsspec.

    Raises:
        ConfigError: the URL or an option is invalid.
        UpdateError: the storage had to be reached, and could not be.
    """
    refuse_secrets(options)
    if "://" not in url and url:
        return _folder(beside / url, url)
    parts = _parts(url)
    if parts.scheme in {"file", "local"}:
        if parts.netloc:  # file://www/pins is /pins of another machine (RFC 8089)
            raise _refused(url)
        return _folder(Path(unquote(parts.path)), url)
    from certpin.updates.publish.remote import open_remote

    return open_remote(url, options)


@contextmanager
def reached(where: str, what: str) -> Iterator[None]:
    """Turn every exception into an ``UpdateError``: each backend has other exceptions."""
    try:
        yield
    except CertpinError:
        raise
    except Exception as exc:
        text = (str(getattr(exc, "strerror", None) or exc) or type(exc).__name__).splitlines()[0]
        raise UpdateError(
            f"{where} cannot be {what}: {printable(text)[:_LONGEST]}",
            reason=STORAGE,
            fix=_fix(exc),
        ) from exc


def _folder(folder: Path, url: str) -> FolderStorage:
    """Return the folder. Raises ``ConfigError`` if it can't be a folder."""
    if "\0" in str(folder):
        raise _refused(url)
    with suppress(OSError):  # missing rights are reported when a file is written
        if file := next((each for each in (folder, *folder.parents) if each.is_file()), None):
            raise ConfigError(
                f"{str(file)[:_LONGEST]!r} is a file",
                key="url",
                fix="name the folder that the web server shows, as in www",
            )
    return FolderStorage(folder)


def _parts(url: str) -> Any:
    try:
        parts = urlsplit(url)
        odd = not (url.isascii() and url.isprintable()) or "::" in url or " " in url
        known = parts.scheme and (parts.netloc or parts.path) and not parts.password
    except ValueError as exc:
        raise _refused(url) from exc
    if odd or not known or parts.query or parts.fragment or parts.scheme in _READ_ONLY:
        raise _refused(url)
    return parts


def _refused(url: str) -> ConfigError:
    return ConfigError(
        f"{url.rpartition('@')[2][:80]!r} is no place to push to",
        key="url",
        fix="name the folder or the bucket behind the web server, as in www or s3://BUCKET/PATH; "
        "passwords, ? and # do not belong into it",
    )


def _fix(exc: Exception) -> str:
    if isinstance(exc, PermissionError):
        return (
            "allow the account that pushes to read and write there; on S3 that is s3:GetObject and "
            "s3:PutObject on BUCKET/PATH/*, and s3:ListBucket on BUCKET"
        )
    return "check the address, the network, the credentials and the room that is left"
