"""Every pinned client behind real proxies: the host's pins apply, and the proxy needs none."""

from __future__ import annotations

import gc
import queue
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import certpin
from certpin import PinnedSSLContext
from certpin.clients.urllib3 import PinnedProxyManager
from certpin.lab import Authority
from tests import kit
from tests.clients._drivers import DRIVERS, driven, refusal
from tests.clients.conftest import Bank
from tests.servers._run import require_module
from tests.servers.nginx import nginx
from tests.servers.proxy import Proxy, http_proxy, https_proxy
from tests.servers.tap import socks_proxy, tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin import PinFailure, PinSet
    from tests.clients._driver import Driver

pytestmark = [
    pytest.mark.peer("nginx", "tinyproxy", "libnginx-mod-stream"),
    # Old versions of aiohttp claim this for uvloop too, which supports it.
    pytest.mark.filterwarnings("ignore:An HTTPS request is being sent through an HTTPS proxy"),
]

SOCKS = [each for each in DRIVERS if each.name.startswith(("requests", "niquests"))]
# The error texts of OpenSSL and rustls (rtls, if it is installed).
_UNKNOWN = "unable to get local issuer certificate|UnknownIssuer|CERTIFICATE_VERIFY_FAILED"
_OTHER_NAME = "IP address mismatch|doesn't match|not valid for name|NotValidForName"
driven_through_tls = pytest.mark.parametrize(
    "driver", [each for each in DRIVERS if each.https_proxies], ids=lambda driver: driver.name
)


@pytest.fixture(scope="module")
def home(intermediate: Authority) -> Iterator[Bank]:
    """A server named ``localhost``, which a proxy process can resolve too, and its pins."""
    identity = intermediate.issue("localhost")
    with nginx({"localhost": identity}) as web:
        yield Bank(web, kit.pin_set(kit.policy("localhost", identity.pin)), intermediate.pin)


@pytest.fixture
def url(home: Bank) -> str:
    return f"https://localhost:{home.web.port}/"


@pytest.fixture(scope="module")
def plain() -> Iterator[Proxy]:
    with http_proxy() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def encrypted(intermediate: Authority) -> Iterator[Proxy]:
    with https_proxy(intermediate.issue("127.0.0.1")) as proxy:
        yield proxy


def is_pinned_behind(proxy: Proxy, driver: Driver, home: Bank, url: str) -> bool:
    asked, arrived = len(proxy.asked()), len(home.web.arrived("localhost"))
    assert driver.get(home.pins, url, proxy=proxy.url) == ["hello from localhost\n"]
    told: queue.Queue[PinFailure] = queue.Queue()
    context = PinnedSSLContext(others(), on_failure=[told.put])
    refusal(driver, certpin.PinMismatchError, context, url, proxy=proxy.url)
    assert len(home.web.arrived("localhost")) == arrived + 1
    assert told.get(timeout=10).port == home.web.port, "that of the host, and not of the proxy"
    tunnels = [request.rpartition(" ")[0] for request in proxy.asked()[asked:]]
    return tunnels == [f"CONNECT localhost:{home.web.port}"] * 2


def others() -> PinSet:
    """Pins that no server has."""
    return kit.pin_set(kit.policy("localhost"))


@driven
def test_behind_a_proxy_the_pins_of_the_host_apply(
    driver: Driver, home: Bank, url: str, plain: Proxy
) -> None:
    assert is_pinned_behind(plain, driver, home, url)


@driven_through_tls
@pytest.mark.filterwarnings(
    # Before Python 3.13 asyncio fails on a failed handshake in TLS in TLS, and closes nothing.
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
)
def test_behind_a_tls_proxy_the_pins_of_the_host_apply(
    driver: Driver, home: Bank, url: str, encrypted: Proxy
) -> None:
    assert is_pinned_behind(encrypted, driver, home, url)
    gc.collect()


@driven
def test_a_kept_tunnel_that_new_pins_refuse_carries_no_request(
    driver: Driver, home: Bank, url: str, plain: Proxy
) -> None:
    context = PinnedSSLContext(home.pins)
    asked, arrived = len(plain.asked()), len(home.web.arrived("localhost"))
    after = replace(others(), version=2)
    steps = (url, lambda: context.swap(after), url)
    refusal(driver, certpin.PinMismatchError, context, *steps, proxy=plain.url)
    assert len(home.web.arrived("localhost")) == arrived + 1
    assert len(plain.asked()) == asked + 2, "the new connection goes through the proxy, too"


