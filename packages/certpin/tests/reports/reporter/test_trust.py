"""The pins and the roots with which a reporter connects to a collector, and reports that wait.

In each test the platform trusts the chains of all collectors, so that only the pins differ.
"""

from __future__ import annotations

import gc
import json
import signal
import ssl
import subprocess
import threading
import weakref
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from certpin import PinnedSSLContext, PinSet
from certpin.lab import Authority
from certpin.reports.reporter.trust import ReportTrust
from certpin.updates import UpdateEvent, UpdateStatus
from tests import kit
from tests.reports._collector import PATIENCE, Answer, Collector
from tests.reports._failures import HOST, NOW, Clock, failure
from tests.reports._reporting import QUICK, reporting
from tests.updates.test_crashes import in_a_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin import Pin
    from certpin.lab import Identity
    from certpin.reports import Reporter
    from certpin.updates.status import What

pytestmark = pytest.mark.usefixtures("trusted_root")


@pytest.fixture
def good(root: Authority) -> Identity:
    return root.issue("localhost")


@pytest.fixture
def ours(good: Identity) -> Iterator[Collector]:
    """The collector with the pinned key."""
    with Collector(good, "localhost") as running:
        yield running


@pytest.fixture
def rogue(root: Authority) -> Iterator[Collector]:
    """An attacker's collector: the platform trusts its chain, and no pin matches."""
    with Collector(root.issue("localhost"), "localhost") as running:
        yield running


def pinning(*pins: Pin, **fields: Any) -> PinSet:
    """Return a pin set with these pins for the collectors, and another host."""
    return kit.pin_set(kit.policy("localhost", *pins), kit.policy(HOST), **fields)


def _presence(reporter: Reporter, pins: PinSet) -> None:
    reporter.presence(pins)


def _update(
    reporter: Reporter, pins: PinSet, *, what: What = "updated", recovered: bool = False
) -> None:
    status = UpdateStatus(
        "fresh", pins.name, pins.version, NOW, None, 0, None, None, pins, recovered
    )
    reporter.on_update(UpdateEvent(what, NOW, status))


def _lost_context(reporter: Reporter, pins: PinSet) -> None:
    context = weakref.ref(PinnedSSLContext(pins, on_failure=[reporter]))
    gc.collect()
    assert context() is None


def _lost_after_a_swap(reporter: Reporter, pins: PinSet) -> None:
    context = PinnedSSLContext(kit.pin_set(kit.policy(HOST)), on_failure=[reporter])
    context.swap(kit.pin_set(*pins.policies, version=2))
    del context
    gc.collect()


@pytest.mark.parametrize("give", [_presence, _update, _lost_context, _lost_after_a_swap])
def test_a_collector_is_pinned_by_every_pin_set_that_the_reporter_was_given(
    tmp_path: Path,
    good: Identity,
    ours: Collector,
    rogue: Collector,
    give: Callable[[Reporter, PinSet], None],
) -> None:
    with reporting(tmp_path / "reports", settings=QUICK) as reporter:
        give(reporter, pinning(good.pin))
        reporter(failure(rogue.url))
        assert not reporter.flush(PATIENCE)
        reporter(failure(ours.url, reason="expired"))
        assert not reporter.flush(PATIENCE)
        assert len(ours.arrived(1)) == 1
    assert rogue.arrived() == []


def test_a_presence_itself_is_sent_to_the_pinned_collector_only(
    tmp_path: Path, good: Identity, ours: Collector, rogue: Collector
) -> None:
    for collector, sent in ((rogue, False), (ours, True)):
        policies = kit.policy("localhost", good.pin), kit.policy(HOST, report_to=(collector.url,))
        with reporting(tmp_path / str(sent)) as reporter:
            reporter.presence(kit.pin_set(*policies))
            assert reporter.flush(PATIENCE) is sent
        assert len(collector.arrived()) == sent


