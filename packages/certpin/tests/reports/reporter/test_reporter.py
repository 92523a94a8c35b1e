"""The reporter with a real HTTP collector: what it reports, how often, and to which addresses."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

import certpin
from certpin import ConfigError, PinnedSSLContext
from certpin.lab import Authority
from certpin.reports import Report, Reporter
from certpin.reports.codecs import decode
from certpin.updates import UpdateEvent, UpdateStatus
from tests import kit
from tests.reports._collector import PATIENCE, Answer, Collector
from tests.reports._failures import HOST, NOW, Clock, failure
from tests.reports._reporting import QUICK, reporting

if TYPE_CHECKING:
    from pathlib import Path

    from certpin import PinFailure


def test_a_report_describes_the_failure_and_does_not_identify_the_device(
    tmp_path: Path, collector: Collector
) -> None:
    names = {"app": "bank", "app_version": "4.2", "network": "wifi"}
    with reporting(tmp_path, **names) as reporter:
        reporter(failure(collector.url))
        (arrival,) = collector.arrived(1)
    assert arrival.path == "/reports?app=bank"
    assert arrival.headers["content-type"] == "application/json"
    assert arrival.headers["content-encoding"] == "gzip"
    sent = {"accept-encoding", "connection", "content-encoding", "content-length", "content-type"}
    assert set(arrival.headers) == sent | {"host", "user-agent"}
    (report,) = decode(arrival.document, arrival.headers["content-type"], NOW)
    assert isinstance(report, Report)
    failed = failure()
    assert failed.verdict is not None
    assert failed.verdict.chain is not None
    assert report.verified == tuple(each.der for each in failed.verdict.chain.certificates)
    assert (report.served, report.host, report.at) == (failed.served, HOST, NOW)
    assert (report.decision, report.reason, report.pattern) == ("refuse", "mismatch", HOST)
    assert (report.pin_set, report.pin_set_version) == ("bank-app", 12)
    assert report.known_pins == (str(kit.NOBODY), str(kit.NOBODY_ELSE))
    client = report.client
    assert (client.app, client.app_version, client.network) == ("bank", "4.2", "wifi")
    assert (client.platform, client.library) == ("python", f"certpin {certpin.__version__}")


def test_the_same_failure_is_reported_once_an_hour_across_restarts(
    tmp_path: Path, collector: Collector
) -> None:
    clock = Clock()
    for pause in (0, 30, 31):
        clock.pass_by(minutes=pause)
        with reporting(tmp_path, clock=clock) as reporter:
            reporter(failure(collector.url))
            reporter(failure(collector.url))
            assert reporter.flush(PATIENCE)
    assert len(collector.arrived(2)) == 2


def test_every_address_but_the_failed_host_gets_the_report(
    tmp_path: Path, collector: Collector
) -> None:
    with Collector(name="localhost") as other, reporting(tmp_path) as reporter:
        reporter(failure(collector.url, other.url, host="localhost"))
        collector.arrived(1)
        reporter(failure(other.url, host="localhost", reason="expired"))
        assert reporter.flush(PATIENCE)
        assert other.arrived() == []
        assert len(collector.arrived()) == 1


class _Later:
    """A failure hook that passes failures on to a reporter that is set after the hook was made.

    A context needs its hooks when it is made, and this reporter needs the context.
    """

    never_waits = True
    reporter: Reporter

    def attach(self, context: object) -> None: ...

    def __call__(self, failed: PinFailure) -> None:
        self.reporter(failed)


@pytest.mark.parametrize("prompt", [True, False])
@pytest.mark.parametrize("covered", [True, False])
def test_a_failure_of_a_report_request_is_not_reported(
    root: Authority, tmp_path: Path, trusted_root: Path, prompt: bool, covered: bool
) -> None:
    """An app may use its pinned context for the report requests too (RFC 7469 section 2.1.4).

    If that context refuses the collector's chain, the refusal causes no further report.
    """
    with Collector(root.issue("localhost"), "localhost") as pinned, Collector() as other:
        policy = kit.policy("localhost" if covered else HOST, report_to=(other.url,))
        later = _Later()
        hook = later if prompt else later.__call__
        context = PinnedSSLContext(kit.pin_set(policy), on_failure=[hook])
        with reporting(tmp_path, context=context, report_to=[other.url]) as reporter:
            later.reporter = reporter
            reporter(failure(pinned.url))
            assert not reporter.flush(PATIENCE)
            assert not reporter.flush(PATIENCE)
        assert pinned.arrived() == []
        assert other.arrived() == []


def test_no_failure_in_the_sending_thread_is_reported(tmp_path: Path, collector: Collector) -> None:
    """A context used for sending may call hooks for a host that has a policy.

    The reporter ignores all failures that are reported to it in its sending thread.
    """

    class Telling:
        def report_context(self, host: str) -> None:
            reporter(failure(collector.url))
            raise OSError("it cannot be reached")

    context: Any = Telling()
    with reporting(tmp_path, context=context) as reporter:
        reporter(failure("https://pins.bank.test/", reason="expired"))
        for _ in range(2):
            assert not reporter.flush(PATIENCE)
    assert collector.arrived() == []


def test_a_pinned_collector_is_pinned_for_reports(
    root: Authority, tmp_path: Path, trusted_root: Path
) -> None:
    """If the collector's host has pins, reports are sent only to a server that matches them.

    See RFC 7469 section 2.1.4.
    """
    good, evil = root.issue("localhost"), root.issue("localhost")
    pins = kit.pin_set(kit.policy("localhost", good.pin), kit.policy(HOST))
    with Collector(evil, "localhost") as attacker, Collector(good, "localhost") as ours:
        for collector, sent in ((attacker, False), (ours, True)):
            with reporting(tmp_path / str(sent)) as reporter:
                context = PinnedSSLContext(pins, on_failure=[reporter])
                reporter(failure(collector.url))
                assert reporter.flush(PATIENCE) is sent
                assert context.pins is pins
            assert len(collector.arrived()) == sent


def test_a_report_is_sent_only_over_verified_tls(
    root: Authority, tmp_path: Path, trusted_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    strange = Authority("Unknown Root").issue("localhost")
    with (
        Collector(strange, "localhost") as attacker,
        Collector(root.issue("localhost"), "localhost") as ours,
        reporting(tmp_path) as reporter,
    ):
        reporter(failure(attacker.url, ours.url))
        for _ in range(2):
            assert not reporter.flush(PATIENCE)
        assert len(ours.arrived(1)) == 1
        assert attacker.arrived() == []
    (said,) = caplog.messages
    assert said.startswith("localhost takes no report now (")
    assert "unable to get local issuer certificate" in said


def test_temporary_errors_are_retried_and_permanent_ones_are_not(
    tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.answers += map(Answer, (503, 429, 408, 204, 410, 410))
    with reporting(tmp_path, settings=QUICK) as reporter:
        reporter(failure(collector.url))
        documents = [json.dumps(each.document) for each in collector.arrived(4)]
        assert len(set(documents)) == 1, "it is the same report, by the same name"
        with caplog.at_level(logging.WARNING, "certpin.reports"):
            reporter(failure(collector.url, reason="expired"))
            assert reporter.flush(PATIENCE)
        assert len(collector.arrived()) == 6
    assert caplog.messages == ["127.0.0.1 refuses a report (410)"]


@pytest.mark.parametrize("status", [400, 415, 422, 500])
def test_a_server_without_gzip_gets_plain_reports(
    tmp_path: Path, collector: Collector, status: int
) -> None:
    collector.answers.append(Answer(status))
    with reporting(tmp_path) as reporter:
        reporter(failure(collector.url))
        packed, plain = collector.arrived(2)
        reporter(failure(collector.url, reason="expired"))
        (*_, following) = collector.arrived(3)
        assert reporter.flush(PATIENCE)
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in following.headers
    assert packed.document == plain.document


def test_flush_honours_retry_after(tmp_path: Path, collector: Collector) -> None:
    collector.answers.append(Answer(503, {"Retry-After": "3600"}))
    with reporting(tmp_path, settings=QUICK) as reporter:
        reporter(failure(collector.url))
        collector.arrived(1)
        assert not reporter.flush(PATIENCE)
        assert not reporter.flush(PATIENCE)
    assert len(collector.arrived()) == 1


def test_retry_after_holds_for_the_next_process(tmp_path: Path, collector: Collector) -> None:
    clock = Clock()
    collector.answers.append(Answer(429, {"Retry-After": "3600"}))
    for minutes, sent in ((0, False), (59, False), (2, True)):
        clock.pass_by(minutes=minutes)
        with reporting(tmp_path, clock=clock) as reporter:
            reporter(failure(collector.url))
            assert reporter.flush(PATIENCE) is sent
    assert len(collector.arrived()) == 3


def test_no_redirect_is_followed(tmp_path: Path, collector: Collector) -> None:
    with Collector() as elsewhere, reporting(tmp_path) as reporter:
        collector.answers.append(Answer(307, {"Location": elsewhere.url}))
        reporter(failure(collector.url))
        collector.arrived(1)
        assert reporter.flush(PATIENCE)
        assert elsewhere.arrived() == []


def test_a_missing_address_is_logged_once(
    tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    with reporting(tmp_path) as reporter:
        reporter(failure())
        reporter(failure(collector.url, host="127.0.0.1"))
        assert reporter.flush(PATIENCE)
    (said,) = caplog.messages
    assert said.startswith(f"a failure at {HOST} is not reported")
    assert collector.arrived() == []


@pytest.mark.parametrize("text", ["x" * 256, 4.2])
def test_a_text_that_is_too_long_for_a_collector_is_refused(tmp_path: Path, text: Any) -> None:
    with pytest.raises(ConfigError, match="app_version: this is not a text"):
        Reporter(tmp_path, app_version=text)


def test_a_report_that_is_too_long_is_sent_without_chains(
    tmp_path: Path, collector: Collector
) -> None:
    with reporting(tmp_path) as reporter:
        reporter(failure(collector.url, served=(b"x" * 17_000, *[b"y" * 9000] * 30)))
        (arrival,) = collector.arrived(1)
    assert arrival.document["served-certificate-chain"] == []
    assert len(arrival.document["validated-certificate-chain"]) == 1


def test_a_failure_without_policy_goes_to_the_addresses_of_the_reporter(
    tmp_path: Path, collector: Collector
) -> None:
    with reporting(tmp_path, report_to=[collector.url]) as reporter:
        reporter(failure(policy=None, verdict=None, reason="UnpinnedHostError"))
        (arrival,) = collector.arrived(1)
    assert arrival.document["reason"] == "UnpinnedHostError"


def test_a_request_in_clear_text_is_reported_without_chains(
    tmp_path: Path, collector: Collector
) -> None:
    """Mode ``report`` let it pass."""
    clear: dict[str, Any] = {
        "decision": "report",
        "reason": "InsecureRequestError",
        "verdict": None,
        "served": (),
    }
    with reporting(tmp_path) as reporter:
        reporter(failure(collector.url, **clear))
        (arrival,) = collector.arrived(1)
    (report,) = decode(arrival.document, arrival.headers["content-type"], NOW)
    assert isinstance(report, Report)
    assert (report.decision, report.reason) == ("report", "InsecureRequestError")
    assert report.served == report.verified == ()


def test_a_relative_folder_stays_where_it_is_if_the_app_changes_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "later").mkdir()
    monkeypatch.chdir(tmp_path)
    with Reporter("reports") as reporter:
        monkeypatch.chdir(tmp_path / "later")
        reporter(failure("https://127.0.0.1:1/"))
        reporter.flush(0)
    assert [*(tmp_path / "later").iterdir()] == []
    assert [*(tmp_path / "reports").iterdir()]


def test_a_clock_without_a_time_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="time zone"):
        Reporter(tmp_path, clock=datetime.now)


def test_an_address_in_clear_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not an https:// address"):
        Reporter(tmp_path, report_to=["http://pins.bank.example/"])


def _event(version: int, at: datetime = NOW) -> UpdateEvent:
    status = UpdateStatus("fresh", "bank-app", version, at, None, 0, None, None)
    return UpdateEvent("checked", at, status)


def test_a_presence_with_the_version_is_reported_once_a_day(
    tmp_path: Path, collector: Collector
) -> None:
    clock = Clock()
    for hours, version in ((0, 12), (1, 12), (1, 13), (22, 13)):
        clock.pass_by(hours=hours)
        with reporting(tmp_path, clock=clock, report_to=[collector.url], app="bank") as reporter:
            reporter.on_update(_event(version))
            assert reporter.flush(PATIENCE)
    documents = [arrival.document for arrival in collector.arrived(2)]
    assert [each["pin-set-version"] for each in documents] == [12, 13]
    known = {"schema", "id", "date-time", "pin-set", "pin-set-version"}
    known |= {"app", "platform", "platform-version", "library"}
    assert [set(each) for each in documents] == [known, known]
    assert documents[0]["id"] != documents[1]["id"], "no name of a device"


def test_a_presence_goes_to_the_addresses_of_the_pin_set_by_default(
    tmp_path: Path, collector: Collector
) -> None:
    pins = kit.pin_set(kit.policy(HOST, report_to=(collector.url,)), kit.policy("other.test"))
    with reporting(tmp_path) as reporter:
        context = PinnedSSLContext(pins, on_failure=[reporter])
        reporter.presence(context.pins)
        (arrival,) = collector.arrived(1)
    assert (arrival.document["pin-set"], arrival.document["pin-set-version"]) == ("test", 1)


def test_no_presence_is_reported_if_its_day_cannot_be_saved(
    tmp_path: Path, collector: Collector
) -> None:
    (tmp_path / "file").write_text("")
    with reporting(tmp_path / "file" / "folder", report_to=[collector.url]) as reporter:
        reporter.presence(kit.pin_set(kit.policy(HOST)))
        reporter(failure(collector.url))
        (arrival,) = collector.arrived(1)
    assert arrival.document["schema"] == "certpin-report/1"