@driven_through_tls
def test_a_tls_proxy_is_verified(driver: Driver, home: Bank, url: str) -> None:
    with https_proxy(Authority("Unknown Root").issue("127.0.0.1")) as stranger:
        with pytest.raises(driver.base, match=_UNKNOWN):
            driver.get(home.pins, url, proxy=stranger.url)
        assert stranger.asked() == []


@driven_through_tls
def test_a_tls_proxy_with_a_certificate_for_another_name_is_refused(
    driver: Driver, home: Bank, url: str, intermediate: Authority
) -> None:
    with https_proxy(intermediate.issue("proxy.other.example")) as other:
        with pytest.raises(driver.base, match=_OTHER_NAME):
            driver.get(home.pins, url, proxy=other.url)
        assert other.asked() == []


@pytest.mark.parametrize("driver", SOCKS, ids=lambda driver: driver.name)
def test_behind_a_socks_proxy_the_pins_of_the_host_apply(
    driver: Driver, home: Bank, url: str
) -> None:
    require_module("socks", "PySocks")
    with socks_proxy(home.web.port) as proxy:
        address = f"socks5h://127.0.0.1:{proxy.port}"
        assert driver.get(home.pins, url, proxy=address) == ["hello from localhost\n"]
        refusal(driver, certpin.PinMismatchError, others(), url, proxy=address)
    assert len(proxy.sent) == 2


_INJECTED = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ninjected"


@driven
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n" + _INJECTED,
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(_INJECTED) + _INJECTED,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["after", "as body", "chunked"],
)
def test_bytes_that_a_proxy_sends_before_tls_are_no_response(
    driver: Driver, home: Bank, url: str, answer: bytes
) -> None:
    """An attacker on the way to the proxy could inject them (as CVE-2021-22947 with STARTTLS)."""
    with tunnel(home.web.port, answer) as proxy:
        assert driver.get(home.pins, url, proxy=proxy.url) == ["hello from localhost\n"]
    assert len(proxy.asked) == 1


@pytest.mark.parametrize(
    "driver",
    [each for each in DRIVERS if each.name != "stdlib"],  # it takes no URL with credentials
    ids=lambda driver: driver.name,
)
def test_a_proxy_and_a_rogue_behind_it_get_no_credentials(
    driver: Driver, home: Bank, url: str
) -> None:
    address = url.replace("localhost", "user:password@localhost")
    with tunnel(home.web.port) as proxy:
        refusal(driver, certpin.PinMismatchError, others(), address, proxy=proxy.url)
    assert proxy.asked[0].startswith(b"CONNECT localhost:%d " % home.web.port)
    assert b"authorization" not in proxy.asked[0].lower()
    assert proxy.in_clear_text() == b""
    assert proxy.encrypted_records() <= 1, "the Finished message, and no request"


@driven
def test_a_proxy_does_not_get_a_request_in_clear_text(
    driver: Driver, home: Bank, plain: Proxy
) -> None:
    asked = plain.asked()
    url = f"http://localhost:{home.web.plain}/"
    refusal(driver, certpin.InsecureRequestError, home.pins, url, proxy=plain.url)
    assert plain.asked() == asked


@pytest.mark.parametrize(
    "driver", [each for each in DRIVERS if each.name != "urllib3"], ids=lambda driver: driver.name
)
def test_the_proxy_of_the_environment_is_used(
    driver: Driver, home: Bank, url: str, plain: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", plain.url)
    asked = len(plain.asked())
    assert driver.get(home.pins, url) == ["hello from localhost\n"]
    assert len(plain.asked()) == asked + 1


@driven
def test_a_context_that_is_not_strict_pins_behind_a_proxy(
    driver: Driver, url: str, home: Bank, plain: Proxy
) -> None:
    context = PinnedSSLContext(others(), strict=False)
    refusal(driver, certpin.PinMismatchError, context, url, proxy=plain.url)


def test_a_proxy_with_a_policy_forwards_clear_text_to_other_hosts(home: Bank, plain: Proxy) -> None:
    """The policy is for TLS to the host of the proxy, and the request goes to another host."""
    context = PinnedSSLContext(home.pins, strict=False)
    with PinnedProxyManager(context, plain.url.replace("127.0.0.1", "localhost")) as http:
        answer = http.request("GET", f"http://127.0.0.1:{home.web.plain}/")
    assert answer.data == b"hello in clear text\n"
