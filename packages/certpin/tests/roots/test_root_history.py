"""The script ``root_history``, which derives when each root was trusted, from small bundles."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from certpin.roots import load_data
from certpin.roots.records import read_root
from certpin.x509 import Certificate
from scripts import root_history
from scripts.certifi_releases import Release, ordered, pin_of, release_day
from scripts.root_history import rows_of


@cache
def _root(name: str, serial: int = 1) -> Certificate:
    """Return a self-signed root certificate for the name.

    Each name has one key: with another serial number, it is another certificate of the same key.
    """
    key = _key(name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin, end = datetime(2010, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), serial, begin, end)
    signed = builder.sign(key, hashes.SHA256())
    return Certificate.from_der(signed.public_bytes(Encoding.DER))


@cache
def _key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _release(version: str, *roots: Certificate) -> Release:
    return Release(release_day(version, date(2014, 3, 10)), version, roots)


def test_periods_are_from_each_bundle_against_the_next() -> None:
    one, two = _root("One"), _root("Two")
    releases = [
        _release("1.0.1", one),
        _release("2015.04.28", one, two),
        _release("2016.9.6.1", two),
        _release("2017.1.2", one),
    ]
    rows = rows_of(ordered(reversed(releases)))
    first, second = rows[pin_of(one)], rows[pin_of(two)]
    assert first.periods == [["2014-03-10", "2016-09-06"], ["2017-01-02", None]]
    assert first.removed_in == ""
    assert second.periods == [["2015-04-28", "2017-01-02"]]
    assert second.removed_in == "2017.1.2"


def test_a_new_certificate_of_a_key_is_no_removal() -> None:
    """Google replaced the certificates of GTS Root R1 to R4 in 2022, and kept their keys."""
    releases = [_release("2020.1.1", _root("One")), _release("2021.1.1", _root("One", 2))]
    (row,) = rows_of(releases).values()
    assert row.periods == [["2020-01-01", None]]
    assert len(row.certificates) == 2


def test_the_library_reads_what_the_script_writes() -> None:
    rows = rows_of([_release("2020.1.1", _root("One")), _release("2021.1.1", _root("Two"))])
    root_history.add_androids(rows, {"7": set(), "8": rows.keys(), "9": set(rows)})
    text = root_history.text_of(rows, {"certifi 2021.1.1": ["PyPI", "2021-01-01"]})
    one, two = map(read_root, json.loads(text)["roots"])
    assert (one.name, one.removed_in, one.android) == ("One", "2021.1.1", ("8", "9"))
    assert one.periods == ((date(2020, 1, 1), date(2021, 1, 1)),)
    assert (two.valid_from, two.valid_until) == (date(2010, 1, 1), date(2030, 1, 1))
    assert str(two.pin) == pin_of(_root("Two"))


@pytest.mark.parametrize(
    ("now", "after", "source"),
    [
        ("", "2024-11-30", "libnss3 1"),  # NSS removed the root
        ("2024-11-30", "2024-11-30", "libnss3 1"),  # known since then
        ("2025-01-31", "2025-01-31", "libnss3 2"),  # NSS changed the date
    ],
)
def test_a_distrust_keeps_the_day_on_which_it_was_known_first(
    now: str, after: str, source: str
) -> None:
    rows = rows_of([_release("2020.1.1", _root("One"))])
    (row,) = rows.values()
    row.distrust_after, row.distrust_source = now, "libnss3 2" if now else ""
    (pin,) = rows
    line = {"pin": pin, "distrust_after": "2024-11-30", "distrust_source": "libnss3 1"}
    sources = {"libnss3 2": ["Debian", "2026-01-01"]}
    previous = {"sources": {"libnss3 1": ["Debian", "2025-01-01"]}, "roots": [line]}
    root_history.keep_distrust(rows, sources, previous)
    assert (row.distrust_after, row.distrust_source) == (after, source)
    assert sources[source][0] == "Debian"


def test_the_head_of_a_changelog_names_version_and_day() -> None:
    text = (
        "nss (2:3.110-1+deb13u5) trixie-security; urgency=high\n\n  * Turn off (2016) bits\n\n"
        " -- A Maintainer <a@example.org>  Thu, 29 Oct 2026 00:46:49 +0100\n\n"
        "nss (2:3.110-1) unstable; urgency=low\n\n"
        " -- B <b@example.org>  Mon, 01 Jun 2020 15:39:00 +0200\n"
    )
    assert root_history.changelog_head(text) == ("2:3.110-1+deb13u5", "2026-10-28")


def test_the_committed_file_is_in_the_form_of_the_script() -> None:
    """The committed history.json is formatted as the script writes it, not edited by hand.

    Otherwise the next run of the script would show unrelated changes.
    """
    text = root_history.TARGET.read_text(encoding="utf-8")
    rows = json.loads(text)["roots"]
    assert text.count("\n") == len(rows) + 3
    assert [row["name"] for row in rows] == sorted(row["name"] for row in rows)
    assert len(load_data().roots) == len(rows)