def test_a_report_of_a_pinned_collector_waits_for_its_pins_in_the_next_process(
    tmp_path: Path, good: Identity, ours: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    ours.answers.append(Answer(503, {"Retry-After": "60"}))
    clock = Clock()
    with reporting(tmp_path / "reports", clock=clock) as reporter:
        reporter.presence(pinning(good.pin))
        reporter(failure(ours.url))
        assert not reporter.flush(PATIENCE)
    clock.pass_by(minutes=2)
    with reporting(tmp_path / "reports", clock=clock) as reporter:
        other = PinnedSSLContext(kit.pin_set(kit.policy(HOST)), on_failure=[reporter])
        for _ in range(2):
            assert not reporter.flush(PATIENCE)
        assert len(ours.arrived()) == 1
        assert reporter.lost == 0
        (said,) = (each for each in caplog.messages if "wait for the pin set" in each)
        assert "call reporter.presence(pins)" in said
        other.swap(pinning(good.pin, version=2))
        assert len(ours.arrived(2)) == 2, "without another flush"
        assert reporter.flush(PATIENCE)


@pytest.mark.parametrize("pinned", [{}, {"pinned": False}], ids=["older version", "no pins then"])
def test_an_earlier_report_without_pins_waits_until_the_app_can_have_given_them(
    tmp_path: Path, good: Identity, rogue: Collector, pinned: dict[str, bool]
) -> None:
    """The app makes the reporter first, and then the context with the pins of the collector."""
    _queue(tmp_path, rogue.url, **pinned)
    with reporting(tmp_path) as reporter:
        _wait_for_a_round(reporter)
        context = PinnedSSLContext(pinning(good.pin), on_failure=[reporter])
        assert not reporter.flush(PATIENCE)
        assert context.pins.policy_for("localhost") is not None
    assert rogue.arrived() == []


def test_a_reporter_that_ends_before_its_first_use_sends_no_earlier_report(
    tmp_path: Path, rogue: Collector
) -> None:
    """For example because of an exception before the app gives it the pins of the collector."""
    _queue(tmp_path, rogue.url)
    with reporting(tmp_path) as reporter:
        _wait_for_a_round(reporter)
        reporter.close(PATIENCE)
    assert rogue.arrived() == []
    with reporting(tmp_path) as reporter:
        assert reporter.flush(PATIENCE)
    assert len(rogue.arrived()) == 1, "the report was kept"


def _give_other_pins(reporter: Reporter) -> None:
    reporter.attach(PinnedSSLContext(kit.pin_set(kit.policy(HOST))))


def _report_a_failure(reporter: Reporter) -> None:
    reporter(failure())  # with no address to send it to


@pytest.mark.parametrize("use", [_give_other_pins, _report_a_failure])
def test_an_earlier_report_for_a_collector_without_pins_is_sent_at_the_first_use(
    tmp_path: Path, ours: Collector, use: Callable[[Reporter], None]
) -> None:
    _queue(tmp_path, ours.url)
    with reporting(tmp_path) as reporter:
        _wait_for_a_round(reporter)
        assert ours.arrived() == []
        use(reporter)
        ours.arrived(1)
        assert reporter.flush(PATIENCE)


def test_no_report_is_sent_without_pins_that_come_while_its_context_is_chosen() -> None:
    trust, order = ReportTrust(None, Clock()), []

    class Meanwhile(tuple[Any, ...]):
        __slots__ = ()

        def __reversed__(self) -> Iterator[Any]:
            trust.add(pinning())
            return iter(())

    class Ordered(ReportTrust):
        def begin(self) -> bool:
            order.append(len(self._known))
            return super().begin()

    trust._known = Meanwhile()
    assert trust.context_for("localhost", pinned=False) is None
    assert isinstance(trust.context_for("localhost", pinned=False), PinnedSSLContext)
    Ordered(None, Clock()).add(pinning())
    assert order == [1], "the pins are known before unpinned collectors are allowed"


def _queue(folder: Path, url: str, **fields: object) -> None:
    """Write a file with a queued report."""
    content = {"to": url, "document": {"n": 1}, **fields}
    name = f"{int(NOW.timestamp() * 1000):015d}-00112233445566aa.json"
    (folder / name).write_text(json.dumps(content))


def _wait_for_a_round(reporter: Reporter) -> None:
    """Wait until the reporter has tried to send the reports of an earlier process."""
    sender = reporter._sender
    with sender._changed:
        assert sender._changed.wait_for(lambda: sender._completed, PATIENCE)


@pytest.mark.parametrize("value", [True, None, 0, "false", []])
def test_a_file_with_any_other_value_than_false_waits_for_pins(
    tmp_path: Path, ours: Collector, value: object
) -> None:
    _queue(tmp_path, ours.url, pinned=value)
    with reporting(tmp_path) as reporter:
        assert not reporter.flush(PATIENCE)
    assert ours.arrived() == []


def test_the_newest_version_of_a_pin_set_is_used_and_a_recovery_is_followed(
    tmp_path: Path, good: Identity, ours: Collector, rogue: Collector
) -> None:
    """An attacker with the keys that sign pin sets may have published a higher version."""
    with reporting(tmp_path / "reports", settings=QUICK) as reporter:
        stolen = pinning(version=9)
        updated = PinnedSSLContext(stolen, on_failure=[reporter])
        older = PinnedSSLContext(pinning(good.pin, version=8), on_failure=[reporter])
        reporter(failure(ours.url))
        assert not reporter.flush(PATIENCE)
        older.swap(pinning(kit.NOBODY_ELSE, good.pin, version=8), recover=True)
        assert not reporter.flush(PATIENCE), "it never had the newest version"
        assert ours.arrived() == []
        updated.swap(pinning(good.pin, version=7), recover=True)
        assert reporter.flush(PATIENCE)
        assert len(ours.arrived()) == 1
        _update(reporter, pinning(version=6), recovered=True)
        reporter(failure(ours.url, reason="expired"))
        assert not reporter.flush(PATIENCE), "an updater without this hook has recovered"
    assert rogue.arrived() == []


@pytest.mark.parametrize(
    ("what", "recovered"), [("updated", False), ("failed", False), ("failed", True)]
)
def test_an_updater_rolls_no_pins_back_without_a_recovery(
    root: Authority, tmp_path: Path, good: Identity, what: What, recovered: bool
) -> None:
    """Another updater may still have the pin set that was bundled with the app."""
    stolen = root.issue("localhost")
    with (
        Collector(stolen, "localhost") as attacker,
        reporting(tmp_path / "reports", settings=QUICK) as reporter,
    ):
        _update(reporter, pinning(good.pin, version=8))
        _update(reporter, pinning(stolen.pin, version=3), what=what, recovered=recovered)
        reporter(failure(attacker.url))
        assert not reporter.flush(PATIENCE)
        assert attacker.arrived() == []


def test_a_newer_version_replaces_that_of_the_given_context(
    root: Authority, tmp_path: Path, good: Identity, ours: Collector
) -> None:
    """The pin of the older version may be that of a compromised key."""
    stolen = root.issue("localhost")
    context = PinnedSSLContext(pinning(stolen.pin))
    with (
        Collector(stolen, "localhost") as attacker,
        reporting(tmp_path / "reports", settings=QUICK, context=context) as reporter,
    ):
        reporter.presence(pinning(good.pin, version=9))
        reporter(failure(attacker.url))
        assert not reporter.flush(PATIENCE)
        reporter(failure(ours.url, reason="expired"))
        assert not reporter.flush(PATIENCE)
        assert attacker.arrived() == []
    assert len(ours.arrived()) == 1


def test_pin_sets_of_one_name_and_version_for_different_hosts_are_all_used(
    tmp_path: Path, good: Identity, ours: Collector, rogue: Collector
) -> None:
    with reporting(tmp_path / "reports") as reporter:
        reporter.presence(kit.pin_set(kit.policy("localhost", good.pin)))
        reporter.presence(kit.pin_set(kit.policy(HOST)))
        reporter(failure(ours.url))
        assert reporter.flush(PATIENCE), "a host without known pins would have to wait"
        assert len(ours.arrived()) == 1
        reporter(failure(rogue.url, reason="expired"))
        assert not reporter.flush(PATIENCE)
    assert rogue.arrived() == []


def test_an_update_of_one_part_of_an_app_keeps_the_pins_of_another_part(
    tmp_path: Path,
    good: Identity,
    ours: Collector,
    rogue: Collector,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with reporting(tmp_path / "reports", settings=QUICK) as reporter:
        updated = PinnedSSLContext(kit.pin_set(kit.policy(HOST)), on_failure=[reporter])
        other = PinnedSSLContext(
            kit.pin_set(kit.policy("localhost", good.pin)), on_failure=[reporter]
        )
        updated.swap(kit.pin_set(kit.policy(HOST), version=2))
        reporter(failure(ours.url))
        assert reporter.flush(PATIENCE), "the other part still enforces its pins"
        assert len(ours.arrived()) == 1
        assert other.pins.version == 1
        del other
        gc.collect()
        reporter(failure(rogue.url, reason="expired"))
        assert not reporter.flush(PATIENCE)
    assert rogue.arrived() == []
    assert "give pin sets for different hosts different names" in caplog.text


def test_a_collector_of_an_older_pin_set_is_not_unpinned(
    tmp_path: Path, good: Identity, rogue: Collector
) -> None:
    with reporting(tmp_path / "reports") as reporter:
        reporter.presence(kit.pin_set(kit.policy(HOST), version=2))
        _lost_context(reporter, kit.pin_set(kit.policy("localhost", good.pin)))
        assert reporter._trust.covers(rogue.url)
        reporter(failure(rogue.url))
        assert not reporter.flush(PATIENCE)
    assert rogue.arrived() == []


def test_a_collector_is_unpinned_once_its_own_context_has_no_pins_for_it(
    tmp_path: Path, ours: Collector
) -> None:
    with reporting(tmp_path / "reports") as reporter:
        context = PinnedSSLContext(pinning(), on_failure=[reporter])
        assert reporter._trust.covers(ours.url)
        context.swap(kit.pin_set(kit.policy(HOST), version=2))
        reporter(failure(ours.url))
        assert reporter.flush(PATIENCE)
    assert len(ours.arrived()) == 1


def test_pins_expire_by_the_clock_of_their_context(
    tmp_path: Path, good: Identity, rogue: Collector
) -> None:
    expiring: dict[str, Any] = {"expires": NOW - timedelta(days=1), "on_expiry": "fail-open"}
    pins = kit.pin_set(kit.policy("localhost", good.pin, **expiring), kit.policy(HOST))
    with reporting(tmp_path / "reports") as reporter:
        reporter.presence(pins)
        PinnedSSLContext(pins, clock=Clock(NOW - timedelta(days=2)), on_failure=[reporter])
        reporter.presence(kit.pin_set(*pins.policies))
        reporter(failure(rogue.url))
        assert not reporter.flush(PATIENCE)
    assert rogue.arrived() == []


def test_clients_that_come_and_go_use_no_more_memory(tmp_path: Path) -> None:
    with reporting(tmp_path / "reports") as reporter:
        for version in (1, 1, 2):
            pins = pinning(version=version)
            for _ in range(3):
                reporter.attach(PinnedSSLContext(pins))
        reporter.presence(pinning(version=2))
        gc.collect()
        assert len(reporter._trust.pin_sets()) == 1
        assert len(reporter._trust._attached) == 0
        reporter.presence(None)  # type: ignore[arg-type]  # as a caller may be wrong
        assert len(reporter._trust.pin_sets()) == 1


def test_pin_sets_that_are_too_many_do_not_make_a_collector_unpinned(
    tmp_path: Path, good: Identity, rogue: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    with reporting(tmp_path / "reports") as reporter:
        reporter.presence(pinning(good.pin))
        for number in range(100):
            reporter.presence(PinSet(f"app {number}", 1, (kit.policy(HOST),)))
        assert len(reporter._trust.pin_sets()) == 64
        reporter(failure(rogue.url))
        assert not reporter.flush(PATIENCE)
    assert "give all versions of a pin set the same name" in caplog.text
    with reporting(tmp_path / "reports") as reporter:
        assert not reporter.flush(PATIENCE)
    assert rogue.arrived() == []


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_pins_collectors_too(
    tmp_path: Path, good: Identity, rogue: Collector
) -> None:
    with reporting(tmp_path / "reports") as reporter:
        _lost_context(reporter, pinning(good.pin))
        held, let_go = threading.Event(), threading.Event()

        def hold() -> None:
            with reporter._trust._guard:
                held.set()
                let_go.wait(PATIENCE)

        def in_the_child() -> None:
            signal.alarm(PATIENCE)
            _lost_context(reporter, pinning(good.pin))
            reporter(failure(rogue.url))
            assert not reporter.flush(PATIENCE)

        thread = threading.Thread(target=hold)
        thread.start()
        assert held.wait(PATIENCE)
        assert in_a_child(in_the_child) == 0
        let_go.set()
        thread.join()
    assert rogue.arrived() == []


@pytest.fixture
def private() -> Authority:
    """A private authority, which the platform does not trust."""
    return Authority("Private Root")


def _context(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.pem.decode())


def test_the_roots_of_the_given_context_and_the_pins_apply_together(
    root: Authority, tmp_path: Path, private: Authority
) -> None:
    servers = private.issue("localhost"), private.issue("localhost"), root.issue("localhost")
    pinned, other, public = servers
    pins = pinning(pinned.pin, public.pin)
    for name, server, sent in (("a", pinned, True), ("b", other, False), ("c", public, False)):
        context = _context(private)
        with (
            Collector(server, "localhost") as collector,
            reporting(tmp_path / name, context=context) as reporter,
        ):
            reporter.presence(pins)
            reporter(failure(collector.url))
            assert reporter.flush(PATIENCE) is sent
            assert len(collector.arrived()) == sent


def test_the_trust_of_the_policy_replaces_the_roots_of_the_given_context(
    root: Authority, tmp_path: Path, ours: Collector, good: Identity, private: Authority
) -> None:
    policy = kit.policy("localhost", good.pin, trust=kit.anchors(root))
    with reporting(tmp_path / "reports", context=_context(private)) as reporter:
        reporter.presence(kit.pin_set(policy))
        reporter(failure(ours.url))
        assert reporter.flush(PATIENCE)


def test_a_context_whose_roots_are_not_listed_leads_to_a_warning(
    tmp_path: Path, ours: Collector, good: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenSSL lists no certificates of a folder."""
    folder = tmp_path / "roots"
    folder.mkdir()
    context = ssl.create_default_context(capath=str(folder))
    with reporting(tmp_path / "reports", context=context) as reporter:
        reporter.presence(pinning(good.pin))
        for reason in ("mismatch", "expired"):
            reporter(failure(ours.url, reason=reason))
            assert reporter.flush(PATIENCE)
    (said,) = caplog.messages
    assert said.endswith("set `trust = FILE` in its policy")


def test_roots_of_a_folder_are_not_used_after_a_connection_either(
    root: Authority, tmp_path: Path, private: Authority, ours: Collector, good: Identity
) -> None:
    """OpenSSL adds a root of a folder to the list when a connection needs it."""
    folder = tmp_path / "roots"
    folder.mkdir()
    (folder / "root.pem").write_bytes(private.pem)
    subprocess.run(["openssl", "rehash", str(folder)], check=True)
    context = ssl.create_default_context(capath=str(folder))
    with (
        Collector(private.issue("localhost"), "localhost") as unpinned,
        reporting(tmp_path / "reports", context=context) as reporter,
    ):
        reporter(failure(unpinned.url))
        assert reporter.flush(PATIENCE)
        assert context.get_ca_certs()
        reporter.presence(pinning(good.pin))
        reporter(failure(ours.url, reason="expired"))
        assert reporter.flush(PATIENCE)
    assert len(ours.arrived()) == 1


def test_a_context_that_cannot_list_roots_leads_to_a_warning(
    tmp_path: Path, ours: Collector, good: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    class Unlisted(ssl.SSLContext):  # as that of truststore
        def get_ca_certs(self, binary_form: bool = False) -> Any:
            raise NotImplementedError

    context = Unlisted(ssl.PROTOCOL_TLS_CLIENT)
    with reporting(tmp_path / "reports", context=context) as reporter:
        reporter.presence(pinning(good.pin))
        reporter(failure(ours.url))
        assert reporter.flush(PATIENCE)
    (said,) = caplog.messages
    assert said.endswith("set `trust = FILE` in its policy")


def test_the_platforms_context_of_the_reporter_limits_no_roots_of_a_pinned_collector(
    tmp_path: Path, ours: Collector, good: Identity, collector: Collector
) -> None:
    """The reporter makes that context itself, for collectors without pins."""
    with reporting(tmp_path / "reports") as reporter:
        reporter(failure(ours.url, collector.url))
        assert reporter.flush(PATIENCE)
        reporter.presence(pinning(good.pin))
        context = reporter._trust.context_for("localhost", pinned=True)
        assert isinstance(context, PinnedSSLContext)
        assert context.pins.trusts == {None}


@pytest.mark.parametrize("strict", [True, False])
def test_a_pinned_collector_is_verified_as_strictly_as_by_the_given_context(
    tmp_path: Path, private: Authority, strict: bool
) -> None:
    context = _context(private)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if strict:
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    with reporting(tmp_path / "reports", context=context) as reporter:
        reporter.presence(pinning())
        used = reporter._trust.context_for("localhost", pinned=True)
        assert isinstance(used, PinnedSSLContext)
        assert {trust.strict for trust in used.pins.trusts if trust} == {strict}
