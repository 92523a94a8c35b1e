"""Refusing a server doesn't end the client's process with the signal SIGPIPE.

The client shuts its socket down before its last flight, so OpenSSL may write to a shut socket.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from certpin import PinError, PinnedSSLContext
from certpin.tls import gate
from certpin.tls.sigpipe import hold_sigpipe, release_sigpipe
from tests.cli._pinfiles import write
from tests.tls._handshakes import for_clients
from tests.tls._servers import RecordingServer, asking_for_certificate
from tests.tls._wire import HOST

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Authority
    from tests.tls.conftest import World

# The first argument is the action for SIGPIPE. It prints the type of the refusal, and
# whether the signal is unchanged.
_CLIENT = """
import signal, socket, ssl, sys
from certpin import PinError, PinnedSSLContext, PinSet
action, port, host, pins, certificate, key, version = sys.argv[1:]
before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
signal.signal(signal.SIGPIPE, getattr(signal, action))
context = PinnedSSLContext(PinSet.load(pins))
context.maximum_version = ssl.TLSVersion[version]
context.load_cert_chain(certificate, key)
for _ in range(2):
    with socket.create_connection(("127.0.0.1", int(port)), 10) as sock:
        try:
            context.wrap_socket(sock, server_hostname=host)
        except PinError as exc:
            print(type(exc).__name__)
print(signal.getsignal(signal.SIGPIPE).name == action, signal.sigpending() == set(),
      signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before)
"""


@pytest.mark.medium
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("action", ["SIG_DFL", "SIG_IGN"])
def test_a_refusal_is_raised_for_every_action_of_sigpipe(
    action: str, version: str, world: World, intermediate: Authority, tmp_path: Path
) -> None:
    client = intermediate.issue("client.example", change=for_clients).write(tmp_path)
    anchors = tmp_path / "anchors.pem"
    anchors.write_bytes(world.root.pem + world.rogue.pem)
    pins = tmp_path / "pins.toml"
    write(*world.pins().policies, trust=anchors, path=str(pins))
    with RecordingServer(asking_for_certificate(world.evil, world.root)) as server:
        _, port = server.address
        words = [action, str(port), HOST, pins, *client, version]
        done = subprocess.run(
            [sys.executable, "-c", _CLIENT, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["PinMismatchError"] * 2 + ["True"] * 3


def test_the_signal_is_blocked_while_the_last_flight_is_written(
    world: World, intermediate: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client blocks SIGPIPE before the last flight, and releases it afterwards.

    OpenSSL writes to the shut socket in most handshakes, but not in each of them.
    """
    calls: list[str] = []
    monkeypatch.setattr(gate, "hold_sigpipe", lambda: calls.append("hold"))
    monkeypatch.setattr(gate, "release_sigpipe", lambda: calls.append("release"))
    context = PinnedSSLContext(world.pins())
    context.load_cert_chain(
        *intermediate.issue("client.example", change=for_clients).write(tmp_path)
    )
    with (
        RecordingServer(asking_for_certificate(world.evil, world.root)) as server,
        socket.create_connection(server.address, 10) as sock,
        pytest.raises(PinError),
    ):
        context.wrap_socket(sock, server_hostname=HOST)
    assert calls[:2] == ["hold", "release"]


def test_a_signal_that_was_pending_before_stays_pending() -> None:
    """A program that blocked SIGPIPE itself still receives the pending signal later."""
    found: list[bool] = []

    def run() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        signal.pthread_kill(threading.get_ident(), signal.SIGPIPE)
        hold_sigpipe()
        release_sigpipe()
        found.append(signal.SIGPIPE in signal.sigpending())
        signal.sigwait({signal.SIGPIPE})
        blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPIPE})
        found.append(signal.SIGPIPE in blocked)

    before = signal.signal(signal.SIGPIPE, lambda *_: None)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    signal.signal(signal.SIGPIPE, before)
    assert found == [True, True]


def test_a_release_without_a_hold_changes_nothing() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    release_sigpipe()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


@pytest.mark.skipif(not hasattr(signal, "sigtimedwait"), reason="macOS can only wait")
def test_a_signal_taken_by_another_thread_causes_no_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run() -> None:
        hold_sigpipe()
        monkeypatch.setattr(signal, "sigpending", lambda: {signal.SIGPIPE})
        release_sigpipe()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
