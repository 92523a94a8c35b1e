"""Read adoption from files: the curve of an app's release, and the statistics of app stores.

The curve of a release, as the app's developer writes it (days since the release, share of users):

    day,share
    0,0%
    7,55%
    30,100%

Google Play: the monthly installs report by app version, ``installs_PACKAGE_YYYYMM_app_version.csv``
(https://support.google.com/googleplay/android-developer/answer/6135870), comma-separated and in
UTF-16. Its columns ``Date``, ``Package Name``, ``App Version Code`` and ``Active Device Installs``
are read. This report names a release by its version code.

App Store Connect: the report App Sessions
(https://developer.apple.com/documentation/analytics-reports/app-sessions), tab-separated. Its
columns ``Date``, ``App Name``, ``App Version`` and ``Unique Devices`` are read. It has only the
users who share their data, and omits small numbers.

The files are untrusted: their size, their lines and each value have limits, and the first error
ends the reading with a ``FormatError`` that names the line.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from certpin.errors import FormatError, InputError
from certpin.rotation.releases import MAX_POINTS, AdoptionCurve, adoption_curve, check_name
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CURVE_BYTES = 64 * 1024  # a line of a curve has at most 30 characters
MAX_EXPORT_BYTES = 16 * 1024 * 1024  # a month of Google Play has some 100 kB
MAX_ROWS = 200_000
MAX_COLUMNS = 64
_MAX_DEVICES = 10**10
_DIGITS = re.compile(r"[0-9]{1,11}", re.ASCII)
_DAY = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}", re.ASCII)
# The columns of a day, an app, a release and a number of devices.
_GOOGLE = ("Date", "Package Name", "App Version Code", "Active Device Installs")
_APPLE = ("Date", "App Name", "App Version", "Unique Devices")
_MAX_FIELD = 200  # characters


def read_curve(data: bytes) -> AdoptionCurve:
    """Read the adoption curve of a release from CSV (RFC 4180) with the columns day and share.

    Returns:
        The share of users that have the release, by the days since it was shipped.

    Raises:
        FormatError: the data is too large, is not UTF-8 or CSV, or is not a curve.
    """
    if len(data) > MAX_CURVE_BYTES:
        raise FormatError(
            f"the curve has more than {MAX_CURVE_BYTES} bytes",
            fix=f"give up to {MAX_POINTS} days",
        )
    rows = csv_rows(decoded(data))
    if next(rows, (0, []))[1] != ["day", "share"]:
        raise FormatError("its first line is not day,share", fix="write day,share above the data")
    found = []
    for line, row in rows:
        if len(row) != 2:
            raise FormatError(f"line {line} has {len(row)} values", fix="write day,share")
        found.append((row[0], row[1]))
    try:
        return adoption_curve(found)
    except InputError as exc:
        raise FormatError(exc.problem, fix=exc.fix) from exc


@dataclass(frozen=True)
class ReleaseUsage:
    """The number of devices that had a release of an app on one day.

    Attributes:
        day: the first moment of the day, in UTC.
        app: the name of the app, or its package name.
        release: the name of the release.
        devices: the number of devices.
        whole: True if the store counts every device; False if only some users share their data.
    """

    day: datetime
    app: str
    release: str
    devices: int
    whole: bool


def read_export(data: bytes) -> tuple[ReleaseUsage, ...]:
    """Read the number of devices by release from a report of Google Play or App Store Connect.

    Rows with the same day, app and release are added up.

    Raises:
        FormatError: the data is too large, or not one of the two reports.
    """
    if len(data) > MAX_EXPORT_BYTES:
        raise FormatError(f"the report has more than {MAX_EXPORT_BYTES} bytes")
    text = decoded(data)
    first = text.partition("\n")[0]
    rows = csv_rows(text, "\t" if "\t" in first else ",")
    header = next(rows, (0, []))[1]
    columns, whole = _columns(header)
    found: dict[tuple[datetime, str, str], int] = {}
    for number, (line, row) in enumerate(rows, 1):
        if number > MAX_ROWS:
            raise FormatError(f"the report has more than {MAX_ROWS} lines")
        if len(row) != len(header):
            raise FormatError(f"line {line} has {len(row)} values, and the first {len(header)}")
        day, app, release, devices = (row[column] for column in columns)
        key = _day(day, line), _name(app, "an app", line), _name(release, "a release", line)
        found[key] = found.get(key, 0) + _devices(devices, line)
    return tuple(ReleaseUsage(*key, devices, whole) for key, devices in sorted(found.items()))


def _columns(header: list[str]) -> tuple[list[int], bool]:
    """Find the columns of a store's report: day, app, release and number of devices.

    ``header`` has the names of all columns.

    Returns:
        The indexes of these columns, and True if the report counts every device.

    Raises:
        FormatError: the report is neither that of Google Play nor that of App Store Connect.
    """
    if len(header) > MAX_COLUMNS or len(set(header)) < len(header):
        raise FormatError("its first line has too many columns, or one of them twice")
    for names, whole in ((_GOOGLE, True), (_APPLE, False)):
        if set(names) <= set(header):
            return [header.index(name) for name in names], whole
    raise FormatError(
        "it has neither the columns of Google Play's installs report by app version nor those of "
        "App Store Connect's report App Sessions",
        fix=f"export one of them; its first line has {', '.join(_GOOGLE)}, or {', '.join(_APPLE)}",
    )


def _day(text: str, line: int) -> datetime:
    try:
        if _DAY.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        pass
    raise FormatError(f"line {line}: {printable(text[:40])!r} is not a date such as 2027-01-15")


def _name(text: str, what: str, line: int) -> str:
    try:
        return check_name(text, what)
    except InputError as exc:
        raise FormatError(f"line {line}: {exc.problem}") from exc


def _devices(text: str, line: int) -> int:
    if _DIGITS.fullmatch(text) and int(text) <= _MAX_DEVICES:
        return int(text)
    raise FormatError(f"line {line}: {printable(text[:40])!r} is not a number of devices")


def decoded(data: bytes) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        FormatError: the data has neither encoding.
    """
    utf_16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as exc:
        raise FormatError("the file is not text in UTF-8", fix="export it again as CSV") from exc


def csv_rows(text: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the values of each row of a CSV text, without spaces around values.

    ``delimiter`` separates the values of a row. Empty lines are left out.

    Raises:
        FormatError: a line is not CSV, or a value is too long.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            values = [value.strip() for value in row]
            if any(len(value) > _MAX_FIELD for value in values):
                raise FormatError(f"line {reader.line_num} has a value that is too long")
            if any(values):
                yield reader.line_num, values
    except csv.Error as exc:
        raise FormatError(f"line {reader.line_num} is not CSV: {exc}") from exc
