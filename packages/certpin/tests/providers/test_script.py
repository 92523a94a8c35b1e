"""``scripts/providers.py``: the data from a mapping and bundles of certificates."""

from __future__ import annotations

import base64
import zipfile
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
import tomli

from certpin.lab import Authority
from scripts import providers as script
from scripts.certifi_releases import read_releases

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = {"url": "https://one.example/roots", "looked_up": date(2026, 11, 28)}


@pytest.fixture(scope="module")
def roots() -> dict[str, Authority]:
    return {name: Authority(name) for name in ("Kept", "Dropped", "Debian", "Twice")}


@pytest.fixture
def collected(tmp_path: Path, roots: dict[str, Authority]) -> script.Collected:
    """Return the roots that the script collects from three certifi releases.

    The second and the third release lack the root ``Dropped``.
    """
    for release, names in {
        "2020.1.5": ("Kept", "Dropped"),
        "2020.11.2": ("Kept",),
        "2021.2.3.post1": ("Kept",),
    }.items():
        with zipfile.ZipFile(tmp_path / f"certifi-{release}-py3-none-any.whl", "w") as archive:
            pem = b"".join(roots[name].pem for name in names)
            archive.writestr("certifi/cacert.pem", pem)
    return script.collect(read_releases(tmp_path), ("1", [roots["Debian"].certificate]))


def mapping(*roots: dict[str, Any], **more: Any) -> dict[str, Any]:
    head = {"name": "one", "title": "One", "kind": "authority", "source": [SOURCE]}
    provider = {**head, "root": list(roots), **more}
    return {"edition": date(2026, 11, 28), "provider": [provider]}


def test_releases_are_in_the_order_of_their_numbers(collected: script.Collected) -> None:
    versions = tuple(release.version for release in collected.releases)
    assert versions == ("2020.1.5", "2020.11.2", "2021.2.3.post1")


def test_a_dropped_root_has_the_date_of_the_first_release_without_it(
    collected: script.Collected,
) -> None:
    text = script.generate(mapping({"name": "Kept"}, {"name": "Dropped"}), collected)
    tables = {table["name"]: table for table in tomli.loads(text)["root"]}
    assert (tables["Kept"]["status"], tables["Kept"]["certificate"]) == (
        "active",
        "certifi 2021.2.3.post1",
    )
    assert tables["Dropped"]["status"] == "removed"
    assert tables["Dropped"]["removed"] == date(2020, 11, 2)
    assert tables["Dropped"]["certificate"] == "certifi 2020.1.5"
    assert len(collected.roots) == 3


def test_a_root_that_only_debian_has_names_its_package(collected: script.Collected) -> None:
    text = script.generate(mapping({"name": "Debian"}, {"name": "Kept"}), collected)
    certificates = {table["certificate"] for table in tomli.loads(text)["root"]}
    assert certificates == {"ca-certificates 1", "certifi 2021.2.3.post1"}


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"name": "Nobody"}, "'Nobody' is the name of 0 keys"),
        ({"name": "Kept", "sha1": "00" * 20}, "no certificate has the SHA-1"),
        ({"name": "Kept", "spki_sha256": "00" * 32}, "the page says that its key is 0000"),
    ],
)
def test_an_entry_that_no_certificate_proves_is_refused(
    collected: script.Collected, wrong: dict[str, str], problem: str
) -> None:
    with pytest.raises(script.DataError, match=problem):
        script.generate(mapping(wrong), collected)


def test_a_name_of_two_keys_is_refused(tmp_path: Path) -> None:
    pem = Authority("Twice").pem + Authority("Twice").pem
    with zipfile.ZipFile(tmp_path / "certifi-2020.1.5-py3-none-any.whl", "w") as archive:
        archive.writestr("certifi/cacert.pem", pem)
    with pytest.raises(script.DataError, match="'Twice' is the name of 2 keys"):
        script.generate(
            mapping({"name": "Twice"}), script.collect(read_releases(tmp_path), ("1", []))
        )


def test_the_digests_of_a_page_are_compared(
    collected: script.Collected, roots: dict[str, Authority]
) -> None:
    spki = roots["Kept"].certificate.spki_sha256.hex()
    text = script.generate(mapping({"name": "Kept", "spki_sha256": spki}), collected)
    assert base64.b64encode(bytes.fromhex(spki)).decode() in text


def test_a_pending_root_must_be_in_no_package(
    collected: script.Collected, roots: dict[str, Authority]
) -> None:
    pending = {
        "name": "New",
        "pin": str(Authority("New").pin),
        "not_after": date(2045, 1, 1),
        "certificate": "https://one.example/new.der",
        "signed_by": "Kept",
    }
    text = script.generate(mapping({"name": "Kept"}, pending=[pending]), collected)
    statuses = {table["name"]: table["status"] for table in tomli.loads(text)["root"]}
    assert statuses == {"Kept": "active", "New": "pending"}
    pending["pin"] = str(roots["Debian"].pin)
    with pytest.raises(script.DataError, match="New is in a package now"):
        script.generate(mapping({"name": "Kept"}, pending=[pending]), collected)


def test_a_service_has_the_roots_of_the_authorities_that_it_uses(
    collected: script.Collected,
) -> None:
    document = mapping({"name": "Kept"}, {"name": "Dropped"})
    service = {
        "name": "cdn",
        "title": "CDN",
        "kind": "service",
        "uses": ["one"],
        "source": [SOURCE],
    }
    document["provider"].append(service)
    text = script.generate(document, collected)
    tables = {table["name"]: table for table in tomli.loads(text)["provider"]}
    assert tables["cdn"]["roots"] == tables["one"]["roots"] == ["Kept", "Dropped"]
