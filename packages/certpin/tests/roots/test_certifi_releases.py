"""The script that reads the roots of all releases of certifi, run on small wheels, offline."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from certpin.lab import Authority
from certpin.x509 import Certificate
from scripts import certifi_releases
from scripts.certifi_releases import fetch_releases, release_day, short_name
from scripts.debian_pythons import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path


class _Registry:
    """A replacement for the function that runs pip, with three versions of certifi to download.

    Args:
        wheels: the versions that can be downloaded; the download of another one fails.
    """

    def __init__(self, *wheels: str) -> None:
        self.wheels = wheels
        self.downloaded: list[str] = []

    def __call__(self, argv: list[str], problem: str, folder: Path | None = None) -> str:
        if "index" in argv:
            return "certifi (2021.2.3)\nAvailable versions: 2021.2.3, 2020.11.2, 2015.4.28\n"
        version = argv[-1].removeprefix("certifi==")
        if version not in self.wheels:
            raise UnavailableError(problem)
        self.downloaded.append(version)
        _write_wheel(argv[argv.index("-d") + 1], version)
        return ""


def _write_wheel(folder: Path | str, version: str) -> None:
    with ZipFile(f"{folder}/certifi-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("certifi/cacert.pem", Authority(version).pem)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(certifi_releases, "HOME", tmp_path)
    return tmp_path / "certifi"


def test_only_missing_wheels_are_downloaded(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    home.mkdir()
    _write_wheel(home, "2015.04.28")  # another spelling of the same version
    pip = _Registry("2021.2.3", "2020.11.2")
    monkeypatch.setattr(certifi_releases, "run_program", pip)
    releases = fetch_releases()
    assert pip.downloaded == ["2021.2.3", "2020.11.2"]
    assert [release.version for release in releases] == ["2015.04.28", "2020.11.2", "2021.2.3"]
    assert [short_name(*release.roots) for release in releases[1:]] == ["2020.11.2", "2021.2.3"]


def test_a_release_that_cannot_be_downloaded_ends_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise the roots that the missing newest release removed would be recorded as trusted."""
    monkeypatch.setattr(certifi_releases, "run_program", _Registry("2020.11.2", "2015.4.28"))
    with pytest.raises(UnavailableError, match=r"certifi 2021\.2\.3"):
        fetch_releases()


@pytest.mark.parametrize(
    ("version", "day"), [("2015.04.28", date(2015, 4, 28)), ("2022.5.18.1", date(2022, 5, 18))]
)
def test_the_version_of_certifi_is_its_day(version: str, day: date) -> None:
    assert release_day(version, date(2000, 1, 1)) == day


_COMMON, _UNIT = NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ([(_UNIT, "Public Roots"), (_COMMON, "One, Root")], "One, Root"),
        ([(_UNIT, "GlobalSign Root CA - R3"), (_COMMON, "GlobalSign")], "GlobalSign Root CA - R3"),
        ([(_UNIT, "Class 2"), (_UNIT, "Second unit")], "Class 2"),
        ([(NameOID.ORGANIZATION_NAME, "Government")], "O=Government"),
    ],
)
def test_the_short_name_of_a_root_distinguishes_it(
    subject: list[tuple[x509.ObjectIdentifier, str]], name: str
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    full = x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])
    begin, end = datetime(2010, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(full, full, key.public_key(), 1, begin, end)
    der = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    assert short_name(Certificate.from_der(der)) == name
