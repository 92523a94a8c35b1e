"""Check ``certpin watch worker``, its tokens, and its output in a terminal and a pipe.

Errors are reported before any request is sent.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli import _documented
from tests.cli._terminal import on_terminal
from tests.cli.conftest import program

if TYPE_CHECKING:
    from tests.cli.conftest import Run

URL = "https://watch.bank.example"


def _token(run: Run) -> str:
    made = run("watch", "token", "add", "fra1-a", "--worker", "fra1", "--json")
    _documented.check("watch token add", made.json)
    assert made.json["scopes"] == ["worker:fra1"]
    return str(made.json["token"])


@pytest.mark.medium
def test_the_token_of_a_worker_is_shown_with_its_location_and_can_be_revoked(run: Run) -> None:
    _token(run)
    listed = run("watch", "token", "list", "--json")
    (found,) = listed.json["tokens"]
    _documented.check("watch token list", found)
    assert (found["location"], found["scopes"]) == ("fra1", ["worker:fra1"])
    assert "worker:fra1" in run("watch", "token", "list").out
    assert run("watch", "token", "revoke", found["id"]).code == 0
    assert "revoked" in run("watch", "token", "list").out


@pytest.mark.medium
@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--scope", "read", "--worker", "fra1"),
        ("--worker", "Frankfurt 1"),
        ("--worker", ""),
    ],
)
def test_a_token_is_for_a_worker_or_has_scopes(run: Run, words: tuple[str, ...]) -> None:
    assert run("watch", "token", "add", "a", *words).code == 2


@pytest.mark.parametrize("words", [("--nats", "tls://a"), ("--vantage", "fra1")])
def test_the_former_options_name_what_replaced_them(run: Run, words: tuple[str, str]) -> None:
    done = run("watch", "worker", *words)
    assert done.code == 2
    assert f"{words[0]}: workers do not use NATS any more" in done.err
    assert "certpin watch token add NAME --worker" in done.err
    assert "--token-file" in done.err


def test_the_former_variable_names_what_replaced_it(run: Run) -> None:
    done = run("watch", "worker", CERTPIN_NATS="tls://a")
    assert (done.code, "CERTPIN_NATS: workers do not use NATS" in done.err) == (2, True)


def test_a_missing_option_is_named(run: Run) -> None:
    assert "--url" in run("watch", "worker").err
    done = run("watch", "worker", "--url", URL)
    assert (done.code, "the worker has no token" in done.err) == (2, True)
    gone = run("watch", "worker", "--url", URL, "--token-file", "nowhere")
    assert (gone.code, "nowhere cannot be read" in gone.err) == (2, True)
    empty = Path("empty")
    empty.write_text("")
    done = run("watch", "worker", "--url", URL, "--token-file", empty)
    assert (done.code, "empty is empty" in done.err) == (2, True)


@pytest.mark.medium
def test_errors_are_reported_before_anything_is_sent(run: Run) -> None:
    token = _token(run)
    there = {"CERTPIN_WATCH_TOKEN": token}
    for words, problem in (
        (("--url", "http://watch.bank.example"), "in clear text"),
        (("--url", "watch.bank.example"), "not the address of a monitoring service"),
        (("--url", URL, "--ca-file", __file__), "cannot be used"),
        (("--url", URL, "--ca-file", __file__, "--pins", __file__), "not both"),
    ):
        done = run("watch", "worker", *words, **there)
        assert (done.code, problem in done.err, token in done.err) == (2, True, False), done.err
    done = run("watch", "worker", "--url", URL, CERTPIN_WATCH_TOKEN=token[:-1])
    assert (done.code, "not a token of the service" in done.err, token[:-1] in done.err) == (
        2,
        True,
        False,
    )
    told = run("watch", "worker", "--url", URL, "--json", CERTPIN_WATCH_TOKEN="x")
    assert json.loads(told.out)["error"]["fix"]


@pytest.mark.slow
def test_a_terminal_shows_a_counter_and_a_pipe_only_changes(run: Run) -> None:
    words = ("watch", "worker", "--url", "http://127.0.0.1:1")
    token = _token(run)
    process = program(*words, env={"CERTPIN_WATCH_TOKEN": token})
    assert process.stderr
    lines = [process.stderr.readline() for _ in range(3)]
    process.terminate()
    _, rest = process.communicate(timeout=30)
    assert (process.returncode, rest) == (0, "")
    assert "cannot be reached: connection refused" in lines[1].lower()
    text = on_terminal(*words, typing=[("probes: 0", "\x03")], CERTPIN_WATCH_TOKEN=token)
    assert text[0] == 0
