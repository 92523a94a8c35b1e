"""Cases that direct a client to another host than the one under test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.lab.attacks import CASES
from certpin.lab.case import CannotServeError
from certpin.lab.client import Command, environment
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import BY_NAME, run_case

if TYPE_CHECKING:
    from certpin.lab.target import Target

HOST = "api.bank.example"
ELSEWHERE = [case.name for case in CASES if case.spelling(case.host(HOST)) != HOST]

# Directed by its arguments, and by the variable for its proxy.
_URL = ("curl", "-sS")


def _target(name: str, host: str = HOST) -> Target:
    with Lab(host, Style.LEAF) as lab:
        case_server = lab.case_server(BY_NAME[name])
        target = case_server.open()
        case_server.close()
    return target


@pytest.mark.peer("curl")
@pytest.mark.parametrize("name", ELSEWHERE)
def test_command_with_a_fixed_host_is_not_run(name: str) -> None:
    client = Command((*_URL, f"https://{HOST}/canary"))
    result = run_case(name, client, Style.NONE)
    assert result.outcome is Outcome.NOT_RUN
    assert "write {host} or {url}" in result.why
    assert BY_NAME[name].spelling(BY_NAME[name].host(HOST)) in result.why


@pytest.mark.peer("curl")
@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("style", [Style.NONE, Style.LEAF])
def test_command_with_a_host_placeholder_is_directed_there(name: str, style: Style) -> None:
    """A command with a placeholder for the host runs against the case's own host, with its pins."""
    pins = ("--pinnedpubkey", "{pinnedpubkey}") if style is Style.LEAF else ()
    result = run_case(name, Command((*_URL, *pins, "{url}")), style)
    assert result.outcome is Outcome.RIGHT
    right = Verdict.ACCEPT if name == "ipv6-san" else Verdict.REJECT
    assert result.verdict is right


def test_command_with_a_fixed_host_runs_for_that_host() -> None:
    client = Command(("true",))
    assert client.run(_target("expired")).status == 0
    with pytest.raises(CannotServeError):
        client.run(_target("ipv6-san"))


def test_proxy_stays_on_ipv4_if_the_port_uses_ipv6() -> None:
    try:
        target = _target("ipv6-san", "localhost")
    except CannotServeError as exc:
        pytest.skip(f"left out: {exc}")
    assert target.address == "::1"
    assert target.url.startswith("https://[::1]/")
    assert target.proxy == f"http://127.0.0.1:{target.proxy_port}"
    assert "-Dhttps.proxyHost=127.0.0.1 " in environment(target, "connect")["JAVA_TOOL_OPTIONS"]


def test_the_pins_of_a_target_are_those_of_its_host() -> None:
    with Lab(HOST, Style.LEAF) as lab:
        for name in ELSEWHERE:
            case_server = lab.case_server(BY_NAME[name])
            target = case_server.open()
            case_server.close()
            assert target.elsewhere
            case = BY_NAME[name]
            host = case.host(HOST)
            assert target.host == case.spelling(host)
            assert target.pin == str(lab.pki(host).leaf.pin)
