"""The commands of the service's pages, run as a reader runs them, against a real service.

A test changes only what depends on the machine: ports, the service's public address, and paths
below ``/etc``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from sqlalchemy import func, select

from certpin_watch.store import open_store
from certpin_watch.store.tables.observations import LOGGED
from tests.documentation._blocks import blocks, shell_script
from tests.servers._run import free_port, require, running
from tests.watch.cli.test_serve import chat
from tests.watch.monitor.test_ct import event
from tests.watch.rules import _probes as scenes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CERTPIN = [sys.executable, "-m", "certpin.cli.main"]
_PASSWORD = "eleven quiet herons by the lake"
_PATIENCE = 60.0

_PINS = """\
schema = 1
name = "bank-app"
version = 1

[[host]]
name = "api.bank.example"
expires = 2037-01-01

[[host.server]]
address = "127.0.0.1:{port}"

[[host.pin]]
pin = "sha256/W2qOj1JQ0jHQHgVbSYvhRrVYYhKOSdF5LgyJ1Lz/hHg="

[[host.pin]]
pin = "sha256/h6mdz8SOqGtIdcyjCJrqUnyH6YkNtN+FJZPKK1hUMWE="
role = "backup"
state = "staged"
"""


def _run(script: str, folder: Path, stdin: str = "", **env: str) -> str:
    """Run a page's script in a folder, and return its standard output.

    The programs that it started in the background end with it.
    """
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    certpin = programs / "certpin"
    certpin.write_text(f'#!/bin/sh\nexec {" ".join(_CERTPIN)} "$@"\n', encoding="utf-8")
    certpin.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", f"trap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT\n{script}"],
        cwd=folder,
        env={**os.environ, **env, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=160,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def _service(folder: Path, settings: str = "", **env: str) -> Iterator[str]:
    """Run a service in a folder, and yield its address. The host of its pins is unreachable."""
    port = free_port()
    (folder / "pins.toml").write_text(_PINS.format(port=free_port()), encoding="utf-8")
    (folder / "watch.toml").write_text(settings, encoding="utf-8")
    argv = [*_CERTPIN, "serve", "--listen", f"127.0.0.1:{port}"]
    with running(argv, port, cwd=folder, env=env, deadline=60):
        yield f"http://127.0.0.1:{port}"


def _get(address: str, token: str = "") -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:
        return json.load(answer)


def _status(address: str, token: str = "") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        return exc.code


def _until(holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + _PATIENCE
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def _token(folder: Path, *words: str) -> str:
    argv = [*_CERTPIN, "watch", "token", "add", *words]
    done = subprocess.run(argv, cwd=folder, capture_output=True, encoding="utf-8", check=True)
    [found] = re.findall(r"certpin_\w+", done.stdout)
    return str(found)


@pytest.mark.slow
@pytest.mark.peer("openssl")
@pytest.mark.timeout(240)
def test_the_guide_leads_to_an_alert_and_to_its_end(tmp_path: Path) -> None:
    ports = {number: str(free_port()) for number in ("8443", "9000", "8460")}
    script = shell_script("guides/monitor.md")
    script = script.replace("certpin serve", f"certpin serve --listen 127.0.0.1:{ports['8460']}")
    [shown] = [each.text for each in blocks("guides/monitor.md") if each.language == "text"]
    for documented, port in ports.items():
        script, shown = (text.replace(f":{documented}", f":{port}") for text in (script, shown))
        script = script.replace(f"-accept {documented}", f"-accept {port}")
        script = script.replace(f'("127.0.0.1", {documented})', f'("127.0.0.1", {port})')
    output = _run(script, tmp_path)
    assert "critical: pin-mismatch at localhost" in output
    assert shown in output
    events = (tmp_path / "serve.log").read_text(encoding="utf-8")
    assert re.findall(r"alert 1 (\w+):", events) == ["opened", "silenced", "resolved"]
    messages = (tmp_path / "messages.txt").read_text(encoding="utf-8")
    assert "certpin check pins.toml --host localhost" in messages
    assert (tmp_path / "hook.log").read_text(encoding="utf-8").count("POST") >= 2


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_first_account_ends_the_access_without_credentials(tmp_path: Path) -> None:
    with _service(tmp_path) as address:
        assert _status(f"{address}/metrics") == 200
        output = _run(shell_script("operate/access.md"), tmp_path, stdin=f"{_PASSWORD}\n")
        assert _status(f"{address}/metrics") == 401
        [token] = re.findall(r"certpin_\w+", output)
        assert _status(f"{address}/metrics", token) == 200
        assert _status(f"{address}/api/v1/hosts", token) == 403


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_alerts_are_tested_and_silenced(tmp_path: Path) -> None:
    [settings, *_] = [each.text for each in blocks("operate/alerts.md") if each.language == "toml"]
    settings = settings.replace("https://watch.bank.example", "http://localhost:8460")
    settings += '[monitor]\ninterval = "6h"\nconfirm = "1h"\n'  # no alert is open meanwhile
    with chat() as (url, sent):
        secrets = {"PAGER_URL": url, "SLACK_URL": url}
        with _service(tmp_path, settings, **secrets):
            output = _run(shell_script("operate/alerts.md"), tmp_path, **secrets)
            done = _run("certpin watch silence --json", tmp_path)
    assert len(sent) == 2
    assert "on-call" in output
    assert "team" in output
    [left] = json.loads(done)["silences"]
    assert (left["host"], left["why"]) == ("api.bank.example", "renewal, ticket 12")


@pytest.mark.slow
@pytest.mark.peer("curl")
@pytest.mark.timeout(180)
def test_the_example_report_is_counted(tmp_path: Path) -> None:
    require("curl")
    script = shell_script("operate/collector.md")
    with _service(tmp_path) as address:
        _run(script.replace("http://127.0.0.1:8460", address), tmp_path)
        assert _until(lambda: _get(f"{address}/api/v1/failures/total")["count"]) == 1
        [group] = _get(f"{address}/api/v1/failures/groups")["items"]
    assert (group["host"], group["decision"]) == ("api.bank.example", "refuse")
    headers = [each.text for each in blocks("operate/collector.md") if each.language == "http"]
    values = [line.partition(": ")[2] for text in headers for line in text.splitlines()]
    [endpoints, policy] = [json.loads(value) for value in values]
    assert policy["report_to"] == endpoints["group"]


@pytest.mark.slow
@pytest.mark.peer("curl")
@pytest.mark.timeout(180)
def test_a_program_reads_the_api_and_acknowledges_an_alert(tmp_path: Path) -> None:
    require("curl")
    settings = '[monitor]\ninterval = "10s"\nconfirm = "1s"\n[alerts]\nevery = "1s"\n'
    script = shell_script("reference/service-api.notes.md")
    with _service(tmp_path, settings) as address:
        _until(lambda: _get(f"{address}/api/v1/alerts")["items"])
        token = _token(tmp_path, "ci", "--scope", "read", "--scope", "silence")
        script = script.replace("https://watch.bank.example", address)
        output = _run(script, tmp_path, CERTPIN_WATCH_TOKEN=token)
        assert _get(f"{address}/api/v1/alerts/1", token)["alert"]["state"] == "acknowledged"
    assert "api.bank.example" in output
    assert "openapi" in output


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_token_for_a_worker_is_created_and_a_logged_certificate_recorded(tmp_path: Path) -> None:
    hook = event(tmp_path, scenes.identity("stranger"))
    script = shell_script("operate/monitor.md").replace("/etc/certpin/", f"{tmp_path}/")
    with _service(tmp_path, '[monitor]\nvantages = ["local", "fra1"]\n'):
        output = _run(script, tmp_path, **hook)
        assert re.search(r"certpin_\w+", output)
        with closing(open_store(f"sqlite:///{tmp_path}/watch.db")) as store, store.read() as rows:
            assert rows.execute(select(func.count()).select_from(LOGGED)).scalar_one() == 1


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_prometheus_scrapes_as_the_page_says(tmp_path: Path) -> None:
    [text] = [each.text for each in blocks("reference/metrics.notes.md") if each.language == "yaml"]
    [job] = yaml.safe_load(text)["scrape_configs"]
    with _service(tmp_path) as address:
        [target] = job["static_configs"][0]["targets"]
        assert target == "127.0.0.1:8460"  # the default of ``listen``
        token = _token(tmp_path, "prometheus", "--scope", "metrics")
        assert _status(f"{address}/metrics") == 200  # without accounts a token changes nothing
        assert _status(f"{address}/metrics", token) == 200
        assert _status(f"{address}/metrics", token[:-1]) == 401
    assert job["honor_labels"] is True
    assert "credentials_file" in job["authorization"]
