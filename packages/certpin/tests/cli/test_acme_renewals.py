"""Renewals by certbot, acme.sh and lego with a real ACME server, through certpin in their hook.

Each client renews with a key that is staged in the pin file, and with a new key under a pinned and
under another root. Other renewals are in ``test_acme_clients``. The journals are written without
commands; only the hook runs certpin.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import HostPattern, HostPin, HostPolicy, Pin
from certpin.x509.certificate import read_certificates, read_items
from certpin.x509.keys import new_private_key
from tests import kit
from tests.cli._acme import EACH, Site, new_site
from tests.cli._published import publish, stage, write_policy
from tests.cli._rotating import JOURNAL, journal
from tests.servers.acme_clients import HOST

if TYPE_CHECKING:
    from certpin.pins import State
    from certpin.x509 import Certificate
    from tests.cli.conftest import Run
    from tests.servers.pebble import Pebble

pytestmark = [pytest.mark.peer("pebble", "openssl"), pytest.mark.slow]

PATTERN = HostPattern.parse(HOST)


@pytest.fixture(params=EACH)
def site(
    run: Run,
    authority: Pebble,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    return new_site(request.param, authority, tmp_path, monkeypatch)


@pytest.fixture
def pinned(site: Site) -> Site:
    """Pin the first certificate's key, and install that certificate."""
    entries = (HostPin(site.ordered), HostPin(kit.NOBODY, "backup", "published"))
    write_policy(HostPolicy(PATTERN, entries), version=1)
    publish()
    site.begin()
    return site


def test_a_staged_key_is_installed_once_every_client_has_it(run: Run, pinned: Site) -> None:
    key, request = Path("next.key").absolute(), Path("next.csr").absolute()
    pem, public = new_private_key("p256", None)
    key.write_bytes(pem)
    staged = Pin.of_key(public.spki_sha256)
    assert run("rotate", "csr", "next.key", "-o", "next.csr").code == 0
    stage(HostPin(staged, "backup", "staged"))
    before = pinned.state()
    code, said = pinned.client.sign(request, key)
    assert (code != 0, "is not adopted" in said) == (True, True), said
    assert pinned.state() == before
    publish(days_ago=40)
    code, said = pinned.client.sign(request, key)
    assert code == 0, said
    assert pinned.pin == staged
    assert pem in pinned.installed.read_bytes()
    states: dict[Pin, State] = {
        entry.pin: entry.state for entry in PinSet.load("pins.toml").policies[0].pins
    }
    assert states[staged] == "active"
    assert (journal()[-1].step, journal()[-1].pin) == ("activate", staged)


def _pin_root(root: Certificate) -> None:
    entries = (HostPin(Pin.of_key(root.spki_sha256), "root"), HostPin(kit.NOBODY, "root"))
    write_policy(HostPolicy(PATTERN, entries, match="ca"), version=1, trust="root.pem")
    publish()


def test_a_new_key_is_installed_under_a_pinned_root_only(site: Site, authority: Pebble) -> None:
    """The hook passes the issued chain to certpin, without the root that is pinned."""
    Path("root.pem").write_bytes(authority.root_pem())
    (root,) = read_certificates(authority.root_pem())
    _pin_root(root)
    site.begin()
    first, (_, *written) = site.pin, site.state()
    code, said = site.client.renew_with_a_new_key()
    assert code == 0, said
    assert site.pin == site.ordered != first
    assert list(site.state())[1:] == written
    chain = read_items(site.installed.read_bytes())
    assert root not in chain

    other = Authority("Another Root")
    JOURNAL.unlink()
    _pin_root(other.certificate)
    before = site.state()
    site.refuses(*site.client.renew_with_a_new_key(), "is not adopted")
    assert site.state() == before
