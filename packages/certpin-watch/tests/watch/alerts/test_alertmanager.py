"""Check the notifications to a real Alertmanager: new, open and resolved alerts, and errors."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import ConfigError
from certpin_watch.alerts.message import Message
from certpin_watch.alerts.services import RESEND_SECONDS, alertmanager_json, make_services
from certpin_watch.alerts.silences import Silencing
from certpin_watch.alerts.state import decide
from certpin_watch.rules.engine import Evaluation
from certpin_watch.secret import Secret
from certpin_watch.settings import AlertSettings, NotificationSettings
from tests.servers._run import free_port, require, running
from tests.watch.alerts._findings import HOST, NOW, SETTINGS, finding
from tests.watch.alerts.conftest import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin_watch.store import Store
    from tests.watch.alerts._hook import Hook

HOSTILE = "<!channel> @everyone\r\n[see](https://evil.example/)"


class Alertmanager:
    """A running Alertmanager that listens on a port. ``alerts`` are those that fire in it now."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def alerts(self) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{self.port}/prefix/api/v2/alerts"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Alertmanager]:
    program = require("prometheus-alertmanager")
    (tmp_path / "config.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    port = free_port()
    words: list[str | Path] = [
        program,
        f"--config.file={tmp_path / 'config.yml'}",
        "--cluster.listen-address=",
    ]
    words += [f"--storage.path={tmp_path}", f"--web.listen-address=127.0.0.1:{port}"]
    with running([*words, "--web.route-prefix=/prefix"], port):
        yield Alertmanager(port)


def _stage(store: Store, port: int, path: str = "/prefix") -> Stage:
    service = NotificationSettings("am", Secret(f"alertmanager://127.0.0.1:{port}{path}"))
    stage = Stage(store, service, hold=timedelta(0))
    # Alertmanager uses the clock of this machine: events must be in its past.
    stage.now = int(datetime.now(UTC).timestamp()) - 100
    return stage


@pytest.mark.peer("prometheus-alertmanager")
def test_a_real_alertmanager_has_an_alert_until_it_resolves(
    sqlite_store: Store, receiver: Alertmanager
) -> None:
    stage = _stage(sqlite_store, receiver.port)
    stage.evaluate(finding(clients=1200, summary=HOSTILE))
    asyncio.run(stage.notify())
    (alert,) = receiver.alerts
    assert alert["labels"] == {
        "alertname": "pin-mismatch",
        "severity": "critical",
        "host": HOST,
        "pin_set": "bank-app",
        "id": "1",
        "service": "certpin",
    }
    assert alert["generatorURL"] == "https://watch.bank.example/alerts/1"
    notes = alert["annotations"]
    assert notes["command"] == "certpin check"
    assert "1,200 clients" in notes["clients"]
    assert not {"@", "<", "\r"} & set(notes["summary"])
    first = alert["endsAt"]
    stage.now += 90
    asyncio.run(stage.notifiers[0].refresh())  # otherwise it would be resolved there
    (alert,) = receiver.alerts
    assert alert["endsAt"] > first
    stage.evaluate()
    asyncio.run(stage.notify())
    assert receiver.alerts == []


@pytest.mark.parametrize(
    ("host", "label"),
    [
        ("*.wild.example", "*.wild.example"),
        ("**.wild.example", "**.wild.example"),
        (f"{'a' * 60}.{'b' * 60}.{'c' * 60}.wild.example",) * 2,
        ("a\n\u202eb", r"a\n\u202eb"),
    ],
)
def test_the_labels_for_alertmanager_are_not_changed(host: str, label: str) -> None:
    one = replace(finding(host=host), pin_set="bank <app> @team")
    (change,) = decide((), Evaluation((one,)), Silencing(), NOW, SETTINGS)
    labels = alertmanager_json(replace(change.alert, id=12_345), NOW, "")["labels"]
    assert labels["host"] == label
    assert (labels["pin_set"], labels["id"]) == ("bank <app> @team", "12345")


def test_open_alerts_are_sent_again_each_minute_if_they_were_sent_before(
    sqlite_store: Store, webhook: Hook
) -> None:
    stage = _stage(sqlite_store, webhook.port, "")
    (notifier,) = stage.notifiers

    def refresh(seconds: int) -> list[dict[str, Any]]:
        stage.now += seconds
        webhook.bodies.clear()
        asyncio.run(notifier.refresh())
        return [alert for body in webhook.bodies for alert in body]  # type: ignore[misc]

    stage.evaluate(finding(), finding(host="info.example", severity="info"))
    assert refresh(1) == []
    asyncio.run(stage.notify())
    assert refresh(1) == []  # a minute after the last time
    (alert,) = refresh(RESEND_SECONDS)
    assert alert["labels"]["host"] == HOST
    stage.evaluate()
    assert refresh(RESEND_SECONDS) == []


def test_all_open_alerts_are_sent_again_in_several_requests(
    sqlite_store: Store, webhook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("certpin_watch.store.alerts.MAX_STANDING", 2)
    stage = _stage(sqlite_store, webhook.port, "")
    hosts = [f"{number}.bank.example" for number in range(5)]
    stage.evaluate(*(finding(host=host) for host in hosts))
    asyncio.run(stage.notify())
    stage.now += RESEND_SECONDS
    webhook.bodies.clear()
    asyncio.run(stage.notifiers[0].refresh())
    bodies: list[list[dict[str, Any]]] = webhook.bodies  # type: ignore[assignment]
    sent = [[alert["labels"]["host"] for alert in body] for body in bodies]
    assert sent == [hosts[:2], hosts[2:4], hosts[4:]]


def test_problems_are_reported_without_secrets(sqlite_store: Store, webhook: Hook) -> None:
    url = f"alertmanager://anna:hunter2@127.0.0.1:{webhook.port}"
    stage = Stage(sqlite_store, NotificationSettings("am", Secret(url)))
    stage.evaluate(finding())
    webhook.status = 400
    asyncio.run(stage.notifiers[0].send_next())
    with sqlite_store.read() as connection:
        problem = connection.exec_driver_sql("SELECT problem FROM tellings").scalar()
    assert problem == "it answered with status 400"
    assert webhook.paths == ["/api/v2/alerts"]
    assert "hunter2" not in repr(stage.notifiers[0].service)
    (away,) = make_services(
        AlertSettings(
            tell=(NotificationSettings("x", Secret(f"alertmanager://127.0.0.1:{free_port()}")),)
        )
    )
    assert away.send(Message((), 0), "", 60) == "it could not be reached (ConnectionRefusedError)"


@pytest.mark.parametrize(
    "url", ["alertmanager://", "alertmanagers://h:99999", "alertmanager://h?x=1"]
)
def test_an_invalid_address_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_services(AlertSettings(tell=(NotificationSettings("am", Secret(url)),)))
    assert url not in str(caught.value)
