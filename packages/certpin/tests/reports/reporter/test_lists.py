"""The revocation lists with which a reporter verifies a collector that has pins."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from certpin import PinnedSSLContext
from certpin.lab import Authority
from tests import kit
from tests.reports._collector import PATIENCE, Collector
from tests.reports._failures import failure
from tests.reports._reporting import QUICK, reporting

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Identity


@pytest.fixture
def private() -> Authority:
    return Authority("Private Root")


@pytest.fixture
def revoked(private: Authority) -> Identity:
    return private.issue("localhost")


@pytest.fixture
def lists(tmp_path: Path, private: Authority, revoked: Identity) -> Path:
    path = tmp_path / "private.crl"
    path.write_bytes(kit.revocation_list(private, revoked.chain[0]))
    return path


@pytest.mark.parametrize("newest", [1, 2], ids=["given", "newer"])
def test_a_revoked_collector_gets_no_report(
    tmp_path: Path, private: Authority, revoked: Identity, lists: Path, newest: int
) -> None:
    policy = kit.policy("localhost", private.pin, trust=kit.anchors(private))
    context = PinnedSSLContext(kit.pin_set(policy))
    context.load_verify_locations(lists)
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    for server, sent in ((revoked, False), (private.issue("localhost"), True)):
        with (
            Collector(server, "localhost") as collector,
            reporting(tmp_path / str(sent), settings=QUICK, context=context) as reporter,
        ):
            reporter.presence(kit.pin_set(policy, version=newest))
            reporter(failure(collector.url))
            assert reporter.flush(PATIENCE) is sent
            assert len(collector.arrived()) == sent


def test_lists_that_cannot_be_read_stop_reports_with_one_warning(
    tmp_path: Path, private: Authority, lists: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.create_default_context(cadata=private.pem.decode())
    context.load_verify_locations(lists)
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    server = private.issue("localhost")
    with (
        Collector(server, "localhost") as collector,
        reporting(tmp_path / "reports", settings=QUICK, context=context) as reporter,
    ):
        reporter.presence(kit.pin_set(kit.policy("localhost", server.pin)))
        reporter(failure(collector.url))
        for _ in range(2):
            assert not reporter.flush(PATIENCE)
        assert collector.arrived() == []
    assert caplog.text.count("load them into a PinnedSSLContext") == 1
