"""One small driver for each pinned client: it makes requests one after the other.

The environment decides which drivers exist: niquests can't be installed with the others.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.error import URLError

import pytest
import requests
import urllib3

import certpin
from certpin.clients import stdlib
from certpin.clients.requests import PinnedAdapter, PinnedSession
from certpin.clients.urllib3 import PinnedPoolManager, PinnedProxyManager
from tests.clients._driver import PATIENCE, Driver, each_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.clients._common import Pins
    from tests.clients._driver import Step

if find_spec("niquests"):
    from tests.clients import _drivers_niquests as others
else:
    from tests.clients import _drivers_common as others  # type: ignore[no-redef]


def _with_session(make: Callable[[Pins], requests.Session]) -> Callable[..., list[str]]:
    def fetch(pins: Pins, proxy: str | None, steps: tuple[Step, ...]) -> list[str]:
        with make(pins) as session:
            if proxy:
                session.proxies = {"https": proxy}

            def get(url: str) -> str:
                response = session.get(url, timeout=PATIENCE)
                response.raise_for_status()
                return response.text

            return each_of(steps, get)

    return fetch


def _plain_session(pins: Pins) -> requests.Session:
    session, adapter = requests.Session(), PinnedAdapter(pins)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _with_urllib3(pins: Pins, proxy: str | None, steps: tuple[Step, ...]) -> list[str]:
    manager: urllib3.PoolManager = (
        PinnedProxyManager(pins, proxy, timeout=PATIENCE)
        if proxy
        else PinnedPoolManager(pins, timeout=PATIENCE)
    )
    with manager as http:
        return each_of(steps, lambda url: http.request("GET", url).data.decode())


def _with_opener(pins: Pins, proxy: str | None, steps: tuple[Step, ...]) -> list[str]:
    opener = stdlib.opener(pins, proxies={"https": proxy} if proxy else None)

    def get(url: str) -> str:
        with opener.open(url, timeout=PATIENCE) as response:
            return str(response.read().decode())

    return each_of(steps, get)


def _drivers() -> Iterator[Driver]:
    yield from others.drivers()
    requests_errors = (requests.exceptions.SSLError, requests.RequestException)
    yield Driver("requests-session", _with_session(PinnedSession), *requests_errors)
    yield Driver("requests-adapter", _with_session(_plain_session), *requests_errors)
    urllib3_errors = (urllib3.exceptions.SSLError, urllib3.exceptions.HTTPError)
    yield Driver("urllib3", _with_urllib3, *urllib3_errors)
    yield Driver("stdlib", _with_opener, URLError, URLError, False, False)


DRIVERS = tuple(_drivers())

driven = pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)


def refusal(
    driver: Driver,
    kind: type[certpin.PinError],
    pins: Pins,
    *steps: Step,
    proxy: str | None = None,
) -> certpin.PinError:
    """Run the steps (URLs or functions), the last of which must fail, and return the pin error.

    The raised exception must be an instance of both the library's error class and ``kind``.
    """
    with pytest.raises(driver.error) as caught:
        driver.get(pins, *steps, proxy=proxy)
    error = certpin.pin_error(caught.value)
    assert isinstance(error, kind)
    assert isinstance(caught.value, kind)
    return error
