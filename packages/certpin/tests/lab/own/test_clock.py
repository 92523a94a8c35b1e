"""Lab cases with a fixed time: the client's clock is stopped then, or the case is not run."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority, Command, client, prove
from certpin.lab.client import Call
from certpin.lab.lab import Lab
from certpin.lab.own.chain import clock_control
from certpin.lab.pki import Style
from certpin.lab.runner import Preconditions
from certpin.lab.trial import Trial
from certpin.lab.verdict import Outcome, Verdict
from certpin.x509 import Certificate
from tests.lab._clients import right_client
from tests.lab.own._own import ACCEPT, HOST, LONG_AGO, REFUSE, case, own

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab.case import Case
    from certpin.lab.target import Target

OLD = Authority("Old root", now=LONG_AGO)
OLD_SERVER = OLD.issue(HOST, days=1)
AT_THE_TIME = case(ACCEPT, own(OLD_SERVER, OLD, time=LONG_AGO))

# A client of the standard library that prints its time.
_CLIENT = """
import socket, ssl, sys, time
host, address, port, ca, canary = sys.argv[1:]
print("it is", int(time.time()))
context = ssl.create_default_context(cafile=ca)
with socket.create_connection((address, int(port)), 10) as sock:
    with context.wrap_socket(sock, server_hostname=host) as tls:
        tls.sendall(f"GET /{canary} HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n".encode())
        tls.recv(4096)
"""
_WORDS = (sys.executable, "-c", _CLIENT, "{host}", "{address}", "{port}", "{ca}", "{canary}")
PROGRAM = Command(_WORDS, via="port")
# A client that ignores libfaketime, as statically linked programs do.
STATIC = Command(("env", "-u", "LD_PRELOAD", "-u", "DYLD_INSERT_LIBRARIES", *_WORDS), via="port")


@pytest.mark.medium
@pytest.mark.peer("faketime")
@pytest.mark.parametrize("moment", [LONG_AGO, datetime(2060, 1, 1, tzinfo=UTC)])
def test_the_clock_of_the_client_stops_at_the_time_of_the_case(moment: datetime) -> None:
    root = Authority("Root of its time", now=moment)
    # The chain expires at the next second.
    server = root.issue(HOST, days=1 / 24 / 3600)
    run = prove(PROGRAM, [case(ACCEPT, own(server, root, time=moment))], style="none")
    result = run.results[1]
    assert (result.verdict, run.controlled) == (Verdict.ACCEPT, True), result.why
    assert f"it is {int(moment.timestamp())}" in result.attempts[0].ending.output


@pytest.mark.medium
@pytest.mark.peer("faketime")
def test_a_chain_of_another_time_is_refused() -> None:
    late = case(REFUSE, own(OLD_SERVER, OLD, time=LONG_AGO + timedelta(days=2)))
    run = prove(PROGRAM, [late], style="none")
    assert run.results[1].verdict is Verdict.REJECT


@pytest.mark.medium
@pytest.mark.peer("faketime")
def test_a_client_that_ignores_its_clock_is_not_judged() -> None:
    attack = case(REFUSE, own(OLD_SERVER, OLD, time=LONG_AGO), "attack")
    today = case(ACCEPT, name="today")
    run = prove(STATIC, [AT_THE_TIME, attack, today], style="none")
    outcomes = {each.case.name: each.outcome for each in run.results[1:-1]}
    assert outcomes == {
        "mine": Outcome.NOT_RUN,
        "attack": Outcome.NOT_RUN,
        "today": Outcome.RIGHT,
    }
    assert "the client's clock can't be set" in run.results[1].why


def _not_run(chosen: Case) -> str:
    run = prove(right_client(Style.NONE), [chosen], style="none")
    assert run.controlled
    assert run.results[1].outcome is Outcome.NOT_RUN
    return run.results[1].why


def test_a_function_is_not_run_at_another_time() -> None:
    assert "the clock of a function" in _not_run(AT_THE_TIME)


@pytest.mark.medium
def test_without_libfaketime_the_case_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_FOLDERS", ("/nowhere",))
    run = prove(PROGRAM, [AT_THE_TIME], style="none")
    assert run.results[1].outcome is Outcome.NOT_RUN
    assert "apt-get install libfaketime" in run.results[1].why


@pytest.mark.medium
@pytest.mark.peer("faketime")
def test_a_trial_of_pytest_tries_the_clock_too() -> None:
    with Lab(style=Style.NONE) as lab:
        trial, other = Trial(lab), Trial(lab)
        results = [trial.attack(STATIC, AT_THE_TIME) for _ in range(2)]
        moved = other.attack(PROGRAM, AT_THE_TIME)
    assert {result.outcome for result in results} == {Outcome.NOT_RUN}
    assert moved.outcome is Outcome.RIGHT


# Waits a moment as threads of Java and Python do: on the monotonic clock, with pthread's function.
_WAITING = """
import ctypes, errno, time
libc = ctypes.CDLL(None)
attributes, condition, mutex = (ctypes.create_string_buffer(64) for _ in range(3))
libc.pthread_condattr_init(attributes)
libc.pthread_condattr_setclock(attributes, time.CLOCK_MONOTONIC)
libc.pthread_cond_init(condition, attributes)
libc.pthread_mutex_lock(mutex)
end = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + 200_000_000
until = (ctypes.c_long * 2)(*divmod(end, 1_000_000_000))
assert libc.pthread_cond_timedwait(condition, mutex, until) == errno.ETIMEDOUT
assert time.clock_gettime_ns(time.CLOCK_MONOTONIC) >= end, "it did not wait"
"""


@pytest.mark.peer("faketime")
@pytest.mark.parametrize(
    ("by", "to"),
    [(timedelta(days=5), None), (timedelta(hours=-1), None), (timedelta(0), LONG_AGO)],
)
def test_threads_wait_as_long_as_without_a_moved_clock(by: timedelta, to: datetime | None) -> None:
    environment = {**os.environ, **client.moved_clock(by, to)}
    words = [sys.executable, "-c", _WAITING]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_control_of_the_clock_is_valid_for_an_hour_only() -> None:
    control = clock_control(HOST, LONG_AGO)
    assert control.own is not None
    assert control.own.time == LONG_AGO
    leaf = Certificate.from_der(control.own.chain[0])
    assert leaf.not_after - LONG_AGO == LONG_AGO - leaf.not_before == timedelta(hours=1)


def test_without_a_time_no_clock_is_tried() -> None:
    tried: list[Target] = []
    with Lab(style=Style.NONE) as lab:
        assert Preconditions(lab, Call(tried.append)).problem(case(ACCEPT)) == ""
    assert not tried


def test_the_clock_stops_at_a_whole_second(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("libfaketime.so.1", "libfaketime.1.dylib"):
        (tmp_path / name).touch()
    monkeypatch.setattr(client, "_FOLDERS", (str(tmp_path),))
    variables = client.moved_clock(timedelta(0), LONG_AGO + timedelta(milliseconds=999))
    assert variables["FAKETIME"] == str(int(LONG_AGO.timestamp()))
    assert variables["FAKETIME_FMT"] == "%s"
    assert "FAKETIME_FMT" not in client.moved_clock(timedelta(days=1))
