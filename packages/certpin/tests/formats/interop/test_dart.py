"""The Dart package in the lab: its clients fail no case; clients with mistakes fail the listed."""

from __future__ import annotations

import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab.attacks import CASES
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.verdict import Verdict
from scripts.record import FORBIDDEN
from tests.formats.flutter import _vm
from tests.formats.interop import _programs
from tests.formats.interop._dart import (
    CLIENTS,
    DECISIVE_CASES,
    GIVEN,
    INAPPLICABLE,
    MISTAKE_CASES,
    MISTAKES,
    NOT_IN_TWO_CONNECTIONS,
    NOT_RUN,
    NOT_WITHOUT_PROXY,
    PROGRAM,
    WARNINGS,
    DartClient,
    Mistake,
    failures,
    outcomes,
)
from tests.formats.interop._dart_page import client_row, failed_lines, mistake_row
from tests.formats.interop._page import TARGET

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.dart import DartVM

PAGE = TARGET.read_text(encoding="utf-8")
_WHOLE = 600  # seconds for the whole matrix: a program is started for each case
NAMES = {case.name for case in GIVEN} | INAPPLICABLE.keys()
_DART = [pytest.mark.slow, pytest.mark.peer("dart")]
_RESOLVING = [pytest.mark.slow, pytest.mark.peer("dart", "unshare")]
RUNS = [(client, vm) for client in CLIENTS for vm in client.vms]
_IN_TEST = (CLIENTS[0], _vm.NEWEST)  # `make test` runs it over the whole matrix


def _run(client: DartClient, vm: DartVM, *marks: pytest.MarkDecorator) -> object:
    marks += tuple(_DART if client.proxied else _RESOLVING)
    return pytest.param(client, vm, id=f"{client.name}-{vm.version}", marks=marks)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the compiled Dart programs, which all tests share."""
    return tmp_path_factory.mktemp("kernels")


def _need_names() -> None:
    if not _programs.may_resolve():
        pytest.skip(f"left out: {FORBIDDEN}to mount an /etc/hosts for one program")


@pytest.mark.timeout(_WHOLE)
@pytest.mark.parametrize(
    ("client", "vm"),
    [_run(*each, *([] if each == _IN_TEST else [pytest.mark.gallery])) for each in RUNS],
)
def test_the_client_fails_no_case(client: DartClient, vm: DartVM, kernels: Path) -> None:
    if not client.proxied:
        _need_names()
    report = client.run(kernels, vm)
    _is_right(report, client, NAMES - INAPPLICABLE.keys())
    assert outcomes(report)["told"] == client.told
    assert client_row(client, vm, report) in PAGE.splitlines()


@pytest.mark.parametrize(("client", "vm"), [_run(*each) for each in RUNS if each != _IN_TEST])
def test_the_client_fails_no_decisive_case(client: DartClient, vm: DartVM, kernels: Path) -> None:
    if not client.proxied:
        _need_names()
    given = MISTAKE_CASES if client.own_check and vm is _vm.NEWEST else DECISIVE_CASES
    report = client.run(kernels, vm, given=given)
    _is_right(report, client, {case.name for case in given})


def _is_right(report: dict[str, Any], client: DartClient, names: set[str]) -> None:
    """Check that these cases of a report have the right outcome.

    The cases in ``WARNINGS``, and in the client's lists of other cases, must have the outcome of
    their list.
    """
    assert report["controlled"], report["summary"]
    found = outcomes(report)
    assert not found.keys() & {"wrong", "undecided"}, report["summary"]
    assert found["warning"] == set(WARNINGS)
    assert found["not_run"] == client.not_run.keys() & names
    assert found["right"] == names - client.not_run.keys() - {*WARNINGS, *client.told}
    assert report["exit_code"] == 0


@pytest.mark.slow
@pytest.mark.peer("dart", "unshare")
def test_a_client_without_pins_of_keys_refuses_a_key_of_512_bits(kernels: Path) -> None:
    """Dart's TLS library refuses such a key, and accepts one of 1024 bits."""
    _need_names()
    [client] = [each for each in CLIENTS if each.style is Style.CA]
    weak = [case for case in GIVEN if case.name.startswith("weak-leaf-rsa")]
    report = client.run(kernels, _vm.NEWEST, given=weak)
    verdicts = {result["case"]: result["verdict"] for result in report["results"]}
    assert verdicts["weak-leaf-rsa-512"] == Verdict.REJECT
    assert verdicts["weak-leaf-rsa-1024"] == Verdict.ACCEPT
    assert report["exit_code"] == 0


