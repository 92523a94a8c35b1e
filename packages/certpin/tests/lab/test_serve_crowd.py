"""Five hundred concurrent connections, and each host gets the verdict of its client."""

from __future__ import annotations

import asyncio

import pytest

from certpin.lab.device.lab import max_connections
from certpin.lab.verdict import Verdict
from tests.lab._crowd import CROWD, all_at_once, contexts, verdicts
from tests.lab._device import cases, device_lab, results


@pytest.fixture
def files() -> None:
    """Raise the limit of open files, and check that it is enough for both ends of connections."""
    assert max_connections() > 2 * CROWD


@pytest.mark.slow
@pytest.mark.usefixtures("files")
def test_five_hundred_hosts_at_once_each_get_their_own_verdict() -> None:
    verdict_of, right = verdicts()
    assert verdict_of == right
    assert len(verdict_of) == CROWD


@pytest.mark.slow
@pytest.mark.usefixtures("files")
def test_five_hundred_connections_to_two_hosts_all_meet_the_case_that_was_on() -> None:
    hosts = ("right.example", "wrong.example")
    with device_lab(cases("rogue-ca-in-store", "untrusted-ca"), *hosts) as lab:
        clients = list(zip(hosts, contexts(lab), strict=True))
        crowd = [clients[number % 2] for number in range(CROWD)]
        assert all(asyncio.run(all_at_once(lab, clients)))
        content = asyncio.run(all_at_once(lab, crowd))
        assert content == [host == "wrong.example" for host, _ in crowd]
        for _ in range(2):  # only untrusted-ca is active
            assert not any(asyncio.run(all_at_once(lab, clients)))
        assert all(asyncio.run(all_at_once(lab, clients)))
        verdict_of = {(host, result.case.name): result.verdict for host, result in results(lab)}
    assert verdict_of == {
        ("right.example", "rogue-ca-in-store"): Verdict.REJECT,
        ("wrong.example", "rogue-ca-in-store"): Verdict.ACCEPT,
        ("right.example", "untrusted-ca"): Verdict.REJECT,
        ("wrong.example", "untrusted-ca"): Verdict.REJECT,
    }
