"""The reason why a client never connected to the lab, and the command that brings it there."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab.attacks import CONTROL
from certpin.lab.pki import Style
from certpin.lab.report.reach import other_command, unreached_lines
from certpin.lab.report.words import advice, details
from certpin.lab.runner import Result, Run
from certpin.lab.verdict import OtherHost, ProxyHead
from tests.lab.report import _runs

if TYPE_CHECKING:
    from certpin.lab.case import Case

UNTRUSTED = _runs.BY_NAME["untrusted-ca"]
LOCAL = "--host localhost --via port"


def _alone(via: str = "connect", case: Case = CONTROL, **fields: Any) -> Result:
    """Return the result of a client that was sent to the lab this way, and opened no connection."""
    made = _runs.attempt(case.scenario(_runs.pki()), status=1, **fields)
    return _runs.result(case, replace(made, ending=replace(made.ending, via=via)))


def _run(*results: Result, host: str = _runs.HOST, **fields: Any) -> Run:
    fields.setdefault("command", ("node", "x.js", "{url}"))
    return Run(host, Style.LEAF, results, _runs.about(**fields))


def test_the_sentence_names_the_reason_and_another_way() -> None:
    run = _run(_alone())
    [line] = unreached_lines(run)
    assert line == (
        "The client never connected to the lab through an HTTP proxy: it probably ignores the "
        "proxy in HTTPS_PROXY, as Node.js before 22.21 and 24.5 does if its code sets no agent, "
        "and tried to reach the real api.bank.example. If its output shows no other reason, run it "
        f"with {LOCAL}."
    )
    assert details(run)[-1] == line
    assert advice(run) == "Check that the client reaches the lab; read its output."


@pytest.mark.parametrize(
    ("via", "host", "command", "reason", "other"),
    [
        ("socks5", _runs.HOST, "node x.js {url}", "ignores the proxy in ALL_PROXY", LOCAL),
        ("connect", "localhost", "go-client {url}", "uses no proxy for localhost", "--via port"),
        ("connect", _runs.HOST, "client {address} {port}", "HTTPS_PROXY", "--via port"),
        ("port", _runs.HOST, "client {url}", "tried to reach the real api.bank.example", LOCAL),
        ("port", "localhost", "client", "has no {url} or {port}", "--via port, and {url} in"),
    ],
)
def test_each_way_has_its_reason(
    via: str, host: str, command: str, reason: str, other: str
) -> None:
    [line] = unreached_lines(_run(_alone(via), host=host, command=tuple(command.split())))
    assert reason in line
    assert f"run it with {other}" in line


@pytest.mark.parametrize(
    ("host", "command"),
    [("localhost", "client {url}"), ("localhost", "client {port}"), (_runs.HOST, "c {endpoint}")],
)
def test_a_client_that_got_the_address_gets_no_advice(host: str, command: str) -> None:
    """Only its output can show the reason."""
    run = _run(_alone("port"), host=host, command=tuple(command.split()))
    assert unreached_lines(run) == []
    assert other_command(run, ()) == ""


@pytest.mark.parametrize(
    "seen",
    [
        {"others": (OtherHost("login.example", 443, relayed=False),)},
        {"requests": (ProxyHead("the proxy", b"CONNECT login.example:443 HTTP/1.1\r\n\r\n"),)},
    ],
)
def test_a_client_that_used_the_proxy_does_not_ignore_it(seen: dict[str, Any]) -> None:
    assert unreached_lines(_run(_alone(**seen))) == []


def test_a_client_that_did_not_start_gets_no_advice() -> None:
    run = _run(_alone("", problem="./client did not start"))
    assert unreached_lines(run) == []
    assert advice(run).startswith("Check that the client trusts the lab's roots and reaches it")


def test_one_of_two_ways_did_not_lead_to_the_lab() -> None:
    good = _runs.met(CONTROL, gives=True).attempts[0]
    good = replace(good, ending=replace(good.ending, via="port"))
    both = replace(_alone(), attempts=(*_alone().attempts, good))
    run = _run(both, host="localhost")
    [line] = unreached_lines(run)
    assert "through an HTTP proxy" in line
    assert other_command(run, [("--via", "all")]).startswith("certpin prove --via port -- ")


def test_a_case_without_a_connection_is_named() -> None:
    run = _runs.run((_alone(case=UNTRUSTED), _alone(case=UNTRUSTED)))
    [line] = unreached_lines(run)
    assert line.startswith(
        "In 1 case (untrusted-ca), the client never connected to the lab. If its output shows no "
        "other reason, it connects to such a host without the lab: with {address} and {port} in"
    )
    assert other_command(run, ()) == ""
    named = _runs.run((_alone(case=UNTRUSTED),), command=("client", "{address}"))
    assert unreached_lines(named) == []


GIVEN = [
    ("--host", "api.bank.example"),
    ("--case", "expired"),
    ("--case", "self-signed"),
    ("--client-certificate",),
    ("--client-version", "1.2 (beta)"),
    ("--sarif-location", ""),
    ("--via", "connect"),
]


def test_the_command_keeps_the_options_and_words_of_the_user() -> None:
    run = _run(_alone(), command=("node", "my client.js", "--name=$HOME", "{url}"))
    command = other_command(run, GIVEN)
    assert shlex.split(command) == [
        *("certpin", "prove", "--host", "localhost", "--via", "port"),
        *("--case", "expired", "--case", "self-signed", "--client-certificate"),
        *("--client-version", "1.2 (beta)", "--sarif-location", "", "--"),
        *("node", "my client.js", "--name=$HOME", "{url}"),
    ]


@pytest.mark.parametrize(
    ("words", "then"),
    [
        ("node x.js", "node x.js {url}"),
        ("curl https://{host}/v1", "curl https://{host}:{port}/v1"),
        ("curl https://API.bank.example", "curl https://{host}:{port}"),
        ("curl https://api.bank.example.org/", "curl https://api.bank.example.org/ {url}"),
        ("curl https://{host}:{port}/", "curl https://{host}:{port}/"),
    ],
)
def test_the_url_of_the_command_gets_the_port_of_the_lab(words: str, then: str) -> None:
    command = other_command(_run(_alone(), command=tuple(words.split())), ())
    assert shlex.split(command)[7:] == then.split()


def test_the_host_of_real_pins_stays() -> None:
    run = _run(_alone(), real_server="192.0.2.7:443")
    [line] = unreached_lines(run)
    assert "--via port --upstream 192.0.2.7:443, and let it resolve api.bank.example to" in line
    command = other_command(run, [("--pins", "pins.toml"), ("--upstream", "real.example")])
    assert command.startswith(
        "certpin prove --via port --upstream 192.0.2.7:443 --pins pins.toml -- node"
    )
    [by_port] = unreached_lines(_run(_alone("port"), real_server="192.0.2.7:443"))
    assert "and let it resolve api.bank.example to 127.0.0.1" in by_port
