"""All that is served, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from certpin.watch.settings import Settings
from certpin.watch.watch import Watch
from certpin.watch.watched import Watched
from certpin.watch.web.app import application
from certpin.watch.web.health import Condition

if TYPE_CHECKING:
    from certpin.watch.store import Store


@pytest.fixture
def browser(sqlite_store: Store) -> TestClient:
    async def collector(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    watch = Watch(Settings(), sqlite_store, Watched([]))
    app = application(watch, collector, Condition())
    near = ("127.0.0.1", 40000)
    return TestClient(app, "http://127.0.0.1:8460", client=near, follow_redirects=False)


@pytest.mark.parametrize("path", ["/account/", "/login/", "//evil.example/login/"])
def test_no_answer_sends_a_browser_to_the_host_that_its_request_names(
    browser: TestClient, path: str
) -> None:
    answer = browser.get(f"http://127.0.0.1:8460{path}", headers={"host": "localhost:99"})
    assert answer.status_code == 404
    assert "location" not in answer.headers


def test_the_way_in_for_reports_ends_where_its_name_does(browser: TestClient) -> None:
    assert [browser.post(path).status_code for path in ("/reports", "/reports/ios")] == [204, 204]
    assert browser.post("/reportsx").status_code == 403
