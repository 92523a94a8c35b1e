"""Options and errors of the client for urllib3."""

from __future__ import annotations

import queue
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import urllib3

import certpin
from certpin import PinnedSSLContext
from certpin.clients.requests import PinnedSession
from certpin.clients.urllib3 import (
    PinnedHTTPSConnection,
    PinnedHTTPSConnectionPool,
    PinnedPoolManager,
    PinnedProxyManager,
)
from certpin.tls import context as tls_context

if TYPE_CHECKING:
    from certpin import PinFailure
    from tests.clients.conftest import Bank

pytestmark = pytest.mark.peer("nginx")

WEAKENING: list[dict[str, Any]] = [
    {"cert_reqs": "CERT_NONE"},
    {"cert_reqs": ssl.CERT_OPTIONAL},
    {"assert_hostname": False},
    {"assert_hostname": "api.test"},
    {"assert_fingerprint": "00" * 32},
    {"server_hostname": "api.test"},
    {"ssl_context": ssl.create_default_context()},
    {"ca_certs": "/etc/ssl/other.pem"},
    {"ca_cert_dir": "/etc/ssl"},
    {"ca_cert_data": "PEM"},
    {"cert_file": "client.pem"},
    {"ssl_version": ssl.PROTOCOL_TLS_CLIENT},
    {"ssl_minimum_version": ssl.TLSVersion.TLSv1_2},
]
weakened = pytest.mark.parametrize(
    "option", WEAKENING, ids=[f"{name}-{number}" for number, (name,) in enumerate(WEAKENING)]
)


@weakened
def test_options_about_tls_are_refused(bank: Bank, option: dict[str, Any]) -> None:
    with pytest.raises(certpin.ConfigError, match="only the pinned context"):
        PinnedPoolManager(bank.pins, **option)
    with pytest.raises(certpin.ConfigError, match="only the pinned context"):
        PinnedProxyManager(bank.pins, "http://127.0.0.1:1", **option)


@weakened
def test_options_about_tls_are_refused_for_each_pool(bank: Bank, option: dict[str, Any]) -> None:
    with PinnedPoolManager(bank.pins) as http, pytest.raises(certpin.ConfigError):
        http.connection_from_url(bank.url("mitm"), option).urlopen("GET", "/")
    assert bank.arrived("mitm") == []


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("cert_reqs", "CERT_NONE"), ("assert_hostname", False), ("assert_fingerprint", "00" * 32)],
)
def test_a_pool_that_is_changed_later_is_refused(bank: Bank, attribute: str, value: object) -> None:
    with PinnedPoolManager(bank.pins) as http:
        pool = http.connection_from_url(bank.url("mitm"))
        setattr(pool, attribute, value)
        with pytest.raises(certpin.ConfigError, match=attribute):
            pool.urlopen("GET", "/")
    assert bank.arrived("mitm") == []


class _Recorded(PinnedHTTPSConnection):
    """A connection of a test library, which replaces those of a pool as ``vcrpy`` does."""

    used: ClassVar[list[str]] = []

    def connect(self) -> None:
        self.used.append(self.host)
        raise LookupError("no network")


