"""No pinned client uses HTTP/3, because HTTP/3 bypasses the pinned TLS context.

The bank's server offers HTTP/3. An attacker answers at that UDP port, with a certificate of a root
that this platform trusts. By default, urllib3-future connects there and sends the bearer token.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import niquests
import pytest
import requests
import urllib3

import certpin
from certpin import PinnedSSLContext
from certpin.clients.niquests import AsyncPinnedSession, PinnedAdapter, PinnedSession
from certpin.clients.requests import PinnedSession as RequestsSession
from certpin.clients.urllib3 import PinnedHTTPSConnection, PinnedPoolManager, PinnedProxyManager
from certpin.lab import Authority
from tests import kit
from tests.clients._loops import run
from tests.servers.quic import Attacker, Web, attacker, web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin import PinSet

HEADERS = {"Authorization": "Bearer secret"}
HTTP3 = urllib3.HttpVersion.h3


@dataclass(frozen=True)
class World:
    bank: Web
    udp: Attacker
    pins: PinSet
    bundle: Path

    @property
    def url(self) -> str:
        return f"https://api.test:{self.bank.port}/"


@pytest.fixture(params=["platform", "trust-file"])
def world(
    request: pytest.FixtureRequest,
    root: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    rogue = Authority("Rogue Root")
    bundle = kit.trust_on_this_platform(root, tmp_path, monkeypatch)
    bundle.write_bytes(root.pem + rogue.pem)
    good = root.issue("api.test")
    trust = kit.anchors(root) if request.param == "trust-file" else None
    pins = kit.pin_set(kit.policy("api.test", good.pin, trust=trust))
    with attacker(rogue.issue("api.test"), tmp_path) as udp, web(good, udp.port) as bank:
        yield World(bank, udp, pins, bundle)


def with_urllib3(pins: Any, url: str) -> None:
    with PinnedPoolManager(pins) as http:
        for _ in range(3):
            http.request("GET", url, headers=HEADERS)


def with_requests(pins: Any, url: str) -> None:
    with RequestsSession(pins) as session:
        for _ in range(3):
            session.get(url, headers=HEADERS)


def with_niquests(pins: Any, url: str) -> None:
    with PinnedSession(pins) as session:
        for _ in range(3):
            session.get(url, headers=HEADERS)


def with_a_plain_session(pins: Any, url: str) -> None:
    with niquests.Session() as session:
        session.mount("https://", PinnedAdapter(pins))
        for _ in range(3):
            session.get(url, headers=HEADERS)


def with_async_niquests(pins: Any, url: str) -> None:
    async def work() -> None:
        async with AsyncPinnedSession(pins) as session:
            for _ in range(3):
                await session.get(url, headers=HEADERS)

    run(work)


CLIENTS = [
    with_urllib3,
    with_requests,
    with_niquests,
    with_a_plain_session,
    with_async_niquests,
]


def test_without_pins_the_attacker_gets_the_token(world: World) -> None:
    """Show that the attack is real: every other test would pass if no client could use HTTP/3."""
    with urllib3.PoolManager(ca_certs=str(world.bundle)) as http:
        for _ in range(3):
            http.request("GET", world.url, headers=HEADERS)
    assert b"Bearer secret" in world.udp.tokens()


@pytest.mark.parametrize("get", CLIENTS, ids=lambda get: get.__name__)
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "not-strict"])
def test_a_pinned_client_stays_with_the_bank(
    get: Callable[[Any, str], None], strict: bool, world: World
) -> None:
    get(PinnedSSLContext(world.pins, strict=strict), world.url)
    assert world.bank.tokens == ["Bearer secret"] * 3
    assert (world.udp.datagrams, world.udp.headers) == (0, [])


def test_a_plain_pool_with_a_pinned_context_refuses(world: World) -> None:
    context = PinnedSSLContext(world.pins)
    with urllib3.PoolManager(ssl_context=context, retries=False) as http:
        for _ in range(2):
            with pytest.raises(urllib3.exceptions.SSLError) as caught:
                http.request("GET", world.url, headers=HEADERS)
            error = certpin.pin_error(caught.value)
            assert isinstance(error, certpin.ContextCopyError)
            assert "certpin.clients" in str(error)
    assert world.bank.tokens == []
    assert (world.udp.datagrams, world.udp.headers) == (0, [])


def test_a_plain_adapter_of_requests_with_a_pinned_context_refuses(world: World) -> None:
    """The connection over HTTP/3 ends in ``ContextCopyError``, before any datagram is sent.

    requests loads a CA bundle itself, so with OpenSSL's TLS urllib3-future does not try to copy
    the context before it uses HTTP/3.
    """
    context = PinnedSSLContext(world.pins)

    class Adapter(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, ssl_context=context, **kwargs)

    errors = []
    with requests.Session() as session:
        session.mount("https://", Adapter())
        for _ in range(3):
            try:
                session.get(world.url, headers=HEADERS, timeout=10)
            except requests.exceptions.RequestException as exc:
                errors.append(certpin.pin_error(exc))
    assert errors
    assert all(isinstance(each, certpin.ContextCopyError) for each in errors)
    assert (world.udp.datagrams, world.udp.headers) == (0, [])


def test_a_plain_pool_that_goes_to_http3_at_once_refuses(world: World) -> None:
    """The request ends in ``ContextCopyError``, because QUIC copies the roots out of the context.

    This is so with every backend that urllib3-future has for TLS over TCP.
    """
    only = {urllib3.HttpVersion.h11, urllib3.HttpVersion.h2}
    context = PinnedSSLContext(world.pins)
    with (
        urllib3.PoolManager(ssl_context=context, disabled_svn=only, retries=False) as http,
        pytest.raises(urllib3.exceptions.SSLError) as caught,
    ):
        http.request("GET", f"https://api.test:{world.udp.port}/", headers=HEADERS)
    assert isinstance(certpin.pin_error(caught.value), certpin.ContextCopyError)
    assert world.udp.headers == []


class TalkedIntoHTTP3(PinnedHTTPSConnection):
    """A urllib3 connection that allows HTTP/3 again, and uses a plain TLS context for it.

    It simulates one more way of urllib3-future to use HTTP/3. Rule 14 (the pinned context must have
    checked the connection) must stop it, although no context is copied and every option is allowed.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._disabled_svn.discard(HTTP3)

    def _custom_tls(self, ssl_context: Any = None, *args: Any, **kwargs: Any) -> bool:
        plain = ssl.create_default_context() if ssl_context else None
        return bool(super()._custom_tls(plain, *args, **kwargs))


