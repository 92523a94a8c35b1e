"""Read and write ``publish.toml``: the destination of pushes, and the lifetimes of signatures."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError, PinFileError
from certpin.pinfile.file import Table, load_toml, locate_errors
from certpin.publish.storage import check_url
from certpin.updates.settings import parse_folder_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ROLES = ("root", "targets", "snapshot", "timestamp")

# Days until a signature expires. With a shorter time, clients notice sooner that an attacker
# withholds newer files; with a longer time, the keys are needed less often.
DEFAULT_DAYS: Mapping[str, int] = {"root": 365, "targets": 90, "snapshot": 14, "timestamp": 3}
MOST_DAYS = 3650  # a later date would protect against nothing
_MOST_BYTES = 64 * 1024
_KNOWN = {"url", "fetch_url", "flutter", "expires", "storage"}

_TEXT = """\
# How signed pin sets are published (certpin publish). The page "Publish signed pin sets" of
# the documentation describes it.

# The destination of `certpin publish push`: a folder, relative to that of the pin file, or
# s3://BUCKET/PATH, or another URL that fsspec knows.
{url}

# The https:// URL that clients fetch the sets from. The steps of a rotation compare the clock of
# this machine with that of its server.
{fetch_url}

# Whether Flutter apps follow these sets: they read pins.json, which is signed beside pins.toml.
flutter = {flutter}

# Days until a signature expires. Each command of `certpin publish` renews metadata with less than a
# third of that left, if it is given the key.
[expires]
{expires}
"""
_NO_URL = '# url = "www"'
_NO_FETCH_URL = '# fetch_url = "https://pins.bank.example/"'


@dataclass(frozen=True)
class PublishSettings:
    """The settings in ``publish.toml``.

    Attributes:
        url: the folder or URL that ``certpin publish push`` uploads to; ``None`` if not set.
        fetch_url: the ``https://`` URL that clients fetch signed pin sets from; ``None`` if
            unknown.
        days: the lifetime in days of the signatures of each TUF role.
        storage: the options of ``[storage]`` for fsspec, unchanged.
        flutter: True to sign also ``pins.json``, for Flutter apps.
    """

    url: str | None = None
    days: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_DAYS))
    storage: Mapping[str, Any] = field(default_factory=dict)
    flutter: bool = True
    fetch_url: str | None = None

    def life(self, role: str) -> timedelta:
        """Return the lifetime (timedelta) of the signatures of a TUF role, such as ``targets``."""
        return timedelta(days=self.days[role])


def load(path: Path) -> PublishSettings:
    """Read ``publish.toml``. Raises ``PinFileError`` if it is missing or invalid."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        text = data.decode()
    except FileNotFoundError as exc:
        raise PinFileError(
            "there is none: nothing is published from here",
            path=path,
            fix="begin with certpin publish init",
        ) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise PinFileError(f"it cannot be read: {exc}", path=path) from exc
    if len(data) > _MOST_BYTES:
        raise PinFileError(f"it has more than {_MOST_BYTES} bytes", path=path)
    with locate_errors(text, path):
        return _settings(Table(load_toml(text, path)))


def text_of(settings: PublishSettings) -> str:
    """Return the text of a new ``publish.toml`` with these settings and explaining comments."""
    url = _line("url", settings.url) or _NO_URL
    fetch_url = _line("fetch_url", settings.fetch_url) or _NO_FETCH_URL
    expires = "\n".join(f"{role} = {days}" for role, days in settings.days.items())
    flutter = str(settings.flutter).lower()
    return _TEXT.format(url=url, fetch_url=fetch_url, flutter=flutter, expires=expires)


def _line(key: str, value: str | None) -> str:
    """Return the line ``key = value`` in TOML; an empty text if the value is None."""
    import tomlkit

    return "" if value is None else f"{key} = {tomlkit.item(value).as_string()}"


def check_days(role: str, days: int) -> int:
    """Return ``days`` if it is a valid lifetime for the signatures of this TUF role.

    Raises ``ConfigError`` if the role is unknown, or the lifetime too short or too long.
    """
    if role not in ROLES or not 1 <= days <= MOST_DAYS:
        raise ConfigError(
            "a role and its days are wrong",
            key=f"expires.{role}",
            fix=f"one of {', '.join(ROLES)}, and 1 to {MOST_DAYS} days",
        )
    return days


def _settings(top: Table) -> PublishSettings:
    if unknown := sorted(top.data.keys() - _KNOWN):
        raise ConfigError(
            "this is not known here", key=unknown[0], fix=f"known are {', '.join(sorted(_KNOWN))}"
        )
    storage, expires = top.table("storage"), top.table("expires")
    days = dict(DEFAULT_DAYS)
    if expires is not None:
        days |= {role: check_days(role, expires.integer(role)) for role in expires.data}
    url = check_url(top.text("url")) if "url" in top.data else None
    flutter = top.flag("flutter", default=True)
    fetch_url = _check_fetch_url(top.text("fetch_url")) if "fetch_url" in top.data else None
    return PublishSettings(url, days, storage.data if storage else {}, flutter, fetch_url)


def _check_fetch_url(url: str) -> str:
    """Return ``url`` if clients accept it as the URL of their updates.

    Raises ``ConfigError`` otherwise, without the URL: it may contain a password.
    """
    try:
        parse_folder_url(url)
    except ConfigError as exc:
        raise ConfigError(exc.problem, key="fetch_url", fix=exc.fix) from exc
    return url
