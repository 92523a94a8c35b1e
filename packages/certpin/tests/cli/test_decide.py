"""``certpin decide``, which advises whether to pin, and what: by options or by questions.

The tests check the options, the questions on a terminal, and the output as text and as JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.advice import load_advice
from certpin.cli.choices import QUESTIONS
from tests.cli import _documented
from tests.cli._registry import COMMANDS
from tests.cli._terminal import on_terminal

if TYPE_CHECKING:
    from tests.cli.conftest import Run

HOST = "api.bank.example"
# Options that lead to each answer.
WAYS = {
    "dont-pin": "--client browser",
    "private-ca": "--client deployed --dns own --goal misissuance --store own",
    "provider-roots": (
        "--client app --dns own --goal interception --updates weeks --key provider --demand audit"
    ),
    "own-key": "--client app --dns own --goal interception --updates weeks --key own",
    "attestation": "--client app --dns own --goal tampering --demand none",
}


def options(answer: str) -> list[str]:
    return WAYS[answer].split()


@pytest.mark.parametrize("answer", WAYS)
def test_each_answer_is_printed_with_its_reason_sources_cost_and_next_command(
    answer: str, run: Run
) -> None:
    done = run("decide", HOST, *options(answer))
    assert done.code == 0
    expected = load_advice().answers[answer]
    lines = done.out.splitlines()
    assert lines[0] == expected.title
    assert lines[2].startswith("Why: ")
    assert done.out.count("https://") >= 2
    for text in expected.cost:
        assert f"  - {text}" in lines
    after = lines[lines.index("Next:") + 1 :]
    commands = [each.replace("HOST", HOST) for each in expected.commands]
    assert after == [f"  {each}" for each in commands or ["(no command of certpin)"]]


@pytest.mark.parametrize("answer", WAYS)
def test_the_json_is_as_documented(answer: str, run: Run) -> None:
    data = run("decide", *options(answer), "--json").json
    _documented.check("decide", data)
    assert (data["answer"], data["host"]) == (answer, None)
    given = options(answer)
    values = dict(zip(given[::2], given[1::2], strict=True))
    known = {f"--{name}": value for name, value in data["setting"].items() if value is not None}
    assert known == values
    assert len(data["sources"]) >= 2


def test_every_next_command_exists() -> None:
    for answer in load_advice().answers.values():
        for command in answer.commands:
            _, name, *words = command.split()
            paths = [path for path in COMMANDS if path == (name, *words)[: len(path)]]
            assert paths, command
            known = {word for each in COMMANDS[paths[0]].params for word in each.opts}
            used = {word for word in words if word.startswith("--")}
            assert used <= known, command


def test_sources_that_advise_otherwise_are_printed(run: Run) -> None:
    out = run("decide", *options("provider-roots")).out
    against = out.partition("Sources that advise otherwise:")[2].partition("What it costs:")[0]
    assert "never hardcode Intermediate or Root Certificate Authorities" in against
    assert "We do not recommend pinning or otherwise hard-coding" in against
    assert "otherwise" not in run("decide", *options("dont-pin")).out


def test_a_host_is_written_into_the_commands_and_its_name_into_the_record(run: Run) -> None:
    out = run("decide", f"{HOST}:8443", "--client", "browser").out
    assert f"{HOST}. CAA 0 issue" in out
    assert f"  certpin pin {HOST}:8443" in out.splitlines()
    assert "HOST" not in out


def test_a_text_that_is_not_a_host_is_refused(run: Run) -> None:
    done = run("decide", "a b;c", "--client", "browser")
    assert (done.code, done.out) == (2, "")


def test_without_a_terminal_and_options_all_options_are_listed(run: Run) -> None:
    done = run("decide")
    assert (done.code, done.out) == (2, "")
    for name, (_, values) in QUESTIONS.items():
        assert f"--{name} {'|'.join(values)}" in done.err


def test_without_a_terminal_the_next_missing_option_is_named(run: Run) -> None:
    done = run("decide", "--client", "app")
    assert (done.code, done.out) == (2, "")
    assert "Who controls the host's DNS name and server? Add --dns own|other" in done.err


def test_json_never_asks(run: Run) -> None:
    done = run("decide", "--client", "app", "--json")
    assert done.code == 2
    assert done.error["type"] == "UsageError"
    assert "--dns own|other" in done.error["message"]


@pytest.mark.medium
def test_the_interview_takes_numbers_and_values_and_asks_again() -> None:
    typing = [
        ("Which programs connect", "2"),
        ("Who controls the host's DNS name", "mine"),
        ("is not one of", "own"),
        ("Which attack", "1"),
        ("Who demands pinning", "none"),
    ]
    code, shown = on_terminal("decide", HOST, typing=typing, columns=100)
    assert code == 0
    assert "Don't pin. Use Certificate Transparency monitoring and CAA records." in shown
    assert "Who makes the server's key" not in shown


@pytest.mark.medium
def test_the_interview_does_not_ask_what_an_option_says() -> None:
    typing = [("Who controls the host's DNS name", "2")]
    code, shown = on_terminal("decide", "--client", "app", typing=typing)
    assert code == 0
    assert "Which programs connect" not in shown


def test_the_options_are_those_of_the_rules() -> None:
    questions = load_advice().questions
    assert {name: values for name, (_, values) in QUESTIONS.items()} == {
        name: question.values for name, question in questions.items()
    }
