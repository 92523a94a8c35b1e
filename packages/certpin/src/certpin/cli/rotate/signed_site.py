"""Read the signed files in ``publish/site``, without the package ``tuf``.

Rotations need two facts about them: when clients can't fetch a version any more, and which versions
were signed. The files are not verified here, because ``certpin publish`` does that.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import tomli

from certpin.errors import ConfigError
from certpin.pinfile.file import MAX_PIN_FILE_BYTES, read_regular
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MAX_METADATA = 512 * 1024  # bytes, as clients accept
_MAX_NUMBER = 2**53  # JSON parsers round a higher one (RFC 8259, section 6)
# The errors of `signed_parts` and of its caller if the files are damaged.
UNREADABLE = (OSError, ValueError, TypeError, LookupError, OverflowError, RecursionError)
_ROOT_FILE = re.compile(r"([0-9]{1,19})\.root\.json", re.ASCII)  # TUF 1.0.34, section 4.6
_SIGNED_PIN_FILE = re.compile(r"[0-9a-f]{64}\.pins\.toml", re.ASCII)  # in publish/site/targets

_Result = TypeVar("_Result")


def signatures_expiry(site: Path) -> datetime | None:
    """Return when the first of the signed files for clients expires.

    Args:
        site: the folder ``publish/site``.

    Returns:
        The time; None if nothing is signed.

    Raises:
        ConfigError: a file can't be read, so that the time is unknown.
    """
    return _read_metadata(
        site,
        lambda found: min(
            datetime.fromisoformat(each["expires"]).astimezone(UTC) for each in found
        ),
    )


def version_in_site(site: Path) -> int | None:
    """Return the version of the signed pin set, which a push would upload.

    Args:
        site: the folder ``publish/site``.

    Returns:
        The version number; None if nothing is signed.

    Raises:
        ConfigError: a file can't be read, so that the version is unknown.
    """
    return _read_metadata(site, version_of)


def version_of(parts: Sequence[dict[str, Any]]) -> int:
    """Return the version of the pin set in the metadata of ``signed_parts``.

    Raises:
        OSError, ValueError and others of ``UNREADABLE``: the metadata have no version.
    """
    number = max(int(each["custom"]["version"]) for each in parts[2]["targets"].values())
    if number > _MAX_NUMBER:
        raise OverflowError("the version has too many digits")
    return number


def signed_parts(read: Callable[[str], bytes | None]) -> list[dict[str, Any]]:
    """Return the signed parts of timestamp, snapshot and targets metadata, which are not verified.

    Args:
        read: returns the content of a file, by its name in the folder ``metadata``.

    Raises:
        OSError, ValueError and others of ``UNREADABLE``: a file is missing or damaged.
    """

    def part(name: str) -> dict[str, Any]:
        signed: dict[str, Any] = json.loads(read(name) or b"")["signed"]
        return signed

    timestamp = part("timestamp.json")
    snapshot = part(f"{timestamp['meta']['snapshot.json']['version']:d}.snapshot.json")
    targets = part(f"{snapshot['meta']['targets.json']['version']:d}.targets.json")
    return [timestamp, snapshot, targets]


def _read_metadata(site: Path, value: Callable[[list[dict[str, Any]]], _Result]) -> _Result | None:
    """Return a value of the signed metadata; None if nothing is signed.

    Args:
        site: the folder ``publish/site``.
        value: returns the value from the signed parts of timestamp, snapshot, targets and root.

    Raises:
        ConfigError: a file can't be read, or lacks the value.
    """
    folder = site / "metadata"

    def read(name: str) -> bytes:
        return read_regular(folder / name, MAX_METADATA)

    try:
        parts = signed_parts(read)
        numbers = (_ROOT_FILE.fullmatch(path.name) for path in folder.iterdir())
        newest = max((int(number[1]) for number in numbers if number), default=1)
        return value([*parts, json.loads(read(f"{newest}.root.json"))["signed"]])
    except UNREADABLE as exc:
        if not (folder / "timestamp.json").exists():
            return None
        raise ConfigError(
            f"{folder} can't be read: {printable(str(exc)) or type(exc).__name__}",
            key="publish/site",
            fix="restore it (git checkout); it is checked by certpin publish status",
        ) from exc


def signed_versions(site: Path) -> list[int]:
    """Return the numbers of all versions that were signed, in ascending order.

    Signed files stay in ``targets`` when later versions are signed. They are not verified here:
    their numbers only show that the journal lacks versions.

    Args:
        site: the folder ``publish/site``.

    Raises:
        ConfigError: a file can't be read, so that its version is unknown.
    """
    folder = site / "targets"
    if not folder.is_dir():
        return []
    try:
        files = [path for path in folder.iterdir() if _SIGNED_PIN_FILE.fullmatch(path.name)]
        texts = [read_regular(path, MAX_PIN_FILE_BYTES).decode() for path in files]
        return sorted({int(tomli.loads(text)["version"]) for text in texts})
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as exc:
        raise ConfigError(
            f"{folder} can't be read: {exc}",
            key="publish/site",
            fix="restore it (git checkout); it is checked by certpin publish status",
        ) from exc
