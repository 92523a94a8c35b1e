"""``certpin lab serve`` for a released app with real pins: the lab relays to the real server."""

from __future__ import annotations

import hashlib
import signal
import socket
import ssl
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin import Pin, PinnedSSLContext, PinSet
from certpin.lab import Authority, Identity, LabServer
from tests.cli._lab import Serving, from_lab, use_up
from tests.cli.conftest import program
from tests.lab._device import REFUSED, curl_until_confirmed, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Run

pytestmark = pytest.mark.slow  # each starts a program

HOST = "api.bank.example"
ROGUE = ("--case", "rogue-ca-in-store")


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set XDG_DATA_HOME to a new folder, in which the lab keeps its data."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def identity(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST)


@pytest.fixture
def real(run: Run, identity: Identity, root: Authority) -> Iterator[tuple[str | Path, ...]]:
    """Start the app's real server, and pin it with ``certpin add``.

    Yield the arguments of ``certpin lab serve`` for that server and its pin file.
    """
    Path("root.pem").write_bytes(root.pem)
    with LabServer(identity, b"from the real server\n") as server:
        where = ("--ca-file", "root.pem", "--connect", f"127.0.0.1:{server.port}")
        assert run("add", HOST, "--backup-key", "backup.key", *where).code == 0
        leads = f"{HOST}=127.0.0.1:{server.port}"
        words = ("--pins", "pins.toml", "--upstream", leads, "--ca-file", "root.pem")
        yield (*words, *ROGUE, "--case", "rot-backup-live")


def _released(context: ssl.SSLContext, lab: Serving, root: Authority) -> ssl.SSLContext:
    """Return ``context`` as a released app has it: it trusts its own root and the lab's roots."""
    context.load_verify_locations(cadata=root.pem.decode())
    context.load_verify_locations(cadata=from_lab(lab, "/roots.pem").decode())
    return context


def test_a_released_app_with_its_real_pins(real: tuple[str | Path, ...], root: Authority) -> None:
    with Serving(*real) as lab:
        assert len(lab.begun["roots"]) == 1, "R2 alone"
        app = _released(PinnedSSLContext(PinSet.load("pins.toml")), lab, root)
        assert "from the real server" in fetch(lab.port, app)
        use_up(lab.port, app)
        code, events, err = lab.wait()
    assert (code, err) == (0, "")
    found = {event["case"]: event for event in events if event["event"] == "case"}
    assert found["rogue-ca-in-store"]["verdict"] == "REJECT"
    assert found["rot-backup-live"]["outcome"] == "not run"
    assert "private key of the real server's backup" in found["rot-backup-live"]["why"]


def test_a_released_app_without_pins_is_a_finding(
    real: tuple[str | Path, ...], root: Authority
) -> None:
    with Serving(*real) as lab:
        app = _released(ssl.create_default_context(), lab, root)
        use_up(lab.port, app)
        code, events, _ = lab.wait()
    assert code == 1
    found = {event["case"]: event["outcome"] for event in events if event["event"] == "case"}
    assert found["rogue-ca-in-store"] == "wrong"


@pytest.mark.peer("curl")
def test_curl_with_its_real_pins(real: tuple[str | Path, ...], tmp_path: Path) -> None:
    """curl uses OpenSSL, compares its pins after the handshake, and may use HTTP/2."""
    run = partial(subprocess.run, capture_output=True, timeout=30, check=False)
    with Serving(*real) as lab:
        roots = tmp_path / "roots.pem"
        roots.write_bytes(Path("root.pem").read_bytes() + from_lab(lab, "/roots.pem"))
        codes = curl_until_confirmed(
            lambda *words: run(("curl", "--proxy", lab.proxy, *words)).returncode,
            PinSet.load("pins.toml"),
            roots,
        )
        assert (codes[0], codes[-1], {*codes}) == (0, 0, {0, REFUSED})
        code, events, _ = lab.wait()
    verdicts = {event["case"]: event["verdict"] for event in events if event["event"] == "case"}
    assert (code, verdicts["rogue-ca-in-store"]) == (0, "REJECT")


def test_pins_that_do_not_match_the_real_server_cause_a_warning(
    real: tuple[str | Path, ...],
) -> None:
    file = Path("pins.toml")
    pinned = PinSet.load(file).policies[0].pins[0].pin
    other = Pin.of_key(hashlib.sha256(b"another key").digest())
    file.write_text(file.read_text().replace(str(pinned), str(other)), encoding="utf-8")
    with Serving(*real) as lab:
        _, _, err = lab.end()
    assert "clients with the pins of pins.toml refuse the real server at 127.0.0.1" in err
    assert "fix: compare them: certpin check --file pins.toml" in err


def test_the_guide_leaves_the_roots_and_pins_of_the_app(real: tuple[str | Path, ...]) -> None:
    process = program("lab", "serve", "--host", HOST, *real)
    with process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        while not lines[-1].startswith("Remove the root R2"):
            lines.append(process.stdout.readline())
            assert lines[-1]
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    guide = "".join(lines)
    assert "Leave the app its roots and pins" in guide
    assert "install the root R2" in guide
    assert "pins.toml" not in guide
    assert process.returncode == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--upstream", "other.example=127.0.0.1"), "other.example is not under test"),
        (
            ("--upstream", "127.0.0.1", "--host", "b.example"),
            "name the host of the server 127.0.0.1",
        ),
        (("--upstream", "127.0.0.1", "--upstream", "127.0.0.2"), "two servers of"),
        (("--upstream", "https://me@x/"), "a user name or a password"),
        (("--pins", "no-such-file"), "does not exist"),
    ],
)
def test_an_invalid_upstream_is_reported(run: Run, words: tuple[str, ...], said: str) -> None:
    done = run("lab", "serve", "--host", HOST, *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_pins_for_another_host_are_refused(run: Run, real: tuple[str | Path, ...]) -> None:
    leads = str(real[3]).replace(HOST, "other.example")
    words = ("--pins", "pins.toml", "--upstream", leads, "--ca-file", "root.pem")
    done = run("lab", "serve", "--host", "other.example", *words)
    assert (done.code, done.out) == (2, "")
    assert "has no pins for other.example" in done.err


def test_a_real_server_that_does_not_answer_is_inconclusive(run: Run) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        port = closed.getsockname()[1]
        done = run("lab", "serve", "--host", HOST, "--upstream", f"127.0.0.1:{port}")
    assert (done.code, done.out) == (3, "")
    assert "fix: " in done.err
