"""Deadlines of network exchanges: for one operation, for all, and cancelled by another thread."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from certpin.support.network import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def silent() -> Iterator[int]:
    """Yield the port of a server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.medium
def test_a_connection_is_shut_down_when_the_time_is_up(silent: int) -> None:
    deadline = Deadline(step=60, total=0.1)
    with deadline.enforced(), deadline.connect("127.0.0.1", silent) as sock:
        sock.settimeout(60)
        assert sock.recv(1) == b""  # not a timeout of the socket: it ended
    assert deadline.passed
    assert not deadline.cancelled


def test_another_thread_ends_the_exchange(silent: int) -> None:
    deadline = Deadline(step=60, total=60)
    with (
        deadline.enforced(),
        deadline.connect("127.0.0.1", silent) as sock,
        ThreadPoolExecutor(1) as pool,
    ):
        received = pool.submit(sock.recv, 1)
        deadline.cancel()
        assert received.result(30) == b""
    assert deadline.cancelled
    assert not deadline.wait(60)


def test_what_was_cancelled_before_does_not_connect(silent: int) -> None:
    deadline = Deadline(step=60, total=60)
    deadline.cancel()
    with pytest.raises(TimeoutError):
        deadline.connect("127.0.0.1", silent)


def test_a_step_has_no_more_time_than_the_exchange() -> None:
    assert Deadline(step=5, total=60).left == 5
    assert 0 < Deadline(step=60, total=5).left <= 5
    assert Deadline(step=60, total=-1).left > 0


def test_the_addresses_of_a_name_are_tried_in_turn(silent: int) -> None:
    deadline = Deadline(step=5, total=5)
    with deadline.enforced(), deadline.connect("localhost", silent) as sock:  # none on ::1
        assert sock.getpeername()[:2] == ("127.0.0.1", silent)
