"""The rules of every pinned client, tested on a real nginx."""

from __future__ import annotations

import pickle
import queue
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

import certpin
from certpin import HostPin, PinnedSSLContext
from tests import kit
from tests.clients._drivers import driven, refusal

if TYPE_CHECKING:
    from certpin import PinFailure, PinSet
    from tests.clients._driver import Driver
    from tests.clients.conftest import Bank

pytestmark = pytest.mark.peer("nginx")


@driven
def test_a_pinned_key_is_accepted(driver: Driver, bank: Bank) -> None:
    assert driver.get(bank.pins, bank.url("api")) == ["hello from api.test\n"]


@driven
def test_the_backup_key_is_accepted(driver: Driver, bank: Bank) -> None:
    assert driver.get(bank.pins, bank.url("backup")) == ["hello from backup.test\n"]


@driven
def test_another_key_under_a_trusted_root_is_refused_before_any_request(
    driver: Driver, bank: Bank
) -> None:
    error = refusal(driver, certpin.PinMismatchError, bank.pins, bank.url("mitm"))
    assert error.host == "mitm.test"
    assert str(kit.NOBODY) in str(error)
    assert f"certpin pin mitm.test:{bank.web.port}" in error.fix
    assert bank.arrived("mitm") == []


@driven
def test_another_spelling_of_a_host_has_the_same_pins(driver: Driver, bank: Bank) -> None:
    (body,) = driver.get(bank.pins, bank.url("API").replace(".test", ".Test."))
    assert body == "hello from api.test\n"
    refusal(driver, certpin.PinMismatchError, bank.pins, bank.url("Mitm").replace("test", "test."))
    assert bank.arrived("mitm") == []


@driven
def test_a_failure_of_the_network_while_a_refusal_is_handled_is_no_refusal(
    driver: Driver, bank: Bank
) -> None:
    """Python makes the handled refusal the context of the new error (``pin_error``)."""
    with socket.socket() as deaf, pytest.raises(Exception) as caught:  # noqa: PT011, PT012
        deaf.bind(("127.0.0.1", 0))  # and it doesn't listen
        try:
            driver.get(bank.pins, bank.url("mitm"))
        except certpin.PinMismatchError:
            driver.get(bank.pins, f"https://api.test:{deaf.getsockname()[1]}/")
    assert not isinstance(caught.value, certpin.PinError)


@driven
def test_an_unpinned_host_is_refused(driver: Driver, bank: Bank) -> None:
    refusal(driver, certpin.UnpinnedHostError, bank.pins, bank.url("unpinned"))
    assert bank.arrived("unpinned") == []


@driven
def test_expired_pins_are_refused(driver: Driver, bank: Bank) -> None:
    late = replace(bank.pins.policies[0], expires=datetime(2020, 1, 1, tzinfo=UTC))
    refusal(driver, certpin.PinSetExpiredError, kit.pin_set(late), bank.url("api"))


@driven
def test_report_mode_accepts_and_reports(driver: Driver, bank: Bank) -> None:
    told: queue.Queue[PinFailure] = queue.Queue()
    context = PinnedSSLContext(bank.pins, on_failure=[told.put])
    assert driver.get(context, bank.url("report")) == ["hello from report.test\n"]
    failure = told.get(timeout=10)
    assert (failure.host, failure.decision, failure.reason) == ("report.test", "report", "mismatch")


@driven
@pytest.mark.parametrize(
    ("name", "words", "reason"),
    [
        ("misnamed", "Hostname mismatch", "name"),
        ("expired", "certificate has expired", "date"),
        ("stranger", "unable to get local issuer certificate", "untrusted"),
    ],
)
def test_name_date_and_chain_are_still_checked_and_reported(
    driver: Driver, bank: Bank, name: str, words: str, reason: str
) -> None:
    told: queue.Queue[PinFailure] = queue.Queue()
    context = PinnedSSLContext(bank.pins, on_failure=[told.put])
    with pytest.raises(driver.base, match=words) as caught:
        driver.get(context, bank.url(name))
    error = certpin.pin_error(caught.value)
    assert isinstance(error, certpin.UnverifiedChainError)
    assert error.issuer
    assert bank.arrived(name) == []
    failure = told.get(timeout=10)
    assert (failure.host, failure.decision, failure.reason) == (f"{name}.test", "refuse", reason)
    assert failure.port == bank.web.port
    assert failure.verdict is None
    assert failure.served


