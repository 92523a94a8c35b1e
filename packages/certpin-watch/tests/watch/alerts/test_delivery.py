"""Check the delivery of notifications to services: contents, retries, failures and restarts.

Each message is sent at least once, and never again once its delivery is recorded.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import requests
from sqlalchemy import select

from certpin.errors import ConfigError
from certpin_watch.alerts import services
from certpin_watch.alerts.delivery import Notifier, is_wanted
from certpin_watch.alerts.message import Message
from certpin_watch.alerts.services import AppriseService
from certpin_watch.alerts.silences import Silencing
from certpin_watch.alerts.state import decide
from certpin_watch.rules.engine import Evaluation
from certpin_watch.secret import Secret
from certpin_watch.settings import NotificationSettings
from certpin_watch.store.alerts import open_alerts
from certpin_watch.store.queries import alerts as queries
from certpin_watch.store.tables.service import TELLINGS
from tests.watch.alerts._findings import HOST, NOW, SETTINGS, finding
from tests.watch.alerts._hook import endless_server, hook
from tests.watch.alerts.conftest import Stage, service_at

if TYPE_CHECKING:
    from certpin_watch.store import Store
    from tests.watch.alerts._hook import Hook

SECRET = "T0KEN-that-is-secret"


def _notify(stage: Stage) -> None:
    asyncio.run(stage.notify())


def _story(stage: Stage) -> list[str]:
    with stage.watch.store.read() as connection:
        (alert,) = open_alerts(connection)
        assert alert.id is not None
        story = queries.alert(connection, stage.watch.settings.alerts.hold, alert.id)
    assert story is not None
    return [f"{event.what} {event.who} {event.note}".strip() for event in story.events]


@pytest.mark.medium
def test_a_message_has_the_event_the_affected_clients_and_the_next_command(
    store: Store, webhook: Hook
) -> None:
    stage = Stage(store, service_at(webhook))
    assert stage.evaluate(finding(clients=1200)) == 1
    _notify(stage)
    (body,) = webhook.bodies
    assert body["title"] == f"critical: pin-mismatch at {HOST}"
    assert "presents a chain without a pin" in body["message"]
    assert "1,200 clients" in body["message"]
    assert "    certpin check" in body["message"]
    assert "https://watch.bank.example/alerts/1" in body["message"]
    assert body["type"] == "failure"
    (alert,) = body["alerts"]
    assert alert == {
        "id": 1,
        "event": "opened",
        "rule": "pin-mismatch",
        "severity": "critical",
        "state": "open",
        "host": HOST,
        "pin_set": "bank-app",
        "summary": finding().summary,
        "command": "certpin check",
        "clients": 1200,
        "opened_at": "2027-01-15T08:00:00Z",
        "resolved_at": None,
        "acknowledged_by": "",
        "url": "https://watch.bank.example/alerts/1",
    }
    assert _story(stage)[-1] == "told hook opened"
    _notify(stage)
    assert len(webhook.bodies) == 1


@pytest.mark.medium
@pytest.mark.parametrize("scheme", ["xml", "form"])
def test_other_webhooks_get_the_message_without_fields(
    sqlite_store: Store, webhook: Hook, scheme: str
) -> None:
    stage = Stage(sqlite_store, NotificationSettings("hook", Secret(webhook.url(scheme=scheme))))
    stage.evaluate(finding())
    _notify(stage)
    assert [
        b"presents a chain without a pin" in body.replace(b"+", b" ") for body in webhook.raw
    ] == [True]
    assert _story(stage)[-1] == "told hook opened"


@pytest.mark.medium
def test_a_resolution_is_sent_as_a_success(sqlite_store: Store, webhook: Hook) -> None:
    stage = Stage(sqlite_store, service_at(webhook), hold=timedelta(0))
    stage.evaluate(finding())
    _notify(stage)
    stage.now += 60
    stage.evaluate()
    _notify(stage)
    assert [body["type"] for body in webhook.bodies] == ["failure", "success"]
    assert webhook.bodies[1]["title"] == f"resolved: pin-mismatch at {HOST}"


@pytest.mark.medium
def test_an_unknown_number_of_affected_clients_is_stated(
    sqlite_store: Store, webhook: Hook
) -> None:
    stage = Stage(sqlite_store, service_at(webhook))
    stage.evaluate(finding())
    _notify(stage)
    assert "The number of affected clients is unknown." in webhook.bodies[0]["message"]


def test_a_failed_message_is_retried_later_until_it_is_delivered(
    sqlite_store: Store, webhook: Hook
) -> None:
    stage = Stage(sqlite_store, service_at(webhook))
    webhook.status = 500
    stage.evaluate(finding())
    _notify(stage)
    _notify(stage)
    assert len(webhook.bodies) == 1, "it is not retried at once"
    assert _story(stage)[-1] == "untold hook opened: it answered with status 500"
    stage.now += 3600
    webhook.status = 200
    _notify(stage)
    _notify(stage)
    assert len(webhook.bodies) == 2
    assert _story(stage)[-1] == "told hook opened"


@pytest.mark.medium
def test_messages_to_a_failing_service_are_given_up_and_others_are_notified(
    sqlite_store: Store, webhook: Hook
) -> None:
    with hook() as other:
        services = service_at(webhook, "dead"), service_at(other, "alive")
        stage = Stage(sqlite_store, *services, give_up=timedelta(hours=2))
        webhook.status = 503
        stage.evaluate(finding())
        for _ in range(4):
            _notify(stage)
            stage.now += 3600
        stage.evaluate(finding())
        _notify(stage)
        titles = [body["title"] for body in other.bodies]
        assert titles == [f"critical: pin-mismatch at {HOST}", "critical: telling-fails"]
        assert "a message to dead could not be delivered" in other.bodies[1]["message"]
    tries = len(webhook.bodies)
    stage.now += 10 * 3600
    _notify(stage)
    assert len(webhook.bodies) == tries, "it was given up"


@pytest.mark.medium
def test_a_service_that_hangs_delays_no_other_and_is_not_called_twice(
    sqlite_store: Store, webhook: Hook
) -> None:
    with hook() as other:
        services = service_at(webhook, "hangs"), service_at(other, "alive")
        stage = Stage(sqlite_store, *services, deadline=timedelta(milliseconds=200))
        webhook.go.clear()
        stage.evaluate(finding())

        async def both() -> list[bool]:
            return await asyncio.gather(*(notifier.send_next() for notifier in stage.notifiers))

        # The first message through apprise is slow, so it may time out and is sent again.
        asyncio.run(both())
        stage.now += 3600
        asyncio.run(both())
        assert len(other.bodies) >= 1
        assert any("untold hangs" in line for line in _story(stage))
        stage.now += 3600
        assert asyncio.run(stage.notifiers[0].send_next()) is False


def test_a_thread_that_has_sent_its_message_holds_back_no_other(
    sqlite_store: Store, webhook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine, a thread can be alive for a moment after its result is known."""
    is_over = threading.Event()
    run = threading.Thread.run

    def lingering(thread: threading.Thread) -> None:
        run(thread)
        if thread.name == "certpin-telling":  # the end of others is waited for
            is_over.wait(30)

    stage = Stage(sqlite_store, service_at(webhook))
    stage.evaluate(finding(host="a.example"))
    stage.evaluate(finding(host="b.example"))
    monkeypatch.setattr(threading.Thread, "run", lingering)
    try:
        _notify(stage)
    finally:
        is_over.set()
    assert len(webhook.bodies) == 2


