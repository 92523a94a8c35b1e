"""Where a signed folder is put: a folder, or what fsspec can write to (S3, say).

    www, /srv/pins, file:///srv/pins     a folder; a relative one stands beside the pin file
    s3://BUCKET/PATH, gs://…, abfs://…   fsspec, with the credentials that the user has

A file is there whole or not at all: in a folder by renaming, in object storage by its nature. What
is read back is not believed: whoever can write there can have put anything there.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from certpin.errors import CertpinError, ConfigError, UpdateError
from certpin.pinfile.writing import put
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STORAGE = "storage"  # the reason of every error of a storage
_LONGEST = 300  # characters of what a storage says
_SECRET = (
    "secret",
    "token",
    "pass",
    "credential",
    "account_key",
    "sas",
    "connection_string",
    "customerkey",
)
_READ_ONLY = {"http", "https"}


class Storage(Protocol):
    """Files by their paths, such as ``metadata/1.root.json``. Raises ``UpdateError``."""

    @property
    def where(self) -> str:
        """The place, for people."""

    def read(self, path: str, most: int) -> bytes | None:
        """A file, up to ``most`` bytes and one more; ``None`` where there is none."""

    def write(self, path: str, data: bytes) -> None:
        """Put a file there, in the place of one that is there."""


class Folder:
    """A folder of this machine, which a web server shows, say. It is made if its parent exists."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def where(self) -> str:
        """The place, for people."""
        return str(self._folder)

    def read(self, path: str, most: int) -> bytes | None:
        """As in ``Storage``."""
        with reached(self.where, "read"):
            try:
                with (self._folder / path).open("rb") as file:
                    return file.read(most + 1)
            except FileNotFoundError:
                return None

    def write(self, path: str, data: bytes) -> None:
        """As in ``Storage``. What was left by a push that was killed is swept away."""
        file = self._folder / path
        with reached(self.where, "written to"):
            self._folder.mkdir(exist_ok=True)
            file.parent.mkdir(parents=True, exist_ok=True)
            for left in file.parent.glob(f".{escape(file.name)}.*"):
                with suppress(OSError):
                    left.unlink()
            put(file, data)


def open_storage(url: str, beside: Path, options: Mapping[str, Any]) -> Storage:
    """The storage of a URL. A folder is relative to ``beside``; ``options`` are for fsspec.

    Raises ``ConfigError``, and ``UpdateError`` where it has to be reached for that, and is not.
    """
    if "://" not in url and url:
        return Folder(beside / url)
    parts = _parts(url)
    if parts.scheme in {"file", "local"}:
        return Folder(Path(unquote(parts.path)))
    _refuse_secrets(options)
    from certpin.updates.publish.remote import Remote

    return Remote(url, options)


@contextmanager
def reached(where: str, what: str) -> Iterator[None]:
    """Let whatever is raised become an ``UpdateError``: each backend has errors of its own."""
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


def _refuse_secrets(options: Any, key: str = "storage") -> None:
    """publish.toml is in version control: its readers are not those who may push."""
    for name, value in options.items():
        word = str(name).lower()
        if word == "key" or any(each in word for each in (*_SECRET, "access_key")):
            raise ConfigError(
                "secrets do not belong into publish.toml",
                key=f"{key}.{name}",
                fix="give it in the way of your storage: for S3 the environment "
                "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), AWS_PROFILE or the machine's role",
            )
        if isinstance(value, dict):
            _refuse_secrets(value, f"{key}.{name}")


def _fix(exc: Exception) -> str:
    if isinstance(exc, PermissionError):
        return (
            "let whoever pushes read and write there; on S3 that is s3:GetObject and s3:PutObject "
            "on BUCKET/PATH/*, and s3:ListBucket on BUCKET"
        )
    return "check the address, the network, the credentials and the room that is left"
