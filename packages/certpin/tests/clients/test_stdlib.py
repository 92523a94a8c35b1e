"""Options and errors of the opener for urllib.request."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.error
from typing import TYPE_CHECKING, Any

import pytest

import certpin
from certpin.clients import stdlib

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.conftest import Bank

pytestmark = pytest.mark.peer("nginx")


def test_the_reason_is_the_refusal(bank: Bank) -> None:
    with pytest.raises(urllib.error.URLError) as caught:
        stdlib.opener(bank.pins).open(bank.url("mitm"))
    assert isinstance(caught.value.reason, certpin.PinMismatchError)


@pytest.mark.parametrize("address", ["file://{file}", "ftp://api.test/", "data:,hello"])
def test_only_http_urls_are_opened(bank: Bank, tmp_path: Path, address: str) -> None:
    file = tmp_path / "secret"
    file.write_text("secret")
    with pytest.raises(urllib.error.URLError, match="unknown url type"):
        stdlib.opener(bank.pins).open(address.format(file=file))


def test_an_error_of_the_server_is_raised(bank: Bank) -> None:
    loop = bank.redirect(bank.url("api", "/redirect"))
    with pytest.raises(urllib.error.HTTPError) as caught:
        stdlib.opener(bank.pins).open(loop)
    caught.value.close()


@pytest.mark.parametrize("scheme", ["https", "HTTPS", "socks5"])
@pytest.mark.parametrize("where", ["argument", "environment"])
def test_no_password_goes_to_a_proxy_that_needs_more_than_clear_text(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, where: str, scheme: str
) -> None:
    """``urllib`` would ignore the scheme, and send CONNECT with the password in clear text."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        address = f"{scheme}://scott:correct-horse@127.0.0.1:{proxy.getsockname()[1]}"
        monkeypatch.setenv("https_proxy", address if where == "environment" else "")
        proxies = {"https": address} if where == "argument" else None
        opener = stdlib.opener(bank.pins, proxies=proxies)
        with pytest.raises(certpin.ConfigError, match=f"'{scheme}'") as caught:
            opener.open(bank.url("api"))
        with pytest.raises(BlockingIOError):
            proxy.accept()
    assert "correct-horse" not in str(caught.value)
    assert "http:// proxy" in caught.value.fix


def test_a_host_in_no_proxy_needs_no_proxy(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "https://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "api.test")
    with stdlib.opener(bank.pins).open(bank.url("api")) as response:
        assert response.status == 200


def test_a_connection_that_the_context_did_not_check_is_closed(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``http.client`` is patched to connect with a plain context; the opener closes it."""
    made: list[ssl.SSLSocket] = []

    def connect(self: Any) -> None:
        plain = socket.create_connection(("127.0.0.1", bank.web.port))
        self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)
        made.append(self.sock)

    monkeypatch.setattr(http.client.HTTPSConnection, "connect", connect)
    with pytest.raises(urllib.error.URLError) as caught:
        stdlib.opener(bank.pins).open(bank.url("api"))
    assert isinstance(certpin.pin_error(caught.value), certpin.UncheckedConnectionError)
    assert [each.fileno() for each in made] == [-1]
    assert bank.arrived("api") == []
