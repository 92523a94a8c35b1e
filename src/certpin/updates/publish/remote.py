"""A storage that fsspec reaches, with the credentials that its own library finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError
from certpin.updates.publish.storage import reached
from certpin.updates.publish.storage_options import refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

# A numbered file and a target never change; the timestamp changes with each push (RFC 9111, 5.2;
# RFC 8246). no-cache: a cache may keep it, and asks each time whether it is still the newest.
FOREVER = "public, max-age=31536000, immutable"
ASK_EACH_TIME = "no-cache"
_S3 = {"s3", "s3a"}
# The file systems of fsspec itself are this machine, its memory, archives, or wrappers (dir,
# simplecache, reference …), except for these. Those of other packages are remote storage.
_LASTING = {"arrow_hdfs", "dbfs", "ftp", "hdfs", "sftp", "smb", "ssh", "webhdfs"}


def open_remote(url: str, options: Mapping[str, Any]) -> RemoteStorage:
    """Return the storage at a URL. Raises ``ConfigError`` and ``UpdateError``."""
    scheme = url.partition("://")[0]
    kind = _kind(scheme)
    if kind.__module__.partition(".")[0] == "fsspec" and scheme not in _LASTING:
        raise ConfigError(
            f"nothing that is put into {scheme}:// is there for clients",
            key="url",
            fix="name the storage that the web server shows, as in s3://BUCKET/PATH, or a folder",
        )
    refuse_unknown(scheme, kind, options)
    return RemoteStorage(url, options)


class RemoteStorage:
    """Files below a URL.

    Raises:
        ConfigError: fsspec, or its package for the scheme, is missing.
        UpdateError: the storage can't be reached.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url = url.rstrip("/")
        self._scheme = url.partition("://")[0]
        self._fs, self._root = _opened(self._url, options)

    @property
    def where(self) -> str:
        """The location, for messages."""
        return self._url

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """As in ``Storage``."""
        with reached(self._url, "read"):
            try:
                with self._fs.open(f"{self._root}/{path}", "rb") as file:
                    data: bytes = file.read(max_bytes + 1)
                    return data
            except FileNotFoundError:
                return None

    def write(self, path: str, data: bytes) -> None:
        """As in ``Storage``. Object storage needs no folders."""
        with reached(self._url, "written to"):
            self._fs.pipe_file(f"{self._root}/{path}", data, **self._headers(path))

    def sweep(self) -> None:
        """As in ``Storage``. Object storage holds no partial files (it has uploads that expire)."""

    def _headers(self, path: str) -> dict[str, str]:
        """Return the headers that S3 sends with a file (PutObject), if this is S3."""
        if self._scheme not in _S3:
            return {}
        json = path.endswith(".json") and path.startswith("metadata/")
        return {
            "CacheControl": ASK_EACH_TIME if path.endswith("/timestamp.json") else FOREVER,
            "ContentType": "application/json" if json else "application/octet-stream",
        }


def _kind(scheme: str) -> type:
    """Return the class of fsspec for a scheme."""
    try:
        from fsspec.registry import get_filesystem_class  # type: ignore[import-untyped]  # no types
    except ModuleNotFoundError as exc:
        raise _missing("fsspec", "pip install 'certpin[publish]'") from exc
    try:
        kind: type = get_filesystem_class(scheme)
    except ImportError as exc:
        raise _no_part(exc) from exc
    except ValueError as exc:
        raise ConfigError(
            f"{scheme}:// is not known", key="url", fix="s3://BUCKET/PATH, or a folder"
        ) from exc
    return kind


def _opened(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # it ships no types

    # Cached listings would be outdated, and a cached instance may have other credentials.
    fresh = {"use_listings_cache": False, "skip_instance_cache": True}
    with reached(url, "reached"):  # some connect at once
        try:
            fs, root = url_to_fs(url, **options, **fresh)
        except ImportError as exc:
            raise _no_part(exc) from exc
        except (TypeError, ValueError, KeyError) as exc:
            raise ConfigError(
                f"{url} cannot be used: {exc}"[:300], key="url", fix="check url and [storage]"
            ) from exc
    return fs, str(root).rstrip("/")


def _no_part(exc: ImportError) -> ConfigError:
    return _missing("what fsspec needs for it", f"{exc}".partition("\n")[0][:200])


def _missing(what: str, fix: str) -> ConfigError:
    return ConfigError(f"{what} is missing", key="url", fix=fix)
