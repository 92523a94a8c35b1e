"""The service on PostgreSQL and NATS, with the settings and commands of compose.yaml."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli._pinfiles import write
from tests.cli.conftest import program
from tests.kit import policy
from tests.servers._run import free_port, running
from tests.watch.collector.bodies import body

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

EXAMPLES = Path(__file__).parents[4] / "examples/watch"
HOST = "api.bank.example"
_PATIENCE = 60.0
_MORE = """
[[monitor.host]]
name = "{host}"
connect = "127.0.0.1:{closed}"
"""


def _settings(folder: Path, port: int) -> Path:
    """Write cluster.toml with the paths and addresses of this test instead of the containers'."""
    text = (EXAMPLES / "cluster.toml").read_text(encoding="utf-8")
    changes = {
        "/pins/pins.toml": str(folder / "pins.toml"),
        "0.0.0.0:8460": f"127.0.0.1:{port}",
        "172.30.84.1": "127.0.0.1",
        "[monitor]": '[monitor]\ninterval = "10s"\nconfirm = "1s"\ntimeout = "1s"',
    }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "watch.toml"
    path.write_text(text + _MORE.format(host=HOST, closed=free_port()), encoding="utf-8")
    return path


@pytest.fixture
def nats_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run a server with the configuration of the example, which requires the password."""
    monkeypatch.setenv("NATS_PASSWORD", "letters4and9digits")
    text = (EXAMPLES / "nats.conf").read_text(encoding="utf-8")
    port, path = free_port(), tmp_path / "nats.conf"
    assert "store_dir: /data" in text
    text = text.replace("store_dir: /data", f'store_dir: "{tmp_path}/data"')
    path.write_text(f'listen: "127.0.0.1:{port}"\n{text}')
    with running([Path(sys.executable).with_name("nats-server"), "-c", path], port):
        yield f"nats://certpin:letters4and9digits@127.0.0.1:{port}"


def _ask(port: int, path: str, token: str = "", data: bytes | None = None) -> Any:
    """Send a request to the service with the headers that a proxy adds.

    Returns:
        The decoded JSON of the response; None after an error.
    """
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data)
    request.add_header("X-Forwarded-For", "192.0.2.7")
    request.add_header("X-Forwarded-Proto", "https")
    request.add_header("X-Forwarded-Host", "watch.bank.example")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
    except (urllib.error.URLError, ConnectionError):
        return None
    return json.loads(text) if text else {}


def _is_well(port: int) -> bool:
    return bool(_ask(port, "/readyz") == {"status": "ok", "wrong": []})


def _metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read(), "ascii")


def _was_answered(send: Callable[[], Any]) -> bool:
    return send() is not None


def _until(holds: Callable[[], Any], processes: list[subprocess.Popen[str]]) -> Any:
    deadline = time.monotonic() + _PATIENCE
    while not (found := holds()):
        assert time.monotonic() < deadline
        assert [each.args for each in processes if each.poll() is not None] == []
        time.sleep(0.1)
    return found


@pytest.mark.slow
def test_service_writer_and_worker_work_together(
    new_database: Callable[[], str], nats_url: str, tmp_path: Path
) -> None:
    port = free_port()
    config = _settings(tmp_path, port)
    write(policy(HOST), path=str(tmp_path / "pins.toml"))
    secrets = {"STORE": new_database(), "NATS": nats_url}
    secrets |= dict.fromkeys(("WATCH_PAGER", "WATCH_CHAT"), f"json://127.0.0.1:{free_port()}")
    where, env = ("--config", config), {**os.environ, **secrets}

    migrated = program("watch", "migrate", *where, env=env)
    assert (migrated.communicate()[1], migrated.returncode) == ("", 0)
    words = ("watch", "token", "add", "test", "--scope", "read", "--json")
    made, _ = program(*words, *where, env=env).communicate()
    token = json.loads(made)["token"]
    words = ("watch", "token", "add", "zurich-a", "--worker", "zurich", "--json")
    made, _ = program(*words, *where, env=env).communicate()
    worker = {"CERTPIN_WATCH_TOKEN": json.loads(made)["token"]}

    health = free_port(), free_port()  # of the writer, and of the worker
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as ending:
        commands: list[tuple[str | Path, ...]] = [
            ("serve", *where),
            ("watch", "writer", *where, "--listen", f"127.0.0.1:{health[0]}"),
            ("watch", "worker", "--url", url, "--listen", f"127.0.0.1:{health[1]}"),
        ]
        environments = (env, env, {**os.environ, **worker})  # a worker needs nothing else
        processes = [
            program(*words, env=each, stdout=None, stderr=None)
            for words, each in zip(commands, environments, strict=True)
        ]
        for each in processes:
            ending.callback(each.wait)
            ending.callback(each.kill)
        _until(lambda: (_ask(port, "/readyz") or {}).get("status") == "ok", processes)
        sent = [body(number) for number in range(20)]
        for each_body in sent + sent[:5]:
            send = partial(_ask, port, "/reports", data=each_body)
            _until(partial(_was_answered, send), processes)

        def counted() -> bool:
            found = _ask(port, "/api/v1/failures/total", token)
            return bool(found) and found["count"] == 20

        def seen() -> bool:
            found = _ask(port, f"/api/v1/hosts/{HOST}/sightings", token)
            return bool(found) and {each["vantage"] for each in found["items"]} >= {"zurich"}

        _until(counted, processes)
        _until(seen, processes)
        for where_to in health:
            _until(partial(_is_well, where_to), processes)
        assert 'certpin_probes_total{outcome="unreachable"}' in _metrics(health[1])
        for each in processes:
            each.send_signal(signal.SIGTERM)
        assert [each.wait(_PATIENCE) for each in processes] == [0, 0, 0]
