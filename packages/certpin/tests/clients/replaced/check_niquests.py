"""Options, adapters and schemes of niquests."""

from __future__ import annotations

import copy
import pickle
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import niquests
import pytest

import certpin
from certpin.clients.niquests import (
    AsyncPinnedAdapter,
    AsyncPinnedSession,
    PinnedAdapter,
    PinnedSession,
)
from tests import kit
from tests.clients._examples import EXAMPLES, set_pins
from tests.clients._loops import run
from tests.servers.nginx import nginx
from tests.servers.tap import tap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin.lab import Authority
    from tests.clients.conftest import Bank

pytestmark = pytest.mark.peer("nginx")

WEAKENING: list[dict[str, Any]] = [
    {"verify": False},
    {"verify": "/etc/ssl/other.pem"},
    {"verify": b"PEM"},
    {"verify": "sha256_" + "00" * 32},
    {"cert": "client.pem"},
]
weakened = pytest.mark.parametrize("option", WEAKENING, ids=lambda option: str(option)[:24])


@pytest.fixture
def session(bank: Bank) -> Iterator[PinnedSession]:
    with PinnedSession(bank.pins) as session:
        yield session


@weakened
def test_options_about_tls_are_refused_for_each_request(
    session: PinnedSession, bank: Bank, option: dict[str, Any]
) -> None:
    with pytest.raises(certpin.ConfigError, match="only the pinned context"):
        session.get(bank.url("mitm"), **option)
    assert bank.arrived("mitm") == []


@weakened
def test_options_about_tls_are_refused_for_each_asynchronous_request(
    bank: Bank, option: dict[str, Any]
) -> None:
    async def work() -> None:
        async with AsyncPinnedSession(bank.pins) as session:
            await session.get(bank.url("mitm"), **option)

    with pytest.raises(certpin.ConfigError, match="only the pinned context"):
        run(work)
    assert bank.arrived("mitm") == []


@pytest.mark.parametrize("kind", [PinnedSession, AsyncPinnedSession])
@pytest.mark.parametrize(
    "option",
    [*WEAKENING, {"tls_configuration": niquests.TLSConfiguration(backend="rtls")}],
    ids=lambda option: str(option)[:24],
)
def test_options_about_tls_are_refused_for_a_session(
    kind: Any, bank: Bank, option: dict[str, Any]
) -> None:
    with pytest.raises(certpin.ConfigError, match="only the pinned context"):
        kind(bank.pins, **option)


@pytest.mark.parametrize("kind", [PinnedAdapter, AsyncPinnedAdapter])
def test_an_adapter_refuses_another_backend(kind: Any, bank: Bank) -> None:
    with pytest.raises(certpin.ConfigError, match="tls_configuration"):
        kind(bank.pins, tls_configuration=niquests.TLSConfiguration(backend="utls"))


def test_a_session_that_is_changed_later_is_refused(session: PinnedSession, bank: Bank) -> None:
    session.verify = False
    with pytest.raises(certpin.ConfigError, match="verify"):
        session.get(bank.url("mitm"))
    assert bank.arrived("mitm") == []


def test_a_plain_adapter_that_is_mounted_becomes_a_pinned_one(
    session: PinnedSession, bank: Bank
) -> None:
    session.mount("https://mitm.test", niquests.adapters.HTTPAdapter(pool_maxsize=3))
    with pytest.raises(certpin.PinMismatchError):
        session.get(bank.url("mitm"))
    assert session.get_adapter("https://mitm.test/")._pool_maxsize == 3
    assert bank.arrived("mitm") == []


def test_an_adapter_of_another_kind_is_refused(session: PinnedSession, bank: Bank) -> None:
    class OwnAdapter(niquests.adapters.HTTPAdapter):
        pass

    session.mount("https://mitm.test", OwnAdapter())
    with pytest.raises(certpin.ConfigError, match="mount"):
        session.get(bank.url("mitm"))
    with pytest.raises(certpin.ConfigError, match="mount"):
        session.get("http+unix://%2Frun%2Fdocker.sock/info")


def test_pins_hold_after_the_resolver_was_closed(session: PinnedSession, bank: Bank) -> None:
    """niquests mounts plain adapters again if its resolver was closed; the pins still apply."""
    session.resolver.close()
    assert session.get(bank.url("api")).ok
    with pytest.raises(certpin.PinMismatchError):
        session.get(bank.url("mitm"))


@pytest.mark.parametrize("scheme", ["ws", "psse"])
def test_a_scheme_without_tls_is_refused(session: PinnedSession, bank: Bank, scheme: str) -> None:
    with pytest.raises(certpin.InsecureRequestError):
        session.get(bank.clear_text().replace("http:", f"{scheme}:"))
    assert bank.arrived_in_clear_text() == []


@pytest.mark.parametrize("scheme", ["wss", "sse"])
def test_the_pins_hold_for_websockets_and_events(
    session: PinnedSession, bank: Bank, scheme: str
) -> None:
    with pytest.raises(certpin.PinMismatchError):
        session.get(bank.url("mitm").replace("https:", f"{scheme}:"))
    assert bank.arrived("mitm") == []


def test_happy_eyeballs_keep_the_refusal(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``happy_eyeballs``, niquests connects to each address in a thread, and wraps an error.

    The wrapped error must still be a ``PinMismatchError``.
    """
    one = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: one(*args, **kwargs) * 2)
    with (
        PinnedSession(bank.pins, happy_eyeballs=True) as session,
        pytest.raises(niquests.exceptions.SSLError) as caught,
    ):
        session.get(bank.url("mitm"))
    assert isinstance(caught.value, certpin.PinMismatchError)
    assert bank.arrived("mitm") == []


def test_revocation_is_asked_for_by_the_caller_only(bank: Bank) -> None:
    """Revocation checks contact hosts that have no pins, in clear text."""
    chosen = niquests.RevocationConfiguration()
    with PinnedSession(bank.pins) as session:
        assert session._revocation_configuration is None
    with PinnedSession(bank.pins, revocation_configuration=chosen) as session:
        assert session._revocation_configuration is chosen


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy], ids=["pickle", "copy"])
def test_a_session_is_not_pickled_without_its_pins(
    session: PinnedSession, take: Callable[[Any], object]
) -> None:
    for each in (session, session.get_adapter("https://api.test/")):
        with pytest.raises(certpin.ConfigError, match="copied or pickled"):
            take(each)


def test_multiplexed_requests_are_pinned(bank: Bank) -> None:
    with PinnedSession(bank.pins, multiplexed=True) as session:
        answers = [session.get(bank.url("api")) for _ in range(3)]
        session.gather()
        assert [each.status_code for each in answers] == [200] * 3
        with pytest.raises(certpin.PinMismatchError):
            session.get(bank.url("mitm"))
    assert bank.arrived("mitm") == []


@pytest.mark.parametrize("matching", [True, False], ids=["good", "rogue"])
def test_the_example_of_the_documentation(
    matching: bool, intermediate: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = intermediate.issue("localhost")
    set_pins(tmp_path, identity.pin if matching else kit.NOBODY_ELSE, monkeypatch)
    with nginx({"localhost": identity}) as server, tap(server.port) as wire:
        done = subprocess.run(
            [sys.executable, EXAMPLES / "pinned_niquests.py", "localhost", str(wire.port)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode == 0) is matching, done.stderr
    assert (wire.encrypted_records() > 1) is matching
    assert ("localhost refused: no certificate" in done.stderr) is not matching
