"""Options and errors of the client for requests."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import requests

import certpin
from certpin.clients.requests import PinnedAdapter, PinnedSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.clients.conftest import Bank

pytestmark = pytest.mark.peer("nginx")


@pytest.fixture
def session(bank: Bank) -> Iterator[PinnedSession]:
    with PinnedSession(bank.pins) as session:
        yield session


@pytest.mark.parametrize(
    "option",
    [{"verify": False}, {"verify": "/etc/ssl/other.pem"}, {"cert": "client.pem"}],
    ids=["verify", "bundle", "cert"],
)
def test_options_about_tls_are_refused_for_each_request(
    session: PinnedSession, bank: Bank, option: dict[str, str]
) -> None:
    with pytest.raises(certpin.ConfigError, match="only the pinned context"):
        session.get(bank.url("api"), **option)  # type: ignore[arg-type]
    assert bank.arrived("api") == []


def test_options_about_tls_are_refused_for_a_session(session: PinnedSession, bank: Bank) -> None:
    session.verify = False
    with pytest.raises(certpin.ConfigError, match="verify"):
        session.get(bank.url("api"))


def test_options_about_tls_are_refused_for_prepared_requests(
    session: PinnedSession, bank: Bank
) -> None:
    prepared = session.prepare_request(requests.Request("GET", bank.url("mitm")))
    with pytest.raises(certpin.ConfigError, match="verify"):
        session.send(prepared, verify=False)
    assert bank.arrived("mitm") == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_of_the_environment_is_not_used(
    session: PinnedSession, bank: Bank, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "/nonexistent/bundle.pem")
    assert session.get(bank.url("api")).ok


def test_certifi_is_not_loaded(session: PinnedSession, bank: Bank) -> None:
    session.get(bank.url("api"))
    session.get(bank.url("backup"))
    assert len(session.context.trusted_roots()) == 1


def test_a_session_sends_only_through_pinned_adapters(session: PinnedSession, bank: Bank) -> None:
    session.mount("https://mitm.test", requests.adapters.HTTPAdapter())
    with pytest.raises(certpin.ConfigError, match=r"mount.*\n.*use PinnedAdapter"):
        session.get(bank.url("mitm"), verify=False)
    assert bank.arrived("mitm") == []


def test_a_redirect_bypasses_an_adapter_mounted_only_for_https(bank: Bank) -> None:
    """The documented limit: a plain session sends ``http://`` through its own adapter."""
    with requests.Session() as session:
        session.mount("https://", PinnedAdapter(bank.pins))
        assert session.get(bank.redirect(bank.clear_text())).text == "hello in clear text\n"


def test_the_error_names_the_request(session: PinnedSession, bank: Bank) -> None:
    with pytest.raises(requests.exceptions.SSLError) as caught:
        session.get(bank.url("mitm"))
    assert caught.value.request is not None
    assert caught.value.request.url == bank.url("mitm")


def test_options_of_the_adapter_are_passed_on(bank: Bank) -> None:
    adapter = PinnedAdapter(bank.pins, pool_connections=3, pool_maxsize=5, pool_block=True)
    options = adapter.poolmanager.connection_pool_kw
    behind = adapter.proxy_manager_for("http://user:secret@127.0.0.1:1")
    assert (options["maxsize"], options["block"]) == (5, True)
    assert behind.connection_pool_kw["maxsize"] == 5
    assert "Proxy-Authorization" in behind.proxy_headers
    assert adapter.proxy_manager_for("http://user:secret@127.0.0.1:1") is behind


@pytest.mark.parametrize(
    "take", [pickle.dumps, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"]
)
def test_a_session_is_not_copied_without_its_pins(
    session: PinnedSession, take: Callable[[Any], object]
) -> None:
    for each in (session, session.get_adapter("https://api.test/")):
        with pytest.raises(certpin.ConfigError, match="copied or pickled"):
            take(each)
