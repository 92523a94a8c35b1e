"""Pinned contexts in forked processes, and while the function for a client key's password runs."""

from __future__ import annotations

import os
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from certpin import ConfigError, PinnedSSLContext
from certpin.lab.lab_server import server_context
from certpin.support import forks
from tests import kit
from tests.tls._handshakes import for_clients
from tests.tls._wire import Wire
from tests.updates.test_crashes import forked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.tls.conftest import World

PATIENCE = 20  # seconds
PASSWORD = "hunter2-hunter2"

forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
threaded = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture
def locked(world: World, tmp_path: Path) -> Path:
    """Return the path of a client certificate with an encrypted key."""
    identity = world.intermediate.issue("client.example", change=for_clients)
    key = identity.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.encode())
    )
    path = tmp_path / "locked.pem"
    path.write_bytes(identity.chain_pem + key)
    return path


def use(world: World, context: PinnedSSLContext) -> None:
    """Use a context as apps and client libraries do: change its settings, and connect."""
    context.set_alpn_protocols(["http/1.1"])
    context.swap(world.pins(version=context.pins.version + 1))
    context.check_hostname = True
    wire = Wire(context, server_context(world.good)).shake()
    assert wire.client.pin_verdict.reason == "match"
    assert wire.session() is not None  # which the context remembers


def test_a_context_can_be_used_while_the_function_for_a_password_runs(
    world: World, locked: Path
) -> None:
    """The function may fetch the password from a server, with the same context."""
    context = world.context()
    with ThreadPoolExecutor(1) as pool:

        def password() -> str:
            pool.submit(use, world, context).result(PATIENCE)
            return PASSWORD

        context.load_cert_chain(locked, password=password)
    assert context.pins.version == 2
    assert context._client_identity is not None


def test_a_weak_client_certificate_is_loaded_if_the_ciphers_allow_it(
    world: World, tmp_path: Path
) -> None:
    context = world.context()
    weak = rsa.generate_private_key(65537, 1024)
    files = world.intermediate.issue("client.example", key=weak, change=for_clients).write(tmp_path)
    with pytest.raises(ssl.SSLError, match=r"KEY_TOO_SMALL|key too small"):
        context.load_cert_chain(*files)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(*files)
    assert context._client_identity is not None


def test_an_encrypted_key_without_a_password_is_refused(world: World, locked: Path) -> None:
    """OpenSSL would ask on the terminal: for each trust file, and again after a swap."""
    context = PinnedSSLContext(world.pins(trust=kit.anchors(world.root)))
    with pytest.raises(ConfigError, match="is encrypted") as caught:
        context.load_cert_chain(locked)
    assert caught.value.key == "password"
    assert "password=getpass.getpass" in caught.value.fix
    assert context._client_identity is None
    context.load_cert_chain(locked, password=PASSWORD)


def test_a_swap_does_not_ask_for_the_password_again(world: World, locked: Path) -> None:
    calls: list[str] = []

    def password() -> str:
        calls.append("asked")
        return PASSWORD

    context = world.context()
    context.load_cert_chain(locked, password=password)
    context.swap(world.pins(version=2, trust=kit.anchors(world.root)))
    assert calls == ["asked"]


def test_a_wrong_password_changes_nothing(world: World, locked: Path) -> None:
    context = world.context()
    with pytest.raises(ssl.SSLError, match="PEM lib"):
        context.load_cert_chain(locked, password=lambda: "wrong")
    assert context._client_identity is None
    assert context._msg_callback is None  # type: ignore[attr-defined]
    use(world, context)


@forking
@threaded
def test_a_child_that_is_forked_while_a_password_is_fetched_can_use_the_context(
    world: World, locked: Path
) -> None:
    context = world.context()
    asked, let_go = threading.Event(), threading.Event()

    def password() -> str:
        asked.set()
        let_go.wait(PATIENCE)
        return PASSWORD

    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(context.load_cert_chain, locked, password=password)
        assert asked.wait(PATIENCE)
        child = forked(lambda: use(world, context))
        ended = os.waitpid(child, 0)[1]
        let_go.set()
        loading.result(PATIENCE)
    assert ended == 0
    use(world, context)


@forking
@threaded
@pytest.mark.parametrize(
    "lock_of",
    [
        lambda context: context._verifying,
        lambda context: context._enforcer.sessions._lock,
    ],
    ids=["verification settings", "sessions"],
)
def test_a_child_that_is_forked_while_a_lock_is_held_does_not_wait_for_it(
    world: World, lock_of: Callable[[PinnedSSLContext], forks.ForkedLock]
) -> None:
    context = world.context()
    held, let_go = threading.Event(), threading.Event()

    def hold() -> bool:
        with lock_of(context).held:
            held.set()
            return let_go.wait(PATIENCE)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert held.wait(PATIENCE)
        child = forked(lambda: use(world, context))
        ended = os.waitpid(child, 0)[1]
        let_go.set()
        assert holding.result()  # neither the fork nor the child waited
    assert ended == 0


def test_no_process_forks_in_the_middle_of_a_change_of_settings(world: World, locked: Path) -> None:
    """Otherwise a child could have a certificate in one store and not in another."""
    context = world.context()
    taking = context._configuring.held.acquire
    with ThreadPoolExecutor(1) as pool:
        forks._before()
        try:
            assert not pool.submit(taking, blocking=False).result(PATIENCE)
            loading = pool.submit(context.load_cert_chain, locked, password=PASSWORD)
        finally:
            forks._in_parent()
        loading.result(PATIENCE)
    assert context._client_identity is not None
