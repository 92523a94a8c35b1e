"""The function ``exchange``, which makes one small HTTP request."""

from __future__ import annotations

import socket

import pytest

from certpin.support.network import Deadline, exchange


def test_https_without_a_context_sends_nothing_in_clear_text() -> None:
    with pytest.raises(ValueError, match="https needs a context"):
        exchange("GET", "https://127.0.0.1:1/", Deadline(step=5, total=5), None)


def test_a_request_waits_for_no_confirmation_of_the_handshake() -> None:
    """Otherwise Nagle's algorithm delays it by a round trip (RFC 9293 section 3.7.4)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        deadline = Deadline(step=5, total=5)
        with deadline.enforced(), deadline.connect(*server.getsockname()) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