@pytest.mark.medium
@pytest.mark.parametrize(
    ("endless", "seconds"), [(b"x" * 4096, 3600.0), (b"x", 0.2)], ids=["large", "slow"]
)
def test_a_response_without_end_is_not_read(
    sqlite_store: Store,
    webhook: Hook,
    monkeypatch: pytest.MonkeyPatch,
    endless: bytes,
    seconds: float,
) -> None:
    monkeypatch.setattr(services, "_MAX_RESPONSE_SECONDS", seconds)
    webhook.endless = endless
    stage = Stage(sqlite_store, service_at(webhook), deadline=timedelta(seconds=30))
    stage.evaluate(finding())
    _notify(stage)
    assert webhook.closed.wait(10)
    assert len(webhook.bodies) == 1
    assert _story(stage)[-1].startswith("told")


def _sent_to(store: Store, url: str, seconds: float) -> Stage:
    """Send a message to a service, and return the stage once the service no longer sends."""
    settings = NotificationSettings("hook", Secret(url))
    stage = Stage(store, settings, deadline=timedelta(seconds=seconds))
    stage.evaluate(finding())
    _notify(stage)
    (notifier,) = stage.notifiers
    assert notifier._sent_out is not None
    assert notifier._sent_out.wait(10), "it would hold back all later messages"
    return stage


