"""``certpin rotate --watch``: usage that clients report, from a monitor's API or its database."""

from __future__ import annotations

import http.server
import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from certpin.lab import LabServer
from certpin_watch.store import open_store, prepare
from certpin_watch.store.tables.observations import PRESENCES
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli._rotating import QUICK, days_pass, next_number
from tests.servers._run import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.lab import Authority
    from tests.cli.conftest import Run

HOST = "api.bank.example"
SECRET = "wt_0123456789"
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def rotating(run: Run) -> Run:
    """Return the function that runs commands, after two versions have been published.

    Version 3 was published thirty days ago, and version 4, with a new backup, twenty days ago.
    T_adopt, the time in which clients get a version, is 9 days and 2 hours.
    """
    write(kit.policy(HOST, kit.NOBODY, kit.NOBODY_ELSE))
    assert (
        run("rotate", "shipped", next_number(), *QUICK, "--offline", "--clients", "1200").code == 0
    )
    days_pass(10)
    assert run("rotate", "start", "--new", "new.key").code == 0
    assert run("rotate", "shipped", next_number(), "--offline").code == 0
    days_pass(20)
    return run


def rows(version: int, clients: int, ago: int = 1) -> dict[str, Any]:
    return {"day": (TODAY - timedelta(days=ago)), "version": version, "clients": clients}


@pytest.fixture
def store(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'watch.db'}"
    made = open_store(url)
    prepare(made)
    with made.write() as connection:
        for version, clients in ((3, 7), (4, 5000)):
            row = rows(version, clients)
            values: dict[str, Any] = {
                "pin_set": "bank",
                "app": "",
                "app_version": "",
                "platform": "",
            }
            values |= {"day": int(row["day"].timestamp()), "version": version, "count": clients}
            connection.execute(PRESENCES.insert(), values)
    made.close()
    return url


class Watch(http.server.BaseHTTPRequestHandler):
    """An HTTP handler that imitates the monitoring service.

    Attributes:
        answers: the status and the JSON of the response to each path.
        tokens: the Authorization headers of the requests.
    """

    answers: dict[str, tuple[int, Any]] = {}  # noqa: RUF012
    tokens: list[str | None] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.tokens.append(self.headers["Authorization"])
        status, body = self.answers.get(self.path.partition("?")[0], (404, {}))
        data = json.dumps(body, default=str).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words: object) -> None:
        """Print no log of requests."""


@pytest.fixture
def watch() -> Iterator[str]:
    Watch.answers, Watch.tokens = {}, []
    with in_thread(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Watch)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def answers(*days: dict[str, Any], status: int = 200) -> None:
    Watch.answers["/api/v1/pin-sets/bank/adoption"] = (status, {"days": list(days)})


def test_without_reports_only_the_clock_counts(rotating: Run) -> None:
    done = rotating("rotate", "switch", "new.key", "--offline")
    assert (done.code, done.err) == (0, "")


def test_a_version_reported_late_blocks_activation(rotating: Run, watch: str) -> None:
    answers(rows(3, 7), rows(4, 5000))
    words = ("--offline", "--watch", watch)
    done = rotating("rotate", "switch", "new.key", *words, CERTPIN_WATCH_TOKEN=SECRET)
    assert done.code == 1
    assert "clients reported version 3 as late as" in done.err
    assert Watch.tokens == [f"Bearer {SECRET}"]
    status = rotating("rotate", "status", *words, "--json").json
    _documented.check("rotation status", status)
    assert [version["alive"] for version in status["versions"]] == [True, True]
    assert "last reported" in rotating("rotate", "status", *words).out
    planned = rotating("rotate", "plan", "--to", "new.key", *words, "--json").json
    (activate,) = [step for step in planned["hosts"][0]["steps"] if step["act"] == "activate"]
    assert activate["not_before"] > datetime.now(UTC).isoformat()


def test_the_threshold_is_that_of_the_user(rotating: Run, watch: str) -> None:
    answers(*(rows(number, n, ago) for ago in range(1, 8) for number, n in ((3, 5), (4, 9000))))
    words = ("--offline", "--watch", watch, "--seen", "5000", "--enough")
    assert rotating("rotate", "switch", "new.key", *words, "99.95%").code == 1
    assert rotating("rotate", "switch", "new.key", *words, "99.9%").code == 0