@pytest.mark.slow
@pytest.mark.peer("dart", "unshare")
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_fails_the_listed_cases(mistake: Mistake, kernels: Path) -> None:
    """Clients with mistakes have wrong outcomes, so the tests of correct clients can fail."""
    _need_names()
    report = mistake.run(kernels, given=mistake.telling)
    assert report["controlled"] == mistake.works
    assert failures(report) == mistake.fails
    if mistake.works:
        assert outcomes(report)["right"]
    else:
        [control] = report["results"]
        assert control["verdict"] == Verdict.REJECT


@pytest.mark.gallery
@pytest.mark.timeout(_WHOLE)
@pytest.mark.peer("dart", "unshare")
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_fails_only_the_listed_cases_of_the_matrix(
    mistake: Mistake, kernels: Path
) -> None:
    _need_names()
    report = mistake.run(kernels)
    assert failures(report) == mistake.fails
    assert mistake_row(mistake, report) in PAGE.splitlines()


@pytest.mark.slow
@pytest.mark.peer("dart", "unshare")
def test_an_intermediate_that_is_the_anchor_is_not_verified(kernels: Path) -> None:
    """If the issuer is the anchor, ``dart:io`` ignores a damaged copy of it that the server sends.

    The server itself is genuine and is accepted.
    """
    _need_names()
    program = _programs.compile_isolates(PROGRAM, kernels)
    words = (program, "anchors", "--url", "{url}", "--anchors", "{cert}")
    client = _programs.Isolates(
        _programs.dart_words(_vm.NEWEST, *words), via="port", patience=60, program=program
    )
    chosen = ("bad-signature-intermediate", "bad-signature-leaf", "fake-ca-same-name")
    cases = [case for case in CASES if case.name in chosen]
    with Lab(_programs.LOCAL, Style.CA) as lab, closing(client):
        run = prove(lab, client, cases)
    assert run.controlled
    verdicts = {result.case.name: result.verdict for result in run.results}
    assert verdicts["bad-signature-intermediate"] is Verdict.ACCEPT
    assert verdicts["bad-signature-leaf"] is Verdict.REJECT
    assert verdicts["fake-ca-same-name"] is Verdict.REJECT


@pytest.mark.slow
@pytest.mark.peer("dart")
def test_wrong_words_are_not_a_refusal(kernels: Path) -> None:
    """Invalid arguments end the client with status 64: status 1 would mean a refused attack."""
    vm = _vm.VERSIONS[0]  # for which the program is compiled anyway
    program = _programs.compiled(PROGRAM, kernels, vm)
    url = ("--url", "https://a.example/")
    wrong = [(), ("http",), ("telnet", *url), ("http", *url, "--no-pins", ""), ("proxy", *url)]
    for words in (*wrong, ("http", "--url"), ("anchors", *url)):
        done = subprocess.run(
            [vm.program, program, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 64, words
        assert done.stderr.startswith("usage: prove.dart "), words


def test_every_case_that_is_not_run_has_a_reason() -> None:
    reasons = NOT_RUN | NOT_WITHOUT_PROXY | NOT_IN_TWO_CONNECTIONS | INAPPLICABLE
    assert reasons.keys() <= NAMES
    for name, why in reasons.items():
        assert f"- `{name}`: {why}." in PAGE


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_the_page_lists_what_a_mistake_fails(mistake: Mistake) -> None:
    assert mistake.fails.keys() <= NAMES
    for line in failed_lines(mistake):
        assert line in PAGE.splitlines()


@pytest.mark.parametrize(("client", "vm"), RUNS)
def test_the_page_has_every_client(client: DartClient, vm: DartVM) -> None:
    start = f"| {client.title} | {vm.version} | {client.style} | "
    [line] = [line for line in PAGE.splitlines() if line.startswith(start)]
    assert line.split(" | ")[4] == "0", "nothing is wrong"
