"""The address that updates come from: pure."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, urlsplit

from certpin.errors import ConfigError, HostError
from certpin.pins import normalise


class Address(NamedTuple):
    """The address of the published folder. ``path`` ends with a slash."""

    host: str
    port: int
    path: str

    @property
    def metadata(self) -> str:
        """The path of the metadata folder, which ends with a slash."""
        return self.path + "metadata/"

    def target(self, name: str, digest: str) -> str:
        """Return the path of a target: a digest precedes the file name (TUF 1.0.31, 6.2)."""
        folder, slash, last = name.rpartition("/")
        return f"{self.path}targets/{quote(folder + slash)}{digest}.{quote(last)}"


def parse(url: str) -> Address:
    """Parse an address. Raises ``ConfigError`` if it is not a plain ``https://`` URL."""
    try:
        parts = urlsplit(url)
        host, port = normalise(parts.hostname or ""), parts.port or 443
    except (ValueError, HostError) as exc:
        raise _refused(url) from exc
    extra = parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme != "https" or extra or not (url.isascii() and url.isprintable()) or " " in url:
        raise _refused(url)
    return Address(host, port, parts.path.rstrip("/") + "/")


def _refused(url: str) -> ConfigError:
    return ConfigError(
        "updates come from an address such as https://pins.bank.example/app/",
        key="url",
        fix="write it with https://, and without name, password, ? and #",
    )