@pytest.mark.medium
def test_the_database_has_the_same_reports(rotating: Run, store: str) -> None:
    done = rotating("rotate", "status", "--offline", "--watch", store, "--json")
    assert [version["clients"] for version in done.json["versions"]] == [1200, 5000]
    assert [version["held"] for version in done.json["versions"]] == [7, 5007]
    assert rotating("rotate", "switch", "new.key", "--offline", "--watch", store).code == 1


def test_a_missing_database_is_an_error_and_is_not_created(rotating: Run, tmp_path: Path) -> None:
    missing = tmp_path / "misspelt.db"
    done = rotating("rotate", "switch", "new.key", "--offline", "--watch", f"sqlite:///{missing}")
    assert done.code == 2
    assert "the database has no tables yet" in done.err
    assert not missing.exists()


@pytest.mark.medium
def test_a_database_of_a_newer_version_is_not_read(rotating: Run, store: str) -> None:
    with closing(open_store(store)) as opened, opened.write() as connection:
        connection.execute(text("UPDATE certpin_schema SET version_num = '9999'"))
    done = rotating("rotate", "switch", "new.key", "--offline", "--watch", store)
    assert done.code == 2
    assert "of a newer version of certpin" in done.err


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {}),
        (302, {}),
        (200, []),
        (200, {"days": [{"day": "2027-01-01T00:00:00Z", "version": True, "clients": 1}]}),
        (200, {"days": [{"day": "2027-01-01T00:00:00", "version": 1, "clients": 1}]}),
        (200, {"days": [{"day": "2027-01-01T00:00:00Z", "version": 1, "clients": -1}]}),
    ],
)
def test_without_an_answer_of_the_service_no_step_is_taken(
    rotating: Run, watch: str, status: int, body: Any
) -> None:
    Watch.answers["/api/v1/pin-sets/bank/adoption"] = (status, body)
    words = ("rotate", "switch", "new.key", "--offline", "--watch", watch)
    done = rotating(*words, CERTPIN_WATCH_TOKEN=SECRET)
    assert done.code == 3
    assert SECRET not in done.out + done.err
    assert len(Watch.tokens) == 1, "no redirect was followed"


def test_a_certificate_of_another_authority_is_named(
    rotating: Run, intermediate: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CERTPIN_WATCH_TOKEN", SECRET)
    with LabServer(intermediate.issue("localhost")) as server:
        url = f"https://localhost:{server.port}"
        done = rotating("rotate", "status", "--offline", "--watch", url)
    assert done.code == 3
    assert "its certificate does not verify" in done.err
    assert "SSL_CERT_FILE" in done.err
    done = rotating("rotate", "status", "--offline", "--watch", url)
    assert "can't be reached: Connection refused" in done.err
    assert SECRET not in done.err


def test_an_invalid_token_is_not_printed(rotating: Run, watch: str) -> None:
    done = rotating(
        "rotate", "status", "--offline", "--watch", watch, CERTPIN_WATCH_TOKEN="bad\ntoken"
    )
    assert done.code == 3
    assert "bad" not in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--watch", "http://watch.example"), "clear text"),
        (("--enough", "99%", "--seen", "5"), "needs --watch"),
        (("--watch", "sqlite:///x.db", "--enough", "99%"), "go together"),
        (("--watch", "sqlite:///x.db", "--enough", "99", "--seen", "5"), "99.9%"),
        (("--watch", "sqlite:///x.db", "--enough", "40%", "--seen", "5"), "more than half"),
        (("--seen-days", "7"), "goes with"),
    ],
)
def test_meaningless_options_are_usage_errors(run: Run, words: tuple[str, ...], said: str) -> None:
    write(kit.policy(HOST, kit.NOBODY, kit.NOBODY_ELSE))
    done = run("rotate", "status", "--offline", *words)
    assert done.code == 2
    assert said in done.err
