"""The provider data that ships: where each root comes from, and errors about it."""

from __future__ import annotations

import re
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path

import certifi
import pytest

from certpin.errors import ConfigError
from certpin.pins import Pin
from certpin.providers import load_providers, parse_providers
from certpin.x509.certificate import read_certificates
from scripts import providers as script
from scripts.certifi_releases import release_day, short_name
from tests.providers._data import EDITION, data, pin

DATA = load_providers()
NEWEST = f"certifi {version('certifi')}"


@pytest.fixture(scope="module")
def bundle() -> dict[Pin, set[str]]:
    """Return the keys of the installed certifi, each with the names of its certificates."""
    found: dict[Pin, set[str]] = {}
    for each in read_certificates(Path(certifi.where()).read_bytes()):
        found.setdefault(Pin.of_key(each.spki_sha256), set()).add(short_name(each))
    return found


def test_every_provider_that_the_documentation_promises_is_there() -> None:
    assert set(DATA.providers) == {
        *("letsencrypt", "google", "amazon", "cloudflare", "digicert"),
        *("sectigo", "globalsign", "microsoft", "sslcom"),
    }


def test_the_data_is_of_the_locked_certifi() -> None:
    releases = {root.certificate for root in DATA.roots.values() if root.status == "active"}
    assert releases == {NEWEST}, "run make providers, and review the changes"


def test_each_active_root_is_a_certificate_of_the_installed_certifi(
    bundle: dict[Pin, set[str]],
) -> None:
    active = [root for root in DATA.roots.values() if root.status == "active"]
    assert len(active) > 30
    assert [root.name for root in active if root.name not in bundle.get(root.pin, ())] == []


def test_no_other_root_is_in_the_installed_certifi(bundle: dict[Pin, set[str]]) -> None:
    others = [root for root in DATA.roots.values() if root.status != "active"]
    assert [root.name for root in others if root.pin in bundle] == []


def test_a_removed_root_names_its_last_release_and_a_later_date() -> None:
    removed = [root for root in DATA.roots.values() if root.status == "removed"]
    assert {"GTS Root R2", "DigiCert Global Root CA"} <= {root.name for root in removed}
    for root in removed:
        last = release_day(root.certificate.removeprefix("certifi "), date.max)
        assert root.removed is not None
        assert last < root.removed <= EDITION


def test_a_pending_root_comes_from_its_provider() -> None:
    pending = {root.name: root for root in DATA.roots.values() if root.status == "pending"}
    assert set(pending) == {"Root YE", "Root YR"}
    for root in pending.values():
        assert root.certificate.startswith("https://letsencrypt.org/certs/")
        assert DATA.owners(root.pin)[0].name == "letsencrypt"


def test_every_provider_has_a_page_that_was_looked_up_by_the_edition() -> None:
    for provider in DATA.providers.values():
        assert provider.sources, provider.name
        for source in provider.sources:
            assert source.url.startswith("https://")
            assert source.looked_up <= DATA.edition
        assert provider.changed <= DATA.edition
        assert len(provider.roots_at(DATA.edition)) >= 2


def test_cloudflare_has_all_roots_of_the_authorities_that_it_lists() -> None:
    cloudflare = DATA.providers["cloudflare"]
    assert cloudflare.uses == ("letsencrypt", "google", "sslcom", "sectigo")
    for name in cloudflare.uses:
        assert {*DATA.providers[name].roots} <= {*cloudflare.roots}


def test_the_authority_that_operates_a_root_comes_before_services() -> None:
    shared = next(root for root in DATA.roots.values() if root.name == "DigiCert Global Root G2")
    assert [each.name for each in DATA.owners(shared.pin)] == ["digicert", "microsoft"]
    assert DATA.owners(pin(1)) == ()


def test_every_root_of_the_installed_certifi_is_public(bundle: dict[Pin, set[str]]) -> None:
    assert all(DATA.is_public(each) for each in bundle)
    assert all(DATA.is_public(each) for each in DATA.roots)
    assert not DATA.is_public(pin(1))


def test_an_unknown_provider_is_an_error_with_a_similar_name() -> None:
    with pytest.raises(ConfigError, match=r"the provider data of 2026-11-28 has no 'letsencript'"):
        DATA.provider("letsencript")
    with pytest.raises(ConfigError, match=r"did you mean letsencrypt\?"):
        DATA.provider("letsencript")
    with pytest.raises(ConfigError, match=r"one of: cdn, one, two"):
        data().provider("?")


@pytest.mark.parametrize("days", [0, -1])
def test_a_clock_at_the_edition_is_accepted(days: int) -> None:
    data().require_clock(EDITION + timedelta(days))


def test_a_clock_before_the_edition_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"clock of this machine says 2026-11-26") as caught:
        data().require_clock(EDITION - timedelta(2))
    assert caught.value.fix == "set the clock of this machine"


@pytest.mark.parametrize("roots", ['["One"]', '["One", "Two"]'])
def test_a_provider_needs_two_known_roots(roots: str) -> None:
    text = (
        f'edition = 2026-11-28\n[[root]]\npin = "{pin(1)}"\nname = "One"\nnot_after = 2040-01-01\n'
        'status = "active"\ncertificate = "certifi 1"\n[[provider]]\nname = "a"\ntitle = "A"\n'
        f'kind = "authority"\nchanged = 2026-11-28\nroots = {roots}\nsource = []\n'
    )
    with pytest.raises(ConfigError, match="a has an unknown root, or only one"):
        parse_providers(text)


def test_the_mapping_and_the_data_have_the_same_roots() -> None:
    import tomli

    mapping = tomli.loads(script.MAPPING.read_text("utf-8"))
    assert mapping["edition"] == DATA.edition
    for table in mapping["provider"]:
        names = {each["name"] for kind in ("root", "pending") for each in table.get(kind, ())}
        assert names <= {root.name for root in DATA.providers[table["name"]].roots}


def test_names_and_dates_are_plausible() -> None:
    assert all(re.fullmatch(r"[a-z]+", name) for name in DATA.providers)
    assert all(root.not_after > date(2020, 1, 1) for root in DATA.roots.values())
