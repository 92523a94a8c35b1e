"""Read the signed files in ``publish/site``, without the package ``tuf``.

Rotations need two facts about them: when clients can't fetch a version any more, and which versions
were signed. The files are not verified here, because ``certpin publish`` does that. So anyone with
write access can have written them: each value is used only after its type was checked.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from certpin.errors import ConfigError
from certpin.pinfile.file import MAX_PIN_FILE_BYTES, load_toml, read_regular, read_text
from certpin.support.files import is_plain
from certpin.support.text import printable
from certpin.updates.settings import PIN_FILE, Limits, target_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MAX_METADATA = Limits.targets  # bytes of the largest metadata file that clients accept
_MAX_NUMBER = 2**53  # JSON parsers round a higher one (RFC 8259, section 6)
_EXPIRES = "%Y-%m-%dT%H:%M:%SZ"  # TUF 1.0.34, section 4.2.1
_ROOT_FILE = re.compile(r"([0-9]{1,19})\.root\.json", re.ASCII)  # TUF 1.0.34, section 4.6
_TARGETS_FILE = re.compile(r"[0-9]{1,19}\.targets\.json", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SIGNED_PIN_FILE = re.compile(r"[0-9a-f]{64}\.pins\.toml", re.ASCII)  # in publish/site/targets

_Result = TypeVar("_Result")


class DamagedFileError(ValueError):
    """A signed file is missing or no JSON, or a value is missing, of the wrong type or too high."""


def signatures_expiry(site: Path) -> datetime | None:
    """Return when the first of the signed files for clients expires.

    Args:
        site: the folder ``publish/site``.

    Returns:
        The time; None if nothing is signed.

    Raises:
        ConfigError: a file can't be read, so that the time is unknown.
    """
    return _read_metadata(site, lambda found: min(_expiry(each) for each in found))


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
    """Return the version of the pin set that signed metadata name.

    ``parts`` are the signed parts of the metadata, from ``signed_parts``.

    Raises:
        DamagedFileError: the metadata have no version.
    """
    return _version_in_targets(parts[2])


def _version_in_targets(part: dict[str, Any]) -> int:
    targets = table_in(part, "targets").values()
    if not targets:
        raise DamagedFileError("the targets metadata name no file")
    return max(version_in(each, "custom", "version") for each in targets)


def signed_parts(read: Callable[[str], bytes | None]) -> list[dict[str, Any]]:
    """Return the signed parts of timestamp, snapshot and targets metadata, which are not verified.

    Args:
        read: returns the content of a file, by its name in the folder ``metadata``; None if the
            file is missing.

    Raises:
        DamagedFileError: a file is missing or damaged.
    """
    timestamp = _signed_part("timestamp.json", read)
    number = version_in(timestamp, "meta", "snapshot.json", "version")
    snapshot = _signed_part(f"{number}.snapshot.json", read)
    number = version_in(snapshot, "meta", "targets.json", "version")
    return [timestamp, snapshot, _signed_part(f"{number}.targets.json", read)]


def table_in(data: object, *keys: str) -> dict[str, Any]:
    """Return the table (JSON object) at the end of a path of keys.

    Args:
        data: the data of a JSON or TOML file, which can be of any type.
        keys: the keys from the outermost table to the innermost one.

    Raises:
        DamagedFileError: a key is missing, or a value on the path is not a table.
    """
    if keys:
        data = table_in(data, *keys[:-1]).get(keys[-1])
    if not isinstance(data, dict):
        raise DamagedFileError(f"{'.'.join(keys) or 'the content'} is missing, or is no table")
    return data


def version_in(data: object, *keys: str) -> int:
    """Return the version number at the end of a path of keys, which is from 1 to 2**53.

    Args:
        data: the data of a JSON or TOML file, which can be of any type.
        keys: the keys from the outermost table to the number.

    Raises:
        DamagedFileError: there is no such number. A float or a bool is none.
    """
    number = table_in(data, *keys[:-1]).get(keys[-1])
    if type(number) is not int or not 0 < number <= _MAX_NUMBER:
        raise DamagedFileError(f"{'.'.join(keys)} is not a whole number from 1 to 2**53")
    return number


def _expiry(part: object) -> datetime:
    """Return the time at which the signed part of a metadata file expires."""
    text = table_in(part).get("expires")
    if not isinstance(text, str):
        raise DamagedFileError("expires is not a text")
    try:
        return datetime.strptime(text, _EXPIRES).replace(tzinfo=UTC)
    except ValueError as exc:
        raise DamagedFileError("expires is not a time in UTC") from exc


def _signed_part(name: str, read: Callable[[str], bytes | None]) -> dict[str, Any]:
    """Return the signed part of a metadata file. Each error names the file.

    ``read`` returns the content of a file by its ``name``; ``None`` if the file is missing.
    """
    data = read(name)
    if data is None:
        raise DamagedFileError(f"{name} is missing")
    try:
        return table_in(json.loads(data), "signed")
    except DamagedFileError as exc:
        raise DamagedFileError(f"{name}: {exc}") from exc
    except (ValueError, RecursionError) as exc:  # ValueError: also a number of 5000 digits
        raise DamagedFileError(f"{name} is not JSON") from exc


def _metadata_reader(site: Path) -> Callable[[str], bytes]:
    """Return a function that reads a metadata file in ``site`` by its name.

    ``site`` is the folder ``publish/site``. The function raises ``OSError``.
    """
    return lambda name: read_regular(site / "metadata" / name, MAX_METADATA)


def _read_metadata(site: Path, value: Callable[[list[dict[str, Any]]], _Result]) -> _Result | None:
    """Return a value of the signed metadata; None if nothing is signed.

    Args:
        site: the folder ``publish/site``.
        value: returns the value from the signed parts of timestamp, snapshot, targets and root.

    Raises:
        ConfigError: a file can't be read, or lacks the value.
    """
    folder, read = site / "metadata", _metadata_reader(site)
    try:
        parts = signed_parts(read)
        numbers = (_ROOT_FILE.fullmatch(path.name) for path in folder.iterdir())
        newest = max((int(number[1]) for number in numbers if number), default=1)
        return value([*parts, _signed_part(f"{newest}.root.json", read)])
    except (OSError, DamagedFileError) as exc:
        if not (folder / "timestamp.json").exists():
            return None
        raise _unreadable(folder, exc) from exc


def signed_versions(site: Path) -> list[int]:
    """Return the numbers of all versions that were signed, in ascending order.

    Signed files stay in ``targets`` when later versions are signed. They are not verified here:
    their numbers only show that the journal lacks versions.

    Args:
        site: the folder ``publish/site``.

    Raises:
        ConfigError: a file can't be read, so that its version is unknown.
    """
    return sorted({_version_in_file(path) for path in _signed_pin_files(site)})


def signed_files(site: Path, number: int) -> list[dict[str, Path]]:
    """Return the files of each signed pin set with a version number. One is usual.

    They are not verified.

    Args:
        site: the folder ``publish/site``.
        number: the number of the version.

    Returns:
        For each set, the paths of its files by their names beside the pin file: ``pins.toml``, and
        the files that it names, such as those of trust anchors.

    Raises:
        ConfigError: the metadata of a set can't be read, so that its version is unknown.
    """
    folder, read = site / "metadata", _metadata_reader(site)
    if not folder.is_dir():
        return []
    found = []
    try:
        for path in sorted(folder.iterdir()):
            if _TARGETS_FILE.fullmatch(path.name):
                part = _signed_part(path.name, read)
                if _version_in_targets(part) == number:
                    found.append(_files_of(site, part))
    except (OSError, DamagedFileError) as exc:
        raise _unreadable(folder, exc) from exc
    return found


def _files_of(site: Path, targets: dict[str, Any]) -> dict[str, Path]:
    """Return the paths of the files that targets metadata name, by their names.

    Args:
        site: the folder ``publish/site``.
        targets: the signed part of the metadata.
    """
    from certpin.formats.flutter.published import PINS_JSON  # follows from the pin file

    found = {}
    for name, each in table_in(targets, "targets").items():
        digest = table_in(each, "hashes").get("sha256")
        if not is_plain(name) or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise DamagedFileError("the targets metadata name a file in another way than TUF")
        if name != PINS_JSON:
            found[name] = site / target_path(name, digest)
    if PIN_FILE not in found:
        raise DamagedFileError(f"the targets metadata name no {PIN_FILE}")
    return found


def has_content(path: Path, signed: Path) -> bool:
    """Return True if a file has the content of a signed file.

    If not, the pin file's version must not be recorded: clients may have the signed content under
    this number.

    Args:
        path: the file beside the pin file. If it can't be read, the result is False.
        signed: the signed file.

    Raises:
        ConfigError: the signed file can't be read.
    """
    try:
        wanted = read_regular(signed, MAX_PIN_FILE_BYTES)
    except OSError as exc:
        raise _unreadable(signed, exc) from exc
    try:
        return read_regular(path, MAX_PIN_FILE_BYTES) == wanted
    except OSError:
        return False


def _signed_pin_files(site: Path) -> list[Path]:
    """Return the file paths of all signed pin files in ``site``, the folder ``publish/site``."""
    folder = site / "targets"
    if not folder.is_dir():
        return []
    try:
        return [path for path in folder.iterdir() if _SIGNED_PIN_FILE.fullmatch(path.name)]
    except OSError as exc:
        raise _unreadable(folder, exc) from exc


def _version_in_file(path: Path) -> int:
    """Return the version of a signed pin file, which is not verified."""
    try:
        return version_in(load_toml(read_text(path), path), "version")
    except (ConfigError, DamagedFileError) as exc:
        raise _unreadable(path, exc) from exc


def _unreadable(path: Path, exc: Exception) -> ConfigError:
    """Return an error for a file or folder in ``publish/site`` that can't be read.

    ``exc`` is the reason.
    """
    fault = getattr(exc, "problem", None) or str(exc) or type(exc).__name__
    return ConfigError(
        f"{path} can't be read: {printable(fault)}",
        key="publish/site",
        fix="restore it (git checkout); it is checked by certpin publish status",
    )