@driven
def test_a_request_in_clear_text_is_refused(driver: Driver, bank: Bank) -> None:
    refusal(driver, certpin.InsecureRequestError, bank.pins, bank.clear_text())
    assert bank.arrived_in_clear_text() == []


@driven
def test_report_mode_reports_a_request_in_clear_text_once(driver: Driver, bank: Bank) -> None:
    told: queue.Queue[PinFailure] = queue.Queue()
    context = PinnedSSLContext(bank.pins, strict=False, on_failure=[told.put])
    bodies = driver.get(context, bank.clear_text("report"), bank.url("report"))
    assert bodies == ["hello in clear text\n", "hello from report.test\n"]
    clear, encrypted = (told.get(timeout=10) for _ in range(2))
    assert (clear.host, clear.decision, clear.reason) == (
        *("report.test", "report"),
        "InsecureRequestError",
    )
    assert (clear.port, clear.error, clear.verdict) == (bank.web.plain, None, None)
    assert encrypted.reason == "mismatch"


@driven
def test_report_mode_does_not_allow_clear_text_to_a_strict_context(
    driver: Driver, bank: Bank
) -> None:
    refusal(driver, certpin.InsecureRequestError, bank.pins, bank.clear_text("report"))
    assert bank.arrived_in_clear_text() == []


@driven
def test_a_redirect_to_clear_text_is_refused_and_reported(driver: Driver, bank: Bank) -> None:
    told: queue.Queue[PinFailure] = queue.Queue()
    context = PinnedSSLContext(bank.pins, on_failure=[told.put])
    away = bank.redirect(bank.clear_text())
    refusal(driver, certpin.InsecureRequestError, context, away)
    assert bank.arrived_in_clear_text() == []
    assert told.get(timeout=10).reason == "InsecureRequestError"


@driven
def test_a_redirect_to_an_unpinned_host_is_refused(driver: Driver, bank: Bank) -> None:
    away = bank.redirect(bank.url("unpinned"))
    refusal(driver, certpin.UnpinnedHostError, bank.pins, away)
    assert bank.arrived("unpinned") == []


@driven
def test_a_redirect_to_a_host_with_other_keys_is_refused(driver: Driver, bank: Bank) -> None:
    refusal(driver, certpin.PinMismatchError, bank.pins, bank.redirect(bank.url("mitm")))
    assert bank.arrived("mitm") == []


@driven
def test_a_redirect_to_another_pinned_host_is_followed(driver: Driver, bank: Bank) -> None:
    away = bank.redirect(bank.url("backup"))
    assert driver.get(bank.pins, away) == ["hello from backup.test\n"]


@driven
def test_each_host_is_checked_although_both_share_an_address_and_a_certificate(
    driver: Driver, bank: Bank
) -> None:
    first = bank.url("shared")
    error = refusal(driver, certpin.PinMismatchError, bank.pins, first, bank.url("twin"))
    assert error.host == "twin.test"
    assert bank.arrived("twin") == []


@driven
def test_a_non_strict_context_accepts_unpinned_hosts(driver: Driver, bank: Bank) -> None:
    context = PinnedSSLContext(bank.pins, strict=False)
    bodies = driver.get(context, bank.url("unpinned"), bank.clear_text("unpinned"))
    assert bodies == ["hello from unpinned.test\n", "hello in clear text\n"]


@driven
def test_a_non_strict_context_refuses_clear_text_for_enforced_hosts(
    driver: Driver, bank: Bank
) -> None:
    context = PinnedSSLContext(bank.pins, strict=False)
    refusal(driver, certpin.InsecureRequestError, context, bank.clear_text("api"))
    assert driver.get(context, bank.clear_text("report")) == ["hello in clear text\n"]