def test_an_unchecked_connection_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with PinnedPoolManager(world.pins) as http:
        kind = http.pool_classes_by_scheme["https"]
        monkeypatch.setattr(kind, "ConnectionCls", TalkedIntoHTTP3)
        http.request("GET", world.url, headers=HEADERS)
        with pytest.raises(urllib3.exceptions.SSLError) as caught:
            http.request("GET", world.url, headers=HEADERS)
    assert isinstance(caught.value, certpin.UncheckedConnectionError)
    assert world.udp.datagrams > 0  # it connected, and sent nothing
    assert world.udp.headers == []


def test_options_that_switch_http3_on_are_refused(world: World) -> None:
    cache = {("api.test", world.bank.port): ("", world.udp.port)}
    makers: list[Callable[[], object]] = [
        lambda: PinnedPoolManager(world.pins, preemptive_quic_cache=cache),
        lambda: PinnedProxyManager(world.pins, "http://127.0.0.1:1", preemptive_quic_cache=cache),
        lambda: PinnedSession(world.pins, quic_cache_layer=cache),
        lambda: PinnedSession(world.pins, disable_http3=False),
        lambda: PinnedAdapter(world.pins, quic_cache_layer=cache),
        lambda: AsyncPinnedSession(world.pins, quic_cache_layer=cache),
    ]
    for make in makers:
        with pytest.raises(certpin.ConfigError, match="HTTP/3 uses other TLS"):
            make()


def test_http3_stays_off_if_everything_else_is_off(world: World) -> None:
    others = {urllib3.HttpVersion.h11, urllib3.HttpVersion.h2}
    with (
        PinnedPoolManager(world.pins, disabled_svn=others, retries=False) as http,
        pytest.raises(RuntimeError),
    ):
        http.request("GET", world.url, headers=HEADERS)
    assert world.udp.datagrams == 0


def test_a_cache_that_is_set_later_changes_nothing(world: World) -> None:
    with PinnedSession(world.pins) as session:
        session.quic_cache_layer[("api.test", world.bank.port)] = ("", world.udp.port)
        session.get(world.url, headers=HEADERS)
    with PinnedPoolManager(world.pins) as http:
        http._preemptive_quic_cache = {("api.test", world.bank.port): ("", world.udp.port)}
        http.request("GET", world.url, headers=HEADERS)
    assert world.udp.datagrams == 0
