"""All clients on one context, at a server that offers HTTP/2: each gets the protocol it speaks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from certpin import PinnedSSLContext
from tests.clients._drivers import DRIVERS

if TYPE_CHECKING:
    from tests.clients._driver import Driver
    from tests.clients.conftest import Bank

pytestmark = pytest.mark.peer("nginx")


def protocols_of(bank: Bank) -> set[str]:
    return {request.split()[1] for request in bank.arrived("api")}


def test_a_client_with_http2_leaves_the_others_their_protocol(bank: Bank) -> None:
    context = PinnedSSLContext(bank.pins)
    for driver in (*DRIVERS, *reversed(DRIVERS)):
        assert driver.get(context, bank.url("api")) == ["hello from api.test\n"]
    assert protocols_of(bank) == {"HTTP/1.1", "HTTP/2.0"}
    assert not context._calls  # the context's settings are unchanged


@pytest.mark.medium
def test_clients_in_threads_share_a_context(bank: Bank) -> None:
    context = PinnedSSLContext(bank.pins)

    def get(driver: Driver) -> list[str]:
        return [body for _ in range(5) for body in driver.get(context, bank.url("api"))]

    with ThreadPoolExecutor(len(DRIVERS)) as threads:
        for bodies in threads.map(get, DRIVERS):
            assert bodies == ["hello from api.test\n"] * 5
    assert protocols_of(bank) == {"HTTP/1.1", "HTTP/2.0"}
