"""The interactive lab in a tunnel: cases for tested hosts, its page, and relays for all others."""

from __future__ import annotations

import pytest

from certpin.lab.device.page import HOST, Page
from certpin.lab.device.tunnel import _report_end, arrival
from certpin.lab.server.session import Destination
from tests.lab._serving import ONE, Rehearsal

PAGE = Page(b"R", b"R2", b"PEM", "")


def test_the_page_of_the_lab_is_there() -> None:
    conversation = arrival(Rehearsal(ONE).schedule, PAGE, Destination("wireguard", HOST, 80))
    conversation.receive(b"GET /r.cer HTTP/1.1\r\nHost: certpin.lab\r\n\r\n")
    assert conversation.data_to_send().endswith(b"\r\n\r\nR")
    assert conversation.done


def test_a_host_under_test_is_known_by_its_address_and_ends_are_heard() -> None:
    lab = Rehearsal(ONE)
    conversation = arrival(lab.schedule, PAGE, Destination("wireguard", "a.example", 443))
    turn = lab.schedule.queues["a.example"].current
    assert turn is not None
    assert len(turn.visits) == 1
    _report_end(conversation)
    assert turn.visits == []  # it sent no ClientHello


@pytest.mark.parametrize("said", [b"SSH-2.0-x\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_everything_else_passes_through(said: bytes) -> None:
    to = Destination("wireguard", "192.0.2.1", 22)
    conversation = arrival(Rehearsal(ONE).schedule, PAGE, to)
    conversation.receive(said)
    assert (conversation.passing, conversation.early) == (to, said)


def test_client_that_waits_for_the_server_is_relayed() -> None:
    to = Destination("wireguard", "192.0.2.1", 25)
    conversation = arrival(Rehearsal(ONE).schedule, PAGE, to)
    conversation.silent()  # type: ignore[union-attr]
    assert conversation.passing == to
