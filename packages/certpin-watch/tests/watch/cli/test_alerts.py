"""``certpin watch alerts`` and ``certpin watch silence``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select

from certpin_watch.store import open_store, prepare
from certpin_watch.store.tables.service import ALERTS, AUDIT
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli.conftest import invoke
from tests.watch.alerts._hook import hook

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Done


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "watch.toml"
    path.write_text('store = "sqlite:///watch.db"\n')
    store = open_store("sqlite:///watch.db", folder=tmp_path)
    prepare(store)
    store.close()
    return path


def run(config: Path, *words: str) -> Done:
    return invoke("watch", *words, "--config", config)


def open_one(config: Path, times: int = 1, **more: Any) -> None:
    store = open_store("sqlite:///watch.db", folder=config.parent)
    values: dict[str, Any] = {
        "key": "k",
        "rule": "pin-mismatch",
        "severity": "critical",
        "host": "api.bank.example",
    }
    values |= {"pin_set": "bank-app", "summary": "it is \x1b[31mwrong", "command": "certpin check"}
    values |= {"details": "{}", "opened_at": 1, "last_at": 1, "repeats": 0, "clients": None}
    with store.write() as connection:
        connection.execute(insert(ALERTS), [values | more] * times)
    store.close()


@pytest.mark.medium
def test_alerts_lists_open_alerts(config: Path) -> None:
    done = run(config, "alerts")
    assert (done.code, done.out) == (0, "No alert is open.\n")
    open_one(config)
    done = run(config, "alerts")
    assert done.code == 1
    assert "#1 critical: pin-mismatch at api.bank.example" in done.out
    assert "    certpin check\n" in done.out
    assert "\x1b" not in done.out
    said = run(config, "alerts", "--json").json
    _documented.check("watch alerts", said)
    (alert,) = said["alerts"]
    assert alert["rule"] == "pin-mismatch"


@pytest.mark.medium
def test_alerts_lists_all_open_alerts(config: Path) -> None:
    open_one(config, times=1205)
    assert run(config, "alerts").out.count("\n#") == 1204
    assert len(run(config, "alerts", "--json").json["alerts"]) == 1205


@pytest.mark.medium
def test_alerts_test_reports_the_result_of_each_service(config: Path) -> None:
    done = run(config, "alerts", "--test")
    assert (done.code, done.out) == (2, "")
    assert "no service receives alerts" in done.err
    with hook() as found:
        tables = (found.url(), "json://127.0.0.1:1/")
        text = "".join(f'[[alerts.tell]]\nurl = "{url}"\n' for url in tables)
        config.write_text(config.read_text() + text)
        done = run(config, "alerts", "--test")
        _documented.check("watch alerts test", run(config, "alerts", "--test", "--json").json)
    assert done.code == 1
    assert "service-1: it accepted the message" in done.out
    assert "service-2: it could not be reached" in done.out


@pytest.mark.medium
def test_a_silence_without_a_reason_names_the_option(config: Path) -> None:
    done = run(config, "silence", "--host", "api.bank.example")
    assert done.code == 2
    assert "a silence needs a reason" in done.err
    assert 'fix: --why "renewal, ticket 12"' in done.err


@pytest.mark.medium
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("--for 2h", "a silence needs a reason"),
        ("--for 1h", "a silence needs a reason"),  # the default, given explicitly
        ("--who anna", "a silence needs a reason"),
        ("--rule= --why= --host=", "a silence needs a reason"),
        ("--for 2h --why renewal", "this would silence every alert"),
        ("--end 1 --host other.bank.example", "--host is for a new silence"),
        ("--end 1 --for 1h", "--for is for a new silence"),
    ],
)
def test_an_option_of_a_new_silence_is_never_ignored(
    config: Path, words: str, problem: str
) -> None:
    assert run(config, "silence", "--rule", "pin-mismatch", "--why", "renewal").code == 0
    done = run(config, "silence", *words.split())
    assert (done.code, problem in done.err) == (2, True), done.err
    (one,) = run(config, "silence", "--json").json["silences"]
    assert one["id"] == 1


@pytest.mark.medium
def test_silence_adds_lists_and_ends(config: Path) -> None:
    assert run(config, "silence").out == "There are no silences.\n"
    words = ("--host", "api.bank.example", "--for", "2h", "--why", "renewal", "--who", "ann")
    assert run(config, "silence", *words).code == 0
    assert "#1 everything at api.bank.example until" in run(config, "silence").out
    said = run(config, "silence", "--json").json
    _documented.check("watch silence", said)
    (one,) = said["silences"]
    assert (one["who"], one["why"], one["until"] - one["since"]) == ("ann", "renewal", 7200)
    assert run(config, "silence", "--end", "1").code == 0
    ended = run(config, "silence", "--end", "1", "--json")
    _documented.check("watch silence end", ended.json)
    assert ended.code == 1
    again = run(config, "silence", "--end", "1")
    assert (again.code, again.out) == (1, "")
    assert "no silence 1 is in force" in again.err
    assert f"fix: certpin watch silence --config {config}" in " ".join(again.err.split())
    assert run(config, "silence").out == "There are no silences.\n"


@pytest.mark.medium
def test_a_silence_is_in_the_audit_log_as_those_of_the_pages(config: Path) -> None:
    run(config, "silence", "--rule", "pin-mismatch", "--why", "renewal")
    run(config, "silence", "--end", "1")
    store = open_store("sqlite:///watch.db", folder=config.parent)
    with store.read() as connection:
        rows = connection.execute(select(AUDIT.c.what, AUDIT.c.subject)).all()
    store.close()
    assert [tuple(row) for row in rows] == [
        ("silence.made", "1: pin-mismatch at every host"),
        ("silence.ended", "1"),
    ]


@pytest.mark.parametrize("command", ["alerts", "silence"])
def test_a_database_that_no_service_used_is_an_error(tmp_path: Path, command: str) -> None:
    path = tmp_path / "elsewhere.db"
    done = invoke("watch", command, "--store", f"sqlite:///{path}")
    assert done.code == 2
    assert "has never run on this database" in done.err
    assert not path.exists()


@pytest.mark.medium
def test_an_unknown_rule_is_refused_and_an_unknown_host_has_a_warning(
    config: Path,
) -> None:
    done = run(config, "silence", "--rule", "pin-mismach", "--why", "renewal")
    assert done.code == 2
    assert "there is no rule pin-mismach" in done.err
    assert "did you mean pin-mismatch?" in done.err
    config.write_text(f'store = "sqlite:///watch.db"\npins = ["{config.parent}/pins.toml"]\n')
    hosts = (kit.policy("api.bank.example"), kit.policy("*.cdn.example"))
    write(*hosts, path=str(config.parent / "pins.toml"))
    for host, said in (
        ("api.bank.exmple", "no monitored pin file has api.bank.exmple: did you mean api."),
        ("edge.cdn.example", "alerts of the monitor name the pattern *.cdn.example"),
        ("Api.Bank.example.", ""),
    ):
        done = run(config, "silence", "--host", host, "--why", "renewal")
        assert done.code == 0
        assert said in done.err if said else not done.err, done.err


@pytest.mark.medium
def test_a_reason_without_rule_or_host_is_refused(config: Path) -> None:
    done = run(config, "silence", "--why", "renewal")
    assert done.code == 2
    assert "name a rule" in done.err


@pytest.mark.medium
@pytest.mark.parametrize("words", [("--for", "8d", "--why", "x"), ("--for", "1h"), ("--for", "1s")])
def test_silence_needs_a_valid_length_and_a_reason(config: Path, words: tuple[str, ...]) -> None:
    assert run(config, "silence", "--rule", "pin-mismatch", *words).code == 2
