"""``certpin lab serve`` as a process, with curl and Python as the apps under test."""

from __future__ import annotations

import json
import resource
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from certpin import PinnedSSLContext, PinSet
from certpin.cli.lab.serve import _run
from tests.cli import _documented
from tests.cli._lab import Serving, from_lab, use_up
from tests.cli._terminal import on_terminal
from tests.cli.conftest import program
from tests.lab._device import MOST, REFUSED, curl_until_confirmed, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Run

pytestmark = pytest.mark.slow  # each starts a program

HOST = "api.bank.example"
ROGUE = ("--case", "rogue-ca-in-store")


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set XDG_DATA_HOME to a new folder, in which the lab keeps its data, and return the folder."""
    folder = tmp_path / "data"
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    return folder


@pytest.fixture
def lab(data: Path) -> Iterator[Serving]:
    with Serving(*ROGUE) as serving:
        yield serving


def _pinned(lab: Serving) -> ssl.SSLContext:
    pins = from_lab(lab, "/pins.toml").decode()
    context = PinnedSSLContext(PinSet.parse(pins, path=Path("pins.toml")))
    context.load_verify_locations(cadata=from_lab(lab, "/roots.pem").decode())
    return context


def _use(lab: Serving, context: ssl.SSLContext, times: int) -> None:
    for _ in range(times):
        try:
            fetch(lab.port, context)
        except (ssl.SSLError, OSError):
            continue


def test_a_pinned_app_passes(lab: Serving) -> None:
    use_up(lab.port, _pinned(lab))
    code, events, err = lab.wait()
    assert (code, err) == (0, "")
    assert [(event["event"], event.get("verdict")) for event in events] == [
        ("case", "REJECT"),
        ("ended", None),
    ]
    (host,) = events[1]["hosts"]
    assert (host["controlled"], host["finished"], host["right"]) == (True, True, 1)


def test_open_requests_are_answered_before_the_lab_stops() -> None:
    lab = Mock(finished=True)
    lab.next.return_value = None
    _run(lab, Mock())
    called = [name for name, _, _ in lab.method_calls]
    assert called.index("let_answer") < called.index("stop")


@pytest.mark.peer("curl")
def test_curl_without_pins_is_a_finding(lab: Serving, tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(from_lab(lab, "/roots.pem"))
    words = ("curl", "-sS", "--proxy", lab.proxy, "--cacert", roots, f"https://{HOST}/")
    answers = []
    for _ in range(MOST):
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode != 0:
            break  # the lab has ended
        answers.append(done.stdout.startswith("lab-answer-"))
    assert len(answers) >= 3
    assert all(answers)
    code, events, _ = lab.wait()
    assert code == 1
    assert (events[0]["case"], events[0]["outcome"]) == ("rogue-ca-in-store", "wrong")


@pytest.mark.peer("curl")
@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_curl_with_the_pins_of_the_lab_passes(scheme: str, lab: Serving, tmp_path: Path) -> None:
    run = partial(subprocess.run, capture_output=True, timeout=30, check=False)
    roots = tmp_path / "roots.pem"
    roots.write_bytes(from_lab(lab, "/roots.pem"))
    pins = PinSet.parse(from_lab(lab, "/pins.toml").decode(), path=Path("pins.toml"))
    through = ("curl", "--proxy", lab.proxy.replace("http", scheme, 1))
    codes = curl_until_confirmed(lambda *words: run((*through, *words)).returncode, pins, roots)
    assert (codes[0], codes[-1], {*codes}) == (0, 0, {0, REFUSED})
    code, events, _ = lab.wait()
    assert (code, events[0]["verdict"]) == (0, "REJECT")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_a_connection_the_result_is_inconclusive(lab: Serving, number: int) -> None:
    code, events, err = lab.end(number)
    assert (code, err) == (3, "")
    (ended,) = events
    assert (ended["event"], ended["hosts"][0]["controlled"]) == ("ended", False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_interrupt_the_summary(lab: Serving, number: int) -> None:
    for _ in range(5):  # GNU timeout sends two
        lab.send(number)
    code, events, err = lab.wait()
    assert (code, err, len(events)) == (3, "", 1)


def test_an_end_before_the_control_leaves_refusals_undecided(lab: Serving) -> None:
    _use(lab, _pinned(lab), 3)
    code, events, _ = lab.end()
    assert code == 3
    # None: the lab ended before the last client had closed its connection.
    assert {event.get("outcome") for event in events} <= {"undecided", None}


def test_a_pipe_gets_a_line_for_each_case_and_a_summary() -> None:
    with program("lab", "serve", "--host", HOST, *ROGUE) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or not lines[-1].startswith("Remove both roots"):
            lines.append(process.stdout.readline())
            assert lines[-1]
        guide = "".join(lines)
        port = int(guide.partition("proxy at 127.0.0.1:")[2].partition(".")[0])
        careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
        use_up(port, careless)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (1, "")
    for words in (
        "http://certpin.lab/",
        "--listen",
        "iOS",
        'src="user" overridePins="false"',
        "LEAK",
    ):
        assert words in guide
    line = next(line for line in out.splitlines() if line.startswith(f"{HOST}  rogue"))
    assert line.startswith(f"{HOST}  rogue-ca-in-store  ACCEPT  wrong: ")
    assert f"{HOST}: 1 of 1 cases tried, 1 wrong" in out
    assert "\x1b" not in out


def test_on_a_terminal_it_shows_a_table_and_ctrl_c_ends_it() -> None:
    words = ("lab", "serve", "--host", HOST, *ROGUE)
    code, screen = on_terminal(*words, columns=120, typing=[("next: control-good", "\x03")])
    assert code == 3
    assert "running case" in screen
    assert f"{HOST}: no connection. Nothing is proven." in screen


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))


def test_too_few_open_files_are_an_error_with_a_fix() -> None:
    process = program("lab", "serve", "--host", HOST, preexec_fn=_limited)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (3, "")
    assert err.splitlines() == [
        "certpin: this system allows 80 open files, and the lab needs 96",
        "  fix: raise the limit: ulimit -n 4096",
    ]


def test_a_port_in_use_is_an_error_with_a_fix() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = program("lab", "serve", "--host", HOST, "--port", str(port))
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (3, "")
    assert err.startswith(f"certpin: cannot listen on port {port} of 127.0.0.1: ")
    assert "fix: choose another with --port" in err


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_too_few_descriptors_during_a_run_are_an_error_with_a_fix(lab: Serving) -> None:
    resource.prlimit(lab.pid, resource.RLIMIT_NOFILE, (20, 20))
    with ExitStack() as held:
        # The lab ends at the same time, and the kernel resets a connection that it had accepted.
        with suppress(ConnectionRefusedError, ConnectionResetError):
            for _ in range(30):
                held.enter_context(socket.create_connection(("127.0.0.1", lab.port), 10))
        code, events, err = lab.wait()
    assert (code, events) == (3, [])
    assert err.startswith("this system can take no more connections: ")
    assert "fix: raise the limit of open files" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_every_end_removes_the_folder_and_closes_the_port(number: int, tmp_path: Path) -> None:
    passing = tmp_path / "passing"
    passing.mkdir()
    with Serving(*ROGUE, env={"TMPDIR": str(passing)}) as lab:
        _use(lab, _pinned(lab), 2)
        port = lab.port
        lab.end(number)
    assert list(passing.iterdir()) == []
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_the_next_lab_has_the_same_roots_and_the_same_pins(data: Path) -> None:
    seen = []
    for _ in range(2):
        with Serving("--case", "rot-backup-live") as lab:
            seen.append((lab.begun["roots"], from_lab(lab, "/pins.toml"), lab.begun["notes"]))
            lab.end()
    (roots, pins, notes), again = seen
    assert again == (roots, pins, [])
    assert [note.partition(" is in ")[0] for note in notes] == ["a new root", "a new rogue"]
    keys = list((data / "certpin" / "lab").glob("*.key"))
    assert {path.name for path in keys} == {"root.key", "rogue.key", "backup.key"}
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}


def test_pins_of_an_earlier_lab_are_valid_in_the_next() -> None:
    with Serving("--case", "rot-backup-live", "--case", "rogue-ca-in-store") as lab:
        app = _pinned(lab)
        lab.end()
    with Serving("--case", "rot-backup-live", "--case", "rogue-ca-in-store") as lab:
        use_up(lab.port, app)
        code, events, _ = lab.wait()
    assert code == 0, events
    assert {event["case"]: event["verdict"] for event in events if event["event"] == "case"} == {
        "rot-backup-live": "ACCEPT",
        "rogue-ca-in-store": "REJECT",
    }


def test_a_folder_that_others_can_read_is_refused_with_a_fix(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    process = program("lab", "serve", "--host", HOST, "--folder", folder)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (3, "")
    assert "is open to others" in err
    assert "fix: " in err


def test_wireguard_works_or_names_its_requirements(data: Path) -> None:
    process = program(
        "lab", "serve", "--host", HOST, "--json", "--wireguard", "--wireguard-port", "0"
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = json.loads(process.stdout.readline())
        if "event" in first:
            configuration = first["wireguard"]
            assert configuration.startswith("[Interface]")
            assert "Endpoint = 127.0.0.1:" in configuration
            process.send_signal(signal.SIGTERM)
        else:
            _documented.check("error", first["error"])
            assert first["error"]["fix"]
        assert process.stderr.read() == ""
    assert process.returncode == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--host"),
        (("--host", "a..b"), "a..b"),
        (("--host", HOST, "--listen", "somewhere"), "give an IP address of this machine"),
        (("--host", HOST, "--case", "nosuch"), "there is no case"),
        (("--host", HOST, "--host", "Second.certpin.lab"), "second.certpin.lab belongs to the lab"),
        (("--host", "certpin.lab"), "certpin.lab belongs to the lab"),
    ],
)
def test_an_invalid_option_is_a_usage_error(run: Run, words: tuple[str, ...], said: str) -> None:
    done = run("lab", "serve", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
