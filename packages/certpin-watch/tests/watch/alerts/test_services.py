"""Check notifications by mail, Slack and PagerDuty, and the background task that sends them.

The receivers are local servers, real or imitated.
"""

from __future__ import annotations

import asyncio
import importlib
from datetime import timedelta
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller

from certpin.errors import ConfigError
from certpin_watch.alerts.delivery import incident_key
from certpin_watch.alerts.run import check_services, run
from certpin_watch.alerts.services import AppriseService, make_services
from certpin_watch.secret import Secret
from certpin_watch.settings import NotificationSettings
from tests.servers._run import free_port
from tests.watch.alerts._findings import HOST, finding
from tests.watch.alerts.conftest import Stage, service_at

if TYPE_CHECKING:
    from certpin_watch.store import Store
    from tests.watch.alerts._hook import Hook

HOSTILE = "<!channel> @everyone <b>x</b> [see](https://evil.example/) `rm`\r\nBcc: eve@evil.example"
PAGER = "pagerduty://A1B2C3D4E5F6G7H8I9J0K1L2M3N4O5P6@apikey"


class _Mails:
    def __init__(self) -> None:
        self.found: list[bytes] = []

    async def handle_DATA(  # noqa: N802  # as aiosmtpd calls it
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        self.found.append(envelope.content)
        return "250 OK"


@pytest.mark.medium
def test_a_mail_is_html_and_text_without_active_content(sqlite_store: Store) -> None:
    mails = _Mails()
    server = Controller(mails, hostname="127.0.0.1", port=free_port(), ready_timeout=10)
    server.start()
    try:
        url = f"mailto://127.0.0.1:{server.port}?from=watch@bank.example&to=ops@bank.example"
        stage = Stage(sqlite_store, NotificationSettings("mail", Secret(url)))
        stage.evaluate(finding(summary=HOSTILE))
        asyncio.run(stage.notify())
    finally:
        server.stop()
    (data,) = mails.found
    mail = message_from_bytes(data, policy=policy.default)
    assert mail["Subject"] == f"critical: pin-mismatch at {HOST}"
    assert mail["Bcc"] is None
    html = mail.get_body(("html",))
    assert html is not None
    text = html.get_content()
    assert "<pre>certpin check</pre>" in text
    assert "<b>" not in text
    assert "https://evil" not in text


def test_slack_gets_markdown_without_mentions(
    sqlite_store: Store, webhook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    slack = importlib.import_module("apprise.plugins.slack").NotifySlack
    monkeypatch.setattr(slack, "webhook_url", f"http://127.0.0.1:{webhook.port}")
    monkeypatch.setattr(slack, "request_rate_per_sec", 0)
    url = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#pins"
    stage = Stage(sqlite_store, NotificationSettings("slack", Secret(url)))
    stage.evaluate(finding(summary=HOSTILE))
    asyncio.run(stage.notify())
    (body,) = webhook.bodies
    text = str(body)
    assert "certpin check" in text
    assert not [sign for sign in ("<!", "@", "](", "https://evil", "\r") if sign in text]


@pytest.fixture
def pager(webhook: Hook, monkeypatch: pytest.MonkeyPatch) -> Hook:
    plugin = importlib.import_module("apprise.plugins.pagerduty")
    monkeypatch.setitem(plugin.PAGERDUTY_API_LOOKUP, "us", webhook.url(scheme="http"))
    monkeypatch.setattr(plugin.NotifyPagerDuty, "request_rate_per_sec", 0)
    return webhook


@pytest.mark.medium
def test_a_pager_has_one_incident_for_an_alert_and_resolves_it(
    sqlite_store: Store, pager: Hook
) -> None:
    stage = Stage(sqlite_store, NotificationSettings("pager", Secret(PAGER)), hold=timedelta(0))
    stage.evaluate(finding(severity="warning"))
    asyncio.run(stage.notify())
    stage.now += 60
    stage.evaluate(finding())
    asyncio.run(stage.notify())
    stage.now += 60
    stage.evaluate()
    asyncio.run(stage.notify())
    acts = [body["event_action"] for body in pager.bodies]
    assert acts == ["trigger", "trigger", "resolve"]
    assert {body["dedup_key"] for body in pager.bodies} == {incident_key([finding().key])}
    assert "certpin check" in pager.bodies[0]["payload"]["summary"]


@pytest.mark.medium
def test_many_alerts_are_one_incident_that_resolves_with_the_last(
    sqlite_store: Store, pager: Hook
) -> None:
    stage = Stage(sqlite_store, NotificationSettings("pager", Secret(PAGER)), hold=timedelta(0))
    every = [finding(host=f"h{n}.example") for n in range(20)]
    stage.evaluate(*every)
    asyncio.run(stage.notify())
    stage.now += 60
    stage.evaluate(every[0])
    asyncio.run(stage.notify())
    assert [body["event_action"] for body in pager.bodies] == ["trigger"]
    stage.now += 60
    stage.evaluate()
    asyncio.run(stage.notify())
    assert [body["event_action"] for body in pager.bodies] == ["trigger", "resolve"]
    assert len({body["dedup_key"] for body in pager.bodies}) == 1


@pytest.mark.parametrize(
    "url",
    [
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#pins",
        "workflows://prod-00.westeurope.logic.azure.com/643e69f83c8944/signature/",
        PAGER,
        "mailtos://watch:secret@smtp.bank.example?from=watch@bank.example&to=ops@bank.example",
        "jsons://hooks.bank.example/pins",
    ],
)
def test_the_services_of_the_documentation_are_known(url: str) -> None:
    assert AppriseService(NotificationSettings("one", Secret(url))).name == "one"


def test_an_unknown_address_is_refused_without_showing_it(sqlite_store: Store) -> None:
    stage = Stage(sqlite_store)
    settings = stage.watch.settings.alerts
    tell = NotificationSettings("odd", Secret("slack://only-half-of-it"))
    with pytest.raises(ConfigError, match="the address of odd") as refused:
        make_services(type(settings)(tell=(tell,)))
    assert "only-half" not in str(refused.value)


def test_a_test_message_reports_the_result_of_each_service(
    sqlite_store: Store, webhook: Hook
) -> None:
    dead = NotificationSettings("dead", Secret("json://127.0.0.1:1/"))
    stage = Stage(sqlite_store, service_at(webhook), dead)
    found = asyncio.run(check_services(stage.watch.settings.alerts))
    assert found["hook"] == ""
    assert "could not be reached" in found["dead"]
    assert webhook.bodies[0]["title"] == "info: test"


@pytest.mark.slow
def test_the_task_evaluates_and_notifies_until_it_is_stopped(
    sqlite_store: Store, webhook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(sqlite_store, service_at(webhook), every=timedelta(seconds=1))
    monkeypatch.setattr("certpin_watch.alerts.run.Evaluator", lambda _: stage.evaluator)
    stage.found = [finding()]

    async def body() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(run(stage.watch, stop))
        async with asyncio.timeout(20):
            while not webhook.bodies:  # noqa: ASYNC110  # another thread fills it
                await asyncio.sleep(0.02)
            stop.set()
            await running

    asyncio.run(body())
    assert len(webhook.bodies) == 1
    assert stage.evaluator._lease is None
