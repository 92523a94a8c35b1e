"""The bundled data about public roots: removals, distrust and expiry, as in real releases.

Each fact is reported from the day of its publication on, and not before.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import certifi

from certpin.pins import Pin, pins_of
from certpin.roots import Announcement, RootData, ScheduledRemoval, load_data
from certpin.x509.certificate import read_certificates

DAY = timedelta(days=1)
TODAY = date(2026, 11, 28)

REMOVED_2025 = {
    "AAA Certificate Services": "d7a7a0fb5d7e2731d771e9484ebcdef71d5f0c3e0a2948782bc83ee0ea699ef4",
    "Baltimore CyberTrust Root": "16af57a9f676b0ab126095aa5ebadef22ab31119d644ac95cd4b93dbf3f26aeb",
    "Entrust.net Certification Authority (2048)": (
        "6dc47172e01cbcb0bf62580d895fe2b8ac9ad4f873801e0c10b9c837d21eb177"
    ),
    "GlobalSign Root CA": "ebd41040e4bb3ec742c9e381d31ef2a41a48b6685c96e7cef3c1df6cd4331c99",
    "Go Daddy Class 2 Certification Authority": (
        "c3846bf24b9e93ca64274c0ec67c1ecc5e024ffcacd2d74019350e81fe546ae4"
    ),
    "Starfield Class 2 Certification Authority": (
        "1465fa205397b876faa6f0a9958e5590e40fcc7faa4fb7c2c8677521fb5fb658"
    ),
    "XRamp Global Certification Authority": (
        "cecddc905099d8dadfc5b1d209b737cbe2c18cfb2c10c0ff0bcf0d3286fc1aa2"
    ),
}
REMOVED_2026 = {
    "COMODO Certification Authority",
    "Certigna",
    "DigiCert Assured ID Root CA",
    "DigiCert Global Root CA",
    "DigiCert High Assurance EV Root CA",
    "FIRMAPROFESIONAL CA ROOT-A WEB",
    "GTS Root R2",
    "QuoVadis Root CA 2",
    "QuoVadis Root CA 3",
    "Secure Global CA",
    "SecureTrust CA",
    "SwissSign Gold CA - G2",
    "TeliaSonera Root CA v1",
    "Trustwave Global Certification Authority",
    "Trustwave Global ECC P256 Certification Authority",
    "Trustwave Global ECC P384 Certification Authority",
    "certSIGN ROOT CA",
}


def _pin(name: str) -> Pin:
    (root,) = (root for root in load_data().roots.values() if root.name == name)
    return root.pin


def _kinds(name: str, today: date, data: RootData | None = None) -> dict[str, date]:
    return {each.kind: each.day for each in (data or load_data()).facts(_pin(name), today)}


def _removed_in(release: str) -> set[str]:
    return {root.name for root in load_data().roots.values() if root.removed_in == release}


def test_all_roots_that_mozilla_removed_in_april_2026_are_known() -> None:
    """The recorded day is that of certifi's release, a week after Mozilla's removal took effect."""
    assert _removed_in("2026.4.22") == REMOVED_2026
    assert len(REMOVED_2026) == 17
    for name in REMOVED_2026:
        assert _kinds(name, TODAY)["removed"] == date(2026, 4, 22)
        assert "removed" not in _kinds(name, date(2026, 4, 21))


def test_all_roots_that_mozilla_removed_in_april_2025_are_known() -> None:
    assert _removed_in("2025.4.26") == REMOVED_2025.keys()
    for name, digest in REMOVED_2025.items():
        root = load_data().root_of(Pin("cert-sha256", bytes.fromhex(digest)))
        assert root is not None
        assert root.name == name
        assert root.removed_on(date(2025, 4, 26)) == date(2025, 4, 26)


def test_every_root_of_the_installed_certifi_is_in_the_data() -> None:
    """The data's active roots are those of the installed certifi, with the right pins and dates."""
    text = Path(certifi.where()).read_bytes()
    data = load_data()
    installed = read_certificates(text)
    for certificate in installed:
        key, whole = pins_of(certificate)
        root = data.roots[key]
        begin, end = root.certificates[whole]
        assert (begin, end) == (certificate.not_before.date(), certificate.not_after.date())
        assert root.removed_on(data.edition) is None
        assert hashlib.sha256(certificate.spki).digest() == key.digest
    present = {pin for pin, root in data.roots.items() if root.removed_on(data.edition) is None}
    assert present == {pins_of(certificate)[0] for certificate in installed}, "run make roots"


def test_a_root_that_came_back_is_not_removed_until_it_left_again() -> None:
    (root,) = (
        each
        for each in load_data().roots.values()
        if each.name == "ePKI Root Certification Authority"
    )
    days = (date(2025, 6, 14), date(2025, 6, 15), date(2025, 7, 9), date(2026, 5, 20))
    assert [root.removed_on(day) for day in days] == [None, days[1], None, days[3]]
    assert root.removed_on(date(2014, 3, 9)) is None  # before the first release that had it


