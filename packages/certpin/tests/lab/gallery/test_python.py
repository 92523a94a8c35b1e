"""Python's HTTP clients over the whole matrix: with certpin no alarm, without it as expected."""

from __future__ import annotations

import pytest

from certpin.lab.pki import Style
from tests.lab.gallery._gallery import fails, library

LIBRARIES = ("aiohttp", "httpx", "requests", "urllib3")
# Python's ssl reads the common name where a certificate has no names; urllib3 switches that off.
WARNED = {"aiohttp": {"cn-only"}, "httpx": {"cn-only"}}

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("style", [Style.LEAF, Style.CA])
@pytest.mark.parametrize("name", LIBRARIES)
def test_with_certpin_it_raises_no_alarm(
    name: str, style: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not fails(library(name, "pinned", monkeypatch), style, jobs=1)


@pytest.mark.parametrize("name", LIBRARIES)
def test_without_it_it_does_what_a_client_without_pins_does(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fails(library(name, "unpinned", monkeypatch), Style.NONE, jobs=1)
    assert set(found) == WARNED.get(name, set())


@pytest.mark.parametrize("name", LIBRARIES)
def test_without_it_it_is_found_out_where_pins_are_declared(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fails(library(name, "unpinned", monkeypatch), Style.LEAF, jobs=1)
    assert {"rogue-ca-in-store", "same-ca-new-key", "pinned-leaf-appended"} <= set(found)
