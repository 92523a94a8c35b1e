"""A pinned context is for clients: its use on the server's side raises a clear error."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from certpin import PinnedSSLContext
from tests import kit
from tests.tls._handshakes import HOST

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Authority


@pytest.fixture
def context(root: Authority, tmp_path: Path) -> PinnedSSLContext:
    made = PinnedSSLContext(kit.pin_set(kit.policy(HOST)), strict=False)
    made.load_cert_chain(*root.issue(HOST).write(tmp_path))
    return made


@pytest.mark.parametrize("host", [None, HOST])
def test_a_socket_on_the_servers_side_is_an_error(
    context: PinnedSSLContext, host: str | None
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ValueError, match="is for clients") as caught:
        context.wrap_socket(ours, server_side=True, server_hostname=host)
    assert not isinstance(caught.value, ssl.SSLError)


def test_a_server_side_socket_without_a_handshake_is_an_error(context: PinnedSSLContext) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ValueError, match="is for clients"):
        context.wrap_socket(ours, server_side=True, do_handshake_on_connect=False)


def test_a_listening_socket_is_an_error(context: PinnedSSLContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with pytest.raises(ValueError, match="is for clients"):
            context.wrap_socket(listening, server_side=True)
        assert listening.fileno() >= 0  # it still belongs to the caller


@pytest.mark.parametrize("host", [None, HOST])
def test_a_memory_bio_on_the_servers_side_is_an_error(
    context: PinnedSSLContext, host: str | None
) -> None:
    with pytest.raises(ValueError, match="is for clients"):
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True, server_hostname=host)


def test_a_client_without_a_name_is_refused(context: PinnedSSLContext) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="no server name"):
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO())