def test_a_removal_by_age_is_known_from_its_publication_on() -> None:
    name, day = "Go Daddy Root Certificate Authority - G2", date(2027, 4, 15)
    assert "scheduled" not in _kinds(name, date(2023, 1, 23))
    assert _kinds(name, date(2023, 1, 24))["scheduled"] == day
    assert _kinds(name, TODAY)["scheduled"] == day
    assert "scheduled" not in _kinds("ISRG Root X2", TODAY)  # its key was made in 2020


def test_a_removal_by_age_stays_due_until_a_release_shows_an_exception() -> None:
    """A scheduled removal is still reported after its day, if the data are older than that day.

    Newer data that still have the root show an exception, and end the report.
    """
    name, day = "Go Daddy Root Certificate Authority - G2", date(2027, 4, 15)
    assert _kinds(name, day + 90 * DAY)["scheduled"] == day
    data = load_data()
    newer = replace(data, packages={"certifi 2027.5.1": date(2027, 5, 1)})
    assert "scheduled" not in _kinds(name, day + 90 * DAY, newer)
    assert "scheduled" not in _kinds("Izenpe.com", TODAY)  # made in 2007, and still there


def test_a_removed_root_says_which_package_of_debian_still_has_it() -> None:
    """Debian trusts a root longer than Firefox, so a success on Debian doesn't show that all do."""
    data = load_data()

    def text(name: str, today: date) -> str:
        return next(each.text for each in data.facts(_pin(name), today) if each.kind == "removed")

    assert "Debian's ca-certificates 20250419+deb13u1 still has it" in text("Certigna", TODAY)
    assert "Debian" not in text("Certigna", date(2026, 10, 19))  # before that package
    assert "Debian" not in text("DST Root CA X3", TODAY)


def test_a_removed_root_is_not_due_again() -> None:
    assert "scheduled" not in _kinds("DigiCert Global Root CA", TODAY)


def test_distrust_dates_are_those_of_chrome_and_of_nss() -> None:
    found = load_data().facts(_pin("Entrust Root Certification Authority - G2"), TODAY)
    dates = {each.source.partition(":")[0]: each.day for each in found if each.kind == "distrusted"}
    assert dates == {"https": date(2024, 11, 12), "libnss3 2": date(2024, 12, 1)}
    nss = {root.name for root in load_data().roots.values() if root.distrust_after}
    assert {"Izenpe.com", "GLOBALTRUST 2020"} < nss
    assert sum(name.startswith(("Entrust", "AffirmTrust")) for name in nss) == 8


def test_a_distrust_is_not_known_before_it_was_published() -> None:
    name = "NetLock Arany (Class Gold) Főtanúsítvány"
    assert "distrusted" not in _kinds(name, date(2025, 5, 30))
    assert _kinds(name, date(2025, 5, 31))["distrusted"] == date(2025, 8, 1)
    izenpe, known = "Izenpe.com", load_data().packages["libnss3 2:3.132-1"]  # type: ignore[index]
    assert "distrusted" not in _kinds(izenpe, known - DAY)
    assert _kinds(izenpe, known)["distrusted"] == date(2026, 4, 16)


def test_an_expiry_is_known_since_the_first_release_with_the_root() -> None:
    name = "DST Root CA X3"
    assert _kinds(name, date(2014, 3, 9)) == {}
    assert _kinds(name, date(2014, 3, 10)) == {"expires": date(2021, 9, 30)}
    texts = [
        next(each.text for each in load_data().facts(_pin(name), day) if each.kind == "expires")
        for day in (date(2021, 9, 30), date(2021, 10, 1))
    ]
    assert texts == ["expires on 2021-09-30", "expired on 2021-09-30"]


def test_a_root_is_found_by_its_certificate_too() -> None:
    data = load_data()
    root = data.roots[_pin("GTS Root R2")]
    assert len(root.certificates) == 2  # Google made a second certificate for the key in 2022
    assert all(data.root_of(pin) is root for pin in root.certificates)
    assert data.facts(Pin("sha256", bytes(32)), TODAY) == ()


def test_androids_are_the_oldest_and_the_newest_with_the_root() -> None:
    androids = {root.name: root.android for root in load_data().roots.values()}
    assert androids["ISRG Root X1"] == ("8", "15")
    assert androids["DST Root CA X3"] == ("2.3", "13")
    assert androids["ISRG Root X2"] == ("14", "15")
    assert androids["Telia RSA TLS Root CA v3"] is None


def test_every_entry_has_a_source_and_was_published_before_its_date() -> None:
    data = load_data()
    assert len({each.id for each in data.announcements}) == len(data.announcements)
    entries: tuple[Announcement | ScheduledRemoval, ...] = (*data.announcements, *data.schedule)
    for each in entries:
        assert each.source.startswith("https://")
        assert each.published < each.day
    for announcement in data.announcements:
        known = [pin for pin in announcement.keys if data.root_of(pin)]
        assert known or announcement.for_everyone  # a key that was mistyped is unknown
