"""Read the root certificates in every release of certifi that has a wheel (from 1.0.1, 2014).

pip downloads the wheels; no code in them is run. A release that can't be downloaded ends the
program: without the newest release, roots that it removed would count as present.
"""

from __future__ import annotations

import re
import sys
import warnings
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

from cryptography.x509.oid import NameOID

from certpin.pins import pins_of
from certpin.x509.certificate import read_certificates
from scripts.console import say
from scripts.debian_pythons import run_program

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.x509 import Certificate

HOME = Path(".venvs/roots")
_CALENDAR_VERSION = re.compile(r"(20\d\d)\.(\d{1,2})\.(\d{1,2})")


@dataclass(frozen=True)
class Release:
    """A release of certifi: its date, its version, and the root certificates that it contains."""

    day: date
    version: str
    roots: tuple[Certificate, ...]


def fetch_releases() -> list[Release]:
    """Download the wheels of certifi that are not below .venvs/roots yet, and read all of them.

    Returns:
        The releases, the oldest first.

    Raises:
        UnavailableError: a wheel, or the list of releases, can't be downloaded.
    """
    pip = [sys.executable, "-m", "pip"]
    wheels = ["--only-binary", ":all:"]  # building a source archive would run its code
    listed = run_program([*pip, "index", "versions", *wheels, "certifi"], "certifi is unknown")
    (line,) = (line for line in listed.splitlines() if line.startswith("Available versions:"))
    folder = (HOME / "certifi").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    say("reading the releases of certifi")
    have = {_numbers(path.name.split("-")[1]) for path in folder.glob("*.whl")}
    for version in line.partition(":")[2].replace(" ", "").split(","):
        if _numbers(version) not in have:
            words = ["download", "-q", "--no-deps", *wheels, "-d", str(folder)]
            run_program([*pip, *words, f"certifi=={version}"], f"certifi {version}")
    return read_releases(folder)


def read_releases(folder: Path) -> list[Release]:
    """Read every certifi wheel in a folder, and return the releases, the oldest first."""
    return ordered(_read_wheel(path) for path in folder.glob("certifi-*.whl"))


def ordered(releases: Iterable[Release]) -> list[Release]:
    """Return the releases sorted by date and then by version, the oldest first."""
    return sorted(releases, key=lambda each: (each.day, _numbers(each.version)))


def release_day(version: str, newest_file: date) -> date:
    """Return the date of a release of certifi.

    A version such as ``2026.10.19`` contains the date. The first releases have other versions; for
    those, the date is ``newest_file``, the time of the certificate file in the wheel.
    """
    match = _CALENDAR_VERSION.match(version)
    return date(*map(int, match.groups())) if match else newest_file


def pin_of(certificate: Certificate) -> str:
    """Return the pin of a certificate's key (RFC 7469 section 2.4), as ``sha256/BASE64``."""
    return str(pins_of(certificate)[0])


@cache
def short_name(certificate: Certificate) -> str:
    """Return the common name of a root, else its organizational unit, else its whole subject.

    Five roots of GlobalSign have the common name ``GlobalSign``, which is skipped: their units
    differ.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some names of old roots are too long
        subject = certificate.parsed.subject
    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME):
        for attribute in subject.get_attributes_for_oid(oid)[:1]:
            if attribute.value not in {"", "GlobalSign"}:
                return str(attribute.value)
    return certificate.subject


def _read_wheel(path: Path) -> Release:
    version = path.name.split("-")[1]
    with ZipFile(path) as wheel:
        (bundle,) = (each for each in wheel.infolist() if each.filename.endswith("cacert.pem"))
        day = release_day(version, date(*bundle.date_time[:3]))
        return Release(day, version, read_certificates(wheel.read(bundle)))


def _numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers, for sorting: 2026.10.19.post1 is (2026, 10, 19, 1)."""
    return tuple(int(number) for number in re.findall(r"\d+", version))
