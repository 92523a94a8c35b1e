"""Python's HTTP libraries on every case: correct with certpin, and known failures without it."""

from __future__ import annotations

import pytest

from certpin.lab.pki import Style
from tests.lab._clients import BY_NAME
from tests.lab.gallery._gallery import fails, library

LIBRARIES = ("aiohttp", "httpx", "requests", "urllib3")
# Python's ssl reads the common name if a certificate has no SAN; urllib3 disables that.
WARNED = {"aiohttp": {"cn-only"}, "httpx": {"cn-only"}}

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("style", [Style.LEAF, Style.CA])
@pytest.mark.parametrize("name", LIBRARIES)
def test_with_certpin_there_is_no_alarm(
    name: str, style: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not fails(library(name, "pinned", monkeypatch), style, jobs=1)


@pytest.mark.parametrize("name", LIBRARIES)
def test_without_certpin_it_behaves_as_a_client_without_pins(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fails(library(name, "unpinned", monkeypatch), Style.NONE, jobs=1)
    assert set(found) == WARNED.get(name, set())


@pytest.mark.parametrize("name", LIBRARIES)
def test_without_certpin_it_fails_if_pins_are_declared(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught = ("rogue-ca-in-store", "same-ca-new-key", "pinned-leaf-appended")
    cases = [BY_NAME[each] for each in (*caught, "untrusted-ca")]
    found = fails(library(name, "unpinned", monkeypatch), Style.LEAF, jobs=1, only=cases)
    assert found.keys() == set(caught)
