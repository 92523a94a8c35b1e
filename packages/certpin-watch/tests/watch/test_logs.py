"""Alerts are always logged; requests and JSON lines are optional."""

from __future__ import annotations

import io
import json
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from certpin_watch import logs
from certpin_watch.addresses import origin_of
from certpin_watch.alerts.run import NO_SERVICES
from certpin_watch.context import Watch
from certpin_watch.service import make_ready
from certpin_watch.settings import LogSettings, ServiceSettings
from certpin_watch.snapshot import PinFiles
from certpin_watch.store import open_store
from tests.servers._run import free_port
from tests.watch.alerts._findings import finding
from tests.watch.alerts.conftest import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin_watch.store import Store


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Yield a stream that collects the service's log, as one line of JSON for each record."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    logger = logging.getLogger("certpin.watch")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(before)


def _read(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_alerts_are_logged_without_a_service_to_notify(
    sqlite_store: Store, lines: io.StringIO
) -> None:
    stage = Stage(sqlite_store)
    stage.evaluate(finding(summary="line\r\nforged"), finding(host="b.example", severity="warning"))
    stage.now += 3600
    stage.evaluate()
    stage.now += 3600
    stage.evaluate()
    events = _read(lines)
    assert [(line["event"], line["level"]) for line in events] == [
        ("opened", "warning"),
        ("opened", "warning"),
        ("resolved", "info"),
        ("resolved", "info"),
    ]
    first = events[0]
    assert (first["id"], first["rule"], first["severity"]) == (1, "pin-mismatch", "critical")
    assert first["url"] == "https://watch.bank.example/alerts/1"
    assert first["services"] == []
    assert first["message"].startswith("alert 1 opened: critical pin-mismatch at api.bank.example")
    assert "to no service" in first["message"]
    assert first["time"].endswith("Z")


def test_requests_are_logged_on_demand_without_secrets(lines: io.StringIO) -> None:
    app = Starlette()

    def send_request(settings: ServiceSettings) -> None:
        logged = logs.log_requests(
            app, settings.log, lambda scope: origin_of(scope, settings.access.believed).source
        )
        client = TestClient(logged, "http://127.0.0.1", client=("192.0.2.77", 5))
        client.get("/hosts/%0aforged?token=hunter2", headers={"authorization": "Bearer hunter2"})

    send_request(ServiceSettings())
    assert _read(lines) == []
    send_request(ServiceSettings(log=LogSettings(requests=True)))
    (line,) = _read(lines)
    assert (line["method"], line["status"], line["network"]) == ("GET", 404, "192.0.2.0/24")
    assert line["logger"] == "certpin.watch.requests"
    assert "\n" not in line["path"]
    assert "hunter2" not in lines.getvalue()


@pytest.mark.usefixtures("lines")  # which restores the level of the logger
def test_a_line_of_text_has_its_time_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: list[logging.Handler] = []
    monkeypatch.setattr(logging, "basicConfig", lambda **given: handlers.extend(given["handlers"]))
    logs.configure(LogSettings())
    record = logging.LogRecord("certpin.watch", logging.WARNING, "", 0, "it failed", (), None)
    record.created = 1_800_000_000.25
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        text = handlers[0].format(record)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert text == "2027-01-15T08:00:00.250Z WARNING certpin.watch: it failed"


def test_an_exception_is_one_line(lines: io.StringIO) -> None:
    try:
        int("no")
    except ValueError:
        logging.getLogger("certpin.watch").exception("it failed")
    (line,) = _read(lines)
    assert line["message"] == "it failed"
    assert "ValueError: invalid literal" in line["exception"]


def test_the_start_warns_that_alerts_go_nowhere(tmp_path: Path, lines: io.StringIO) -> None:
    settings = ServiceSettings(listen=("127.0.0.1", free_port()))
    store = open_store(f"sqlite:///{tmp_path / 'watch.db'}")
    make_ready(Watch(settings, store, PinFiles([])))
    store.close()
    assert [line["message"] for line in _read(lines)] == [NO_SERVICES]