@driven
def test_a_kept_connection_that_new_pins_refuse_carries_no_request(
    driver: Driver, bank: Bank
) -> None:
    failures: queue.Queue[PinFailure] = queue.Queue()
    context = PinnedSSLContext(bank.pins, on_failure=[failures.put])
    steps = (bank.url("api"), lambda: context.swap(_other_pins(2)), bank.url("api", "/secret"))
    error = refusal(driver, certpin.PinMismatchError, context, *steps)
    assert str(kit.NOBODY) in str(error)
    assert len(bank.arrived("api")) == 1
    assert failures.get(timeout=10).pin_set_version == 2
    assert failures.empty()


@driven
def test_a_kept_connection_with_a_compromised_key_carries_no_request(
    driver: Driver, bank: Bank
) -> None:
    """The new pins accept the chain by its authority, too, and the refusal comes first."""
    context = PinnedSSLContext(bank.pins)
    (before,) = (each for each in bank.pins.policies if str(each.pattern) == "api.test")
    stolen = HostPin(before.pins[0].pin, "leaf", state="compromised")
    others = HostPin(bank.authority, "leaf"), HostPin(kit.NOBODY, "backup")
    after = kit.pin_set(replace(before, pins=(stolen, *others)), version=2)
    steps = (bank.url("api"), lambda: context.swap(after), bank.url("api", "/secret"))
    refusal(driver, certpin.PinMismatchError, context, *steps)
    assert len(bank.arrived("api")) == 1


@driven
def test_a_kept_connection_that_new_pins_accept_is_used_again(driver: Driver, bank: Bank) -> None:
    context = PinnedSSLContext(bank.pins)
    after = replace(bank.pins, version=2)
    url = bank.url("api")
    driver.get(context, url, lambda: context.swap(after), url, url)
    assert len(bank.arrived("api")) == 3
    if driver.keeps_connections:
        assert bank.connections("api") == 1


@driven
def test_report_mode_of_new_pins_is_reported_once_for_a_kept_connection(
    driver: Driver, bank: Bank
) -> None:
    failures: queue.Queue[PinFailure] = queue.Queue()
    context = PinnedSSLContext(bank.pins, on_failure=[failures.put])
    after = kit.pin_set(kit.policy("api.test", mode="report"), version=2)
    url = bank.url("api")
    assert len(driver.get(context, url, lambda: context.swap(after), url, url)) == 3
    if driver.keeps_connections:
        assert failures.get(timeout=10).reason == "mismatch"
        assert failures.empty()
        assert bank.connections("api") == 2


@driven
def test_a_kept_connection_whose_policy_is_removed_carries_no_request(
    driver: Driver, bank: Bank
) -> None:
    context = PinnedSSLContext(bank.pins)
    after = kit.pin_set(kit.policy("mitm.test"), version=2)
    steps = (bank.url("api"), lambda: context.swap(after), bank.url("api", "/secret"))
    refusal(driver, certpin.UnpinnedHostError, context, *steps)
    assert len(bank.arrived("api")) == 1


def _other_pins(version: int) -> PinSet:
    return kit.pin_set(kit.policy("api.test"), version=version)


@driven
def test_threads_share_a_context(driver: Driver, bank: Bank) -> None:
    context = PinnedSSLContext(bank.pins)
    urls = [bank.url(name) for name in ("api", "backup", "shared")] * 8
    with ThreadPoolExecutor(8) as threads:
        bodies = list(threads.map(lambda url: driver.get(context, url), urls))
    assert len(bodies) == len(urls)


@driven
def test_an_error_that_is_pickled_is_the_refusal(driver: Driver, bank: Bank) -> None:
    error = refusal(driver, certpin.PinMismatchError, bank.pins, bank.url("mitm"))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is certpin.PinMismatchError
    assert isinstance(error, certpin.PinMismatchError)
    assert (str(copy), copy.verdict) == (str(error), error.verdict)