MAIL = "mailto://127.0.0.1:{}?mode=insecure&from=watch@bank.example&to=ops@bank.example"
WEB = "json://127.0.0.1:{}/"


@pytest.mark.medium
@pytest.mark.parametrize(
    ("url", "first", "again"),
    [
        (WEB, b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (WEB, b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        (MAIL, b"220 mail\r\n", b"250-x\r\n"),
    ],
    ids=["continue", "header", "mail"],
)
def test_a_server_that_never_ends_does_not_block_later_messages(
    sqlite_store: Store, url: str, first: bytes, again: bytes
) -> None:
    with endless_server(first, again) as server:
        stage = _sent_to(sqlite_store, url.format(server.port), 3)
        assert server.closed.wait(10)
    # Python 3.15 counts interim responses, and older libraries accept headers that were cut off.
    assert _story(stage)[-1] in {
        "untold hook opened: it gave no answer in time",
        f"untold hook opened: {services.FAILED}" if b"100" in again else "",
        "told hook opened" if first.startswith(b"HTTP/1.1 200") else "",
    }


def test_no_connection_is_opened_once_the_time_is_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = WEB.format(listener.getsockname()[1])
        service = AppriseService(NotificationSettings("hook", Secret(url)))
        assert service.send(Message((), NOW), "", 0) == "it gave no answer in time"
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.medium
def test_a_reply_of_a_mail_server_without_end_is_not_read(sqlite_store: Store) -> None:
    with endless_server(b"220 mail\r\n", b"250-" + b"x" * 900 + b"\r\n") as server:
        stage = _sent_to(sqlite_store, MAIL.format(server.port), 20)
        assert server.closed.wait(10)
    assert _story(stage)[-1] == f"untold hook opened: {services.FAILED}"


@pytest.mark.medium
def test_a_message_that_was_accepted_is_not_sent_again_if_the_body_stalls(
    sqlite_store: Store,
) -> None:
    with endless_server(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n") as server:
        stage = _sent_to(sqlite_store, WEB.format(server.port) + "?rto=0.5", 30)
    assert _story(stage)[-1] == "told hook opened"


def test_other_responses_of_the_process_are_not_limited(
    webhook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    AppriseService(service_at(webhook))  # installs the limits
    monkeypatch.setattr(services, "_MAX_RESPONSE", 0)
    length = services._PIECE * 100
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + b"x" * length
    with endless_server(answer) as server:
        whole = requests.get(f"http://127.0.0.1:{server.port}/", timeout=30)
    with endless_server(answer) as server, services._limited(30):
        cut = requests.get(f"http://127.0.0.1:{server.port}/", timeout=30)
    with (
        endless_server(answer) as server,
        services._limited(30),
        requests.get(f"http://127.0.0.1:{server.port}/", timeout=30, stream=True) as stream,
    ):
        streamed = b"".join(stream.iter_content())
    assert [len(whole.content), len(cut.content), len(streamed)] == [
        length,
        services._PIECE,
        length,
    ]


def test_a_claimed_message_is_sent_after_a_restart(store: Store, webhook: Hook) -> None:
    stage = Stage(store, service_at(webhook))
    stage.evaluate(finding())
    again = Notifier(stage.watch, AppriseService(stage.watch.settings.alerts.tell[0]))
    # The process died after its claim: there is no attempt before the claim expires.
    assert stage.notifiers[0]._claim(stage.now).rows
    assert asyncio.run(again.send_next()) is False
    stage.now += 60
    assert asyncio.run(again.send_next()) is True
    assert len(webhook.bodies) == 1


def test_a_claim_keeps_others_from_sending_the_same_message(
    sqlite_store: Store, webhook: Hook
) -> None:
    stage = Stage(sqlite_store, service_at(webhook))
    stage.evaluate(finding())
    assert stage.notifiers[0]._claim(stage.now).rows
    assert not stage.notifiers[0]._claim(stage.now).rows


@pytest.mark.slow
def test_a_process_that_is_killed_between_commit_and_message_loses_neither(
    sqlite_store: Store, webhook: Hook
) -> None:
    program = f"""
import os, signal
from certpin_watch.store import open_store
from certpin_watch.settings import NotificationSettings
from certpin_watch.secret import Secret
from tests.watch.alerts._findings import finding
from tests.watch.alerts.conftest import Stage
hook = NotificationSettings("hook", Secret({webhook.url()!r}))
stage = Stage(open_store({str(sqlite_store.engine.url)!r}), hook)
assert stage.evaluate(finding()) == 1
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    stage = Stage(sqlite_store, service_at(webhook))
    _notify(stage)
    assert len(webhook.bodies) == 1
    stage.now += 120  # the lease of the killed process has expired
    assert stage.evaluate(finding()) == 0


def test_one_process_evaluates_and_another_waits(store: Store, webhook: Hook) -> None:
    first, second = Stage(store, service_at(webhook)), Stage(store, service_at(webhook))
    assert first.evaluate(finding()) == 1
    assert second.evaluate(finding()) is None
    assert not second.evaluator.holds_lease(second.now)
    first.evaluator.release()
    assert second.evaluate(finding()) == 0


@pytest.mark.medium
def test_many_alerts_at_once_are_one_message(sqlite_store: Store, webhook: Hook) -> None:
    stage = Stage(sqlite_store, service_at(webhook))
    stage.evaluate(*(finding(host=f"h{n}.bank.example", clients=9) for n in range(500)))
    _notify(stage)
    (body,) = webhook.bodies
    assert body["title"] == "500 alerts: 500 critical"
    assert "And 480 more." in body["message"]
    assert len(body["message"]) < 5000
    with sqlite_store.read() as connection:
        left = connection.execute(select(TELLINGS.c.id).where(TELLINGS.c.told_at.is_(None))).all()
    assert not left


@pytest.mark.slow
def test_a_service_is_not_flooded_by_one_alert_after_another(
    sqlite_store: Store, webhook: Hook
) -> None:
    stage = Stage(sqlite_store, service_at(webhook))
    for n in range(40):
        stage.evaluate(*(finding(host=f"h{k}.bank.example") for k in range(n + 1)))
        _notify(stage)
        stage.now += 15
    assert len(webhook.bodies) < 13
    stage.now += 600
    _notify(stage)
    assert webhook.bodies[-1]["title"].endswith(" critical")


@pytest.mark.medium
def test_a_few_alerts_that_waited_for_a_pause_are_one_message(
    sqlite_store: Store, webhook: Hook
) -> None:
    stage = Stage(sqlite_store, service_at(webhook))
    findings = [finding(host=f"h{n}.bank.example") for n in range(13)]
    for n in range(10):
        stage.evaluate(*findings[: n + 1])
        _notify(stage)
    stage.evaluate(*findings)
    _notify(stage)
    assert len(webhook.bodies) == 10
    stage.now += 300
    _notify(stage)
    assert [body["title"] for body in webhook.bodies[10:]] == ["3 alerts: 3 critical"]


@pytest.mark.medium
def test_events_of_an_alert_are_sent_in_order(sqlite_store: Store, webhook: Hook) -> None:
    stage = Stage(sqlite_store, service_at(webhook), hold=timedelta(0))
    webhook.status = 500
    stage.evaluate(finding())
    _notify(stage)
    stage.now += 1
    stage.evaluate()
    webhook.status = 200
    _notify(stage)
    assert len(webhook.bodies) == 1, "the resolution waits"
    stage.now += 3600
    _notify(stage)
    assert [body["type"] for body in webhook.bodies] == ["failure", "failure", "success"]


@pytest.mark.medium
def test_services_get_the_alerts_that_their_settings_select(
    sqlite_store: Store, webhook: Hook
) -> None:
    def wants(**more: object) -> NotificationSettings:
        return replace(service_at(webhook), **more)  # type: ignore[arg-type]

    every: tuple[tuple[NotificationSettings, list[str]], ...] = (
        (wants(severity="critical"), ["critical"]),
        (wants(hosts=("*.bank.example",), severity="info"), ["critical", "info"]),
        (wants(hosts=("other.example",)), []),
        (wants(rules=("host-unreachable",), severity="info"), ["info"]),
    )
    for at, (tell, expected) in enumerate(every):
        stage = Stage(sqlite_store, replace(tell, name=f"n{at}", resolved=False))
        stage.now += at * 3600
        found = finding(host=f"h{at}.bank.example"), finding("host-unreachable", "info", host=HOST)
        stage.evaluate(*(replace(entry, subject=str(at)) for entry in found))
        _notify(stage)
        titles = [body["title"].partition(":")[0] for body in webhook.bodies]
        assert sorted(titles) == expected
        webhook.bodies.clear()


@pytest.mark.parametrize(
    ("entry", "host", "is_sent"),
    [
        ("www.bank.example", "*.bank.example", True),
        ("a.www.bank.example", "**.bank.example", True),
        ("*.bank.example", "**.bank.example", True),
        ("**.bank.example", "*.bank.example", True),
        ("www.bank.example", "api.bank.example", False),
        ("www.bank.example", "*.other.example", False),
        ("www.bank.example", "", False),
    ],
)
def test_an_alert_about_a_wildcard_is_sent_for_a_host_below_it(
    entry: str, host: str, is_sent: bool
) -> None:
    settings = NotificationSettings("team", Secret("json://127.0.0.1"), hosts=(entry,))
    (change,) = decide((), Evaluation((finding(host=host),)), Silencing(), NOW, SETTINGS)
    assert is_wanted(settings, change.alert, "opened") == is_sent


@pytest.mark.medium
def test_a_service_for_critical_alerts_gets_the_end_of_one_that_became_a_warning(
    sqlite_store: Store, webhook: Hook
) -> None:
    """A service that receives only critical alerts gets the message that such an alert is resolved.

    It gets this message even if the alert became a warning before, of which only other services
    receive a message.
    """
    settings = replace(service_at(webhook), severity="critical")
    stage = Stage(sqlite_store, settings, hold=timedelta(0))
    for seconds, found in (
        (0, [finding()]),
        (86_400, [finding(severity="warning")]),
        (15, []),
        (15, []),
    ):
        stage.now += seconds
        stage.evaluate(*found)
        _notify(stage)
    assert [body["title"].partition(":")[0] for body in webhook.bodies] == ["critical", "resolved"]


def test_no_secret_appears_anywhere(
    sqlite_store: Store, webhook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service = service_at(webhook, secret=SECRET)
    stage = Stage(sqlite_store, service)
    webhook.status = 404
    stage.evaluate(finding())
    _notify(stage)
    stage.notifiers = [
        Notifier(
            stage.watch,
            AppriseService(replace(service, url=Secret(f"json://127.0.0.1:1/{SECRET}"))),
        )
    ]
    stage.now += 3600
    _notify(stage)
    assert webhook.paths == [f"/{SECRET}"]
    with sqlite_store.read() as connection:
        rows = [str(row) for row in connection.execute(select(TELLINGS))]
    with pytest.raises(ConfigError) as refused:
        AppriseService(NotificationSettings("bad", Secret(f"nosuch://{SECRET}")))
    said = [caplog.text, *rows, *_story(stage), repr(service), repr(stage.notifiers[0].service)]
    said += [str(refused.value), repr(stage.watch.settings)]
    assert "was not notified" in caplog.text
    assert not [text for text in said if SECRET in text]


def test_a_silence_records_user_and_reason(sqlite_store: Store, webhook: Hook) -> None:
    from certpin_watch.alerts.silences import add_silence
    from certpin_watch.store.alerts import SilenceRow

    stage = Stage(sqlite_store, service_at(webhook))
    with sqlite_store.write() as connection:
        wanted = SilenceRow("", HOST, NOW, NOW + 60, "ann", "we renew")
        add_silence(connection, wanted, stage.watch.settings.alerts)
    assert stage.evaluate(finding()) == 0
    _notify(stage)
    assert webhook.bodies == []
    assert _story(stage)[-1] == "silenced ann we renew"