def test_a_test_library_can_replace_the_connections_of_pinned_pools(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting of ``vcrpy`` in the guide, for the clients of urllib3 and requests."""
    monkeypatch.setattr(_Recorded, "used", [])
    monkeypatch.setattr(PinnedHTTPSConnectionPool, "ConnectionCls", _Recorded)
    with PinnedPoolManager(bank.pins, retries=False) as http, PinnedSession(bank.pins) as session:
        with pytest.raises(LookupError, match="no network"):
            http.request("GET", bank.url("api"))
        with pytest.raises(LookupError, match="no network"):
            session.get(bank.url("api"))
    assert _Recorded.used == ["api.test", "api.test"]
    assert bank.arrived("api") == []


def test_a_pool_that_loses_its_context_is_refused(bank: Bank) -> None:
    with PinnedPoolManager(bank.pins) as http:
        pool = http.connection_from_url(bank.url("api"), {"ssl_context": None})
        with pytest.raises(certpin.ConfigError, match="ssl_context"):
            pool.urlopen("GET", "/")


@pytest.mark.parametrize("manager", ["direct", "proxy"])
def test_a_pool_that_is_made_from_its_context_is_refused_for_clear_text(
    bank: Bank, manager: str
) -> None:
    http: urllib3.PoolManager = PinnedPoolManager(bank.pins)
    if manager == "proxy":
        http = PinnedProxyManager(bank.pins, "http://127.0.0.1:1")
    with http:
        for host, error in (
            ("api.test", certpin.InsecureRequestError),
            ("unpinned.test", certpin.UnpinnedHostError),
        ):
            scheme = "http" if error is certpin.InsecureRequestError else "https"
            port = bank.web.plain if scheme == "http" else bank.web.port
            with pytest.raises(urllib3.exceptions.SSLError) as caught:
                http.connection_from_context({"scheme": scheme, "host": host, "port": port})
            assert isinstance(caught.value, error)
    assert bank.arrived_in_clear_text() == []


def test_a_pool_that_is_made_from_its_context_is_pinned(bank: Bank) -> None:
    target = {"scheme": "https", "host": "mitm.test", "port": bank.web.port}
    with PinnedPoolManager(bank.pins) as http:
        target["ssl_context"] = http.context
        with pytest.raises(certpin.PinMismatchError):
            http.connection_from_context(target).request("GET", "/")


def test_options_that_change_nothing_are_taken(bank: Bank) -> None:
    with PinnedPoolManager(bank.pins, cert_reqs="CERT_REQUIRED", assert_hostname=None) as http:
        assert http.request("GET", bank.url("api")).status == 200


def test_a_proxy_that_would_see_the_request_is_refused(bank: Bank) -> None:
    with pytest.raises(certpin.ConfigError, match="use_forwarding_for_https"):
        PinnedProxyManager(bank.pins, "https://127.0.0.1:1", use_forwarding_for_https=True)


def test_a_refusal_is_not_retried(bank: Bank) -> None:
    told: queue.Queue[PinFailure] = queue.Queue()
    context = PinnedSSLContext(bank.pins, on_failure=[told.put])
    with PinnedPoolManager(context, retries=3) as http:
        for path in ("/first", "/second"):
            with pytest.raises(urllib3.exceptions.SSLError):
                http.request("GET", bank.url("mitm", path))
    assert [told.get(timeout=10).host for _ in range(2)] == ["mitm.test"] * 2
    assert told.empty()


def test_settings_repeated_by_other_threads_weaken_nothing(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While OpenSSL copies the settings, another thread sets those that urllib3 always sets."""
    context = PinnedSSLContext(bank.pins)
    connections = 0
    begin = tls_context._openssl_socket

    def restless(*args: Any, **options: Any) -> Any:
        nonlocal connections
        connections += 1
        with ThreadPoolExecutor(1) as threads:
            threads.submit(setattr, context, "verify_mode", ssl.CERT_REQUIRED).result()
            threads.submit(setattr, context, "check_hostname", True).result()
        return begin(*args, **options)

    monkeypatch.setattr(tls_context, "_openssl_socket", restless)
    with PinnedPoolManager(context) as http:
        assert http.request("GET", bank.url("api")).status == 200
    assert connections == 1


@pytest.fixture
def elsewhere(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> list[ssl.SSLSocket]:
    """Make urllib3 connect with another TLS context; return the connections that it made."""
    made: list[ssl.SSLSocket] = []

    def connect(self: Any) -> None:
        plain = socket.create_connection(("127.0.0.1", bank.web.port))
        self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)
        made.append(self.sock)

    monkeypatch.setattr(urllib3.connection.HTTPSConnection, "connect", connect)
    return made


def test_a_connection_that_the_context_did_not_check_is_refused(
    bank: Bank, elsewhere: list[ssl.SSLSocket]
) -> None:
    with (
        PinnedPoolManager(bank.pins, retries=3) as http,
        pytest.raises(urllib3.exceptions.SSLError) as caught,
    ):
        http.request("GET", bank.url("api"))
    assert isinstance(caught.value, certpin.UncheckedConnectionError)
    assert [each.fileno() for each in elsewhere] == [-1]  # one connection, and it is closed
    assert bank.arrived("api") == []


def test_a_connection_closes_itself_if_the_context_did_not_check_it(
    bank: Bank, elsewhere: list[ssl.SSLSocket]
) -> None:
    connection = PinnedHTTPSConnection(
        "api.test", bank.web.port, ssl_context=PinnedSSLContext(bank.pins)
    )
    with pytest.raises(Exception, match=r"api\.test|connection") as caught:
        connection.connect()
    assert isinstance(certpin.pin_error(caught.value), certpin.UncheckedConnectionError)
    assert [each.fileno() for each in elsewhere] == [-1]
