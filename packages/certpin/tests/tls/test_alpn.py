"""ALPN protocols of client libraries that share a pinned context: each connection has its own."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from certpin.clients._common import ContextWrapper
from certpin.lab.lab_server import server_context
from certpin.pins import utc_now
from certpin.tls import context as tls_context
from certpin.x509.contexts import alpn_lock
from tests import kit
from tests.tls._servers import RecordingServer
from tests.tls._wire import HOST, Wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin import PinnedSSLContext
    from tests.tls.conftest import World


@pytest.fixture
def server(world: World) -> ssl.SSLContext:
    """A server that prefers HTTP/2."""
    context = server_context(world.good)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def wrapped(context: PinnedSSLContext, *protocols: str) -> ContextWrapper:
    wrapper = ContextWrapper(context)
    wrapper.set_alpn_protocols(protocols)
    return wrapper


def negotiated(client: ssl.SSLContext, server: ssl.SSLContext) -> str | None:
    wire = Wire(client, server).shake()
    assert wire.client.pin_checked
    return str(found) if (found := wire.client.selected_alpn_protocol()) else None


@pytest.mark.parametrize("with_trust_file", [False, True])
def test_each_wrapper_of_a_context_has_its_own_protocols(
    world: World, server: ssl.SSLContext, with_trust_file: bool
) -> None:
    fields: dict[str, Any] = {"trust": kit.anchors(world.root)} if with_trust_file else {}
    context = world.context(**fields)
    new, old, none = (
        wrapped(context, "h2", "http/1.1"),
        wrapped(context, "http/1.1"),
        wrapped(context),
    )
    for _ in range(2):
        assert negotiated(new, server) == "h2"
        assert negotiated(context, server) is None
        assert negotiated(old, server) == "http/1.1"
        assert negotiated(none, server) is None


def test_the_protocols_of_the_context_itself_stay_in_force(
    world: World, server: ssl.SSLContext
) -> None:
    context = world.context()
    context.set_alpn_protocols(["h2"])
    wrapper = wrapped(context, "http/1.1")
    assert negotiated(wrapper, server) == "http/1.1"
    assert negotiated(context, server) == "h2"
    context.set_alpn_protocols(["http/1.1"])
    context.set_alpn_protocols(["http/1.1"])
    assert negotiated(wrapped(context, "h2"), server) == "h2"
    assert negotiated(context, server) == "http/1.1"


def test_an_invalid_protocol_is_refused_and_changes_nothing(
    world: World, server: ssl.SSLContext
) -> None:
    context = world.context()
    for each in (context, wrapped(context, "h2")):
        before = negotiated(each, server)
        with pytest.raises(ssl.SSLError):
            each.set_alpn_protocols(["x" * 256])
        assert negotiated(each, server) == before


@pytest.mark.medium
def test_threads_get_their_own_protocols(world: World, server: ssl.SSLContext) -> None:
    context = world.context()
    clients = {
        "h2": wrapped(context, "h2"),
        "http/1.1": wrapped(context, "http/1.1"),
        None: context,
    }
    together = Barrier(len(clients))

    def connect(expected: str | None) -> set[str | None]:
        together.wait(timeout=10)
        return {negotiated(clients[expected], server) for _ in range(50)}

    with ThreadPoolExecutor(len(clients)) as threads:
        found = list(threads.map(connect, clients))
    assert found == [{each} for each in clients]


@pytest.fixture
def while_openssl_begins(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """Functions to call, once each, just before OpenSSL copies the settings for a connection."""
    calls: list[Callable[[], object]] = []
    begin = tls_context._openssl_bio

    def interrupted(*args: Any, **options: Any) -> Any:
        if calls:
            calls.pop()()
        return begin(*args, **options)

    monkeypatch.setattr(tls_context, "_openssl_bio", interrupted)
    return calls


def test_no_other_thread_changes_the_protocols_while_openssl_copies_them(
    world: World, server: ssl.SSLContext, while_openssl_begins: list[Callable[[], object]]
) -> None:
    got: list[bool] = []

    def try_to_change() -> None:
        with ThreadPoolExecutor(1) as threads:
            got.append(threads.submit(alpn_lock.held.acquire, blocking=False).result())

    while_openssl_begins.append(try_to_change)
    assert negotiated(wrapped(world.context(), "h2"), server) == "h2"
    assert got == [False]


def test_a_connection_that_a_signal_handler_interrupts_has_its_own_protocols(
    world: World, server: ssl.SSLContext, while_openssl_begins: list[Callable[[], object]]
) -> None:
    context = world.context()
    while_openssl_begins.append(lambda: negotiated(context, server))
    assert negotiated(wrapped(context, "h2"), server) == "h2"


def test_a_connection_that_began_before_the_first_wrapper_does_not_get_its_protocols(
    world: World, server: ssl.SSLContext, while_openssl_begins: list[Callable[[], object]]
) -> None:
    context = world.context()
    while_openssl_begins.append(lambda: negotiated(wrapped(context, "h2"), server))
    assert negotiated(context, server) is None


def test_a_connection_within_the_handshake_of_a_wrapper_has_the_protocols_of_its_context(
    world: World, server: ssl.SSLContext
) -> None:
    found: list[str | None] = []
    calls = [lambda: found.append(negotiated(context, server))]

    def clock() -> datetime:
        if calls:
            calls.pop()()
        return utc_now()

    context: PinnedSSLContext = world.context()
    context._enforcer.clock = clock
    wrapper = wrapped(context, "h2")
    with (
        RecordingServer(server) as listening,
        wrapper.wrap_socket(listening.connect(), server_hostname=HOST) as tls,
    ):
        assert tls.selected_alpn_protocol() == "h2"
    assert found == [None]


_FORK = """
import os, sys, threading
from certpin.x509.contexts import alpn_lock

held, end = threading.Event(), threading.Event()

def hold():
    with alpn_lock.held:
        held.set()
        end.wait()

threading.Thread(target=hold).start()
held.wait()
if child := os.fork():
    end.set()
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os._exit(0 if alpn_lock.held.acquire(blocking=False) else 1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.medium
def test_a_forked_process_does_not_wait_for_a_thread_of_its_parent() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", _FORK], check=False, timeout=30)
    assert done.returncode == 0


def test_no_other_context_waits_for_the_settings_of_this_one(world: World) -> None:
    """A context waits for its own lock before it acquires the ALPN lock, which all contexts share.

    Another thread can hold the context's lock for a long time, for example while it loads a large
    CA file. If the ALPN lock were acquired first, the other contexts would have to wait, too.
    """
    context = world.context()
    lock, held_before = context._configuring.held, []
    last: Any = alpn_lock.held

    class Watched:
        def __enter__(self) -> None:
            held_before.append(last._is_owned())
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()

    context._configuring.held = Watched()  # type: ignore[assignment]
    context.set_alpn_protocols(["h2"])
    assert held_before[0] is False
