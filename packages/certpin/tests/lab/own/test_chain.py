"""A user's own chain as a lab case: verdicts, trust anchors, pins and the files for the client."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from certpin import PinSet
from certpin.lab import Authority, Command, prove
from certpin.lab.attacks import CONTROL
from certpin.lab.case import CannotServeError
from certpin.lab.client import environment
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.report.causes import find_causes
from certpin.lab.report.flaws import chain_context
from certpin.lab.report.json import run_facts
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import request, right_client, trusting
from tests.lab.own._own import (
    ACCEPT,
    HOST,
    OTHER_ROOT,
    REFUSE,
    REPORT,
    ROOT,
    SERVER,
    case,
    own,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab.case import Case, OwnChain
    from certpin.lab.own.chain import ExpectedVerdict
    from certpin.lab.runner import Result
    from certpin.lab.target import Target

UNTRUSTED = own(SERVER, OTHER_ROOT)
EXPIRED = own(ROOT.at(ROOT.now - timedelta(days=100)).issue(HOST))


def verdict(expect: ExpectedVerdict, chain: OwnChain, style: Style = Style.NONE) -> Result:
    run = prove(right_client(style), [case(expect, chain)], style=style)
    assert run.controlled
    return run.results[1]


@pytest.mark.parametrize(
    ("expect", "chain", "outcome"),
    [
        (ACCEPT, own(), Outcome.RIGHT),
        (REFUSE, own(), Outcome.WRONG),
        (REPORT, own(), Outcome.TOLD),
        (ACCEPT, UNTRUSTED, Outcome.WRONG),
        (REFUSE, UNTRUSTED, Outcome.RIGHT),
        (REPORT, UNTRUSTED, Outcome.TOLD),
        (REFUSE, EXPIRED, Outcome.RIGHT),
        (REFUSE, own(host="another.company.example"), Outcome.RIGHT),
    ],
)
def test_the_verdict_is_compared_with_the_expected_one(
    expect: ExpectedVerdict, chain: OwnChain, outcome: Outcome
) -> None:
    assert verdict(expect, chain).outcome is outcome


@pytest.mark.parametrize("style", Style)
def test_without_pins_in_the_file_they_match_the_chain(style: Style) -> None:
    assert verdict(ACCEPT, own(), style).verdict is Verdict.ACCEPT


@pytest.mark.medium
@pytest.mark.parametrize("style", [Style.LEAF, Style.CA])
def test_pins_in_the_file_are_those_of_the_client(style: Style) -> None:
    assert verdict(REFUSE, own(pins=(OTHER_ROOT.pin,)), style).verdict is Verdict.REJECT
    assert verdict(ACCEPT, own(pins=(OTHER_ROOT.pin, ROOT.pin)), style).verdict is Verdict.ACCEPT


def test_the_roots_of_the_lab_are_not_trusted_for_it() -> None:
    with Lab(style=Style.NONE) as lab:
        server = lab.case_server(case(REFUSE, own(lab.authorities.rogue.issue(HOST))))
        target = server.open()
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
            request(target, trusting(target))
        server.close()


@contextmanager
def opened(style: Style, chosen: Case) -> Iterator[Target]:
    """Serve a case in a new lab, and yield the target that a client connects to."""
    with Lab(style=style) as lab:
        server = lab.case_server(chosen)
        yield server.open()
        server.close()


def test_its_anchors_are_in_every_file_and_variable() -> None:
    with opened(Style.LEAF, CONTROL) as honest, opened(Style.LEAF, case(ACCEPT)) as target:
        usual, variables = environment(honest, "connect"), environment(target, "connect")
        named = [name for name, value in usual.items() if value == str(honest.ca)]
        assert {"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "CERTPIN_LAB_CA"} <= set(named)
        assert {Path(variables[name]).read_bytes() for name in named} == {ROOT.pem}
        assert str(target.truststore) in variables["JAVA_TOOL_OPTIONS"]
        store = pkcs12.load_pkcs12(target.truststore.read_bytes(), b"changeit")
        assert [each.certificate for each in store.additional_certs] == [ROOT.x509]
        assert variables["CERTPIN_LAB_HOST"] == HOST


def test_its_pins_are_in_every_form() -> None:
    with opened(Style.LEAF, case(ACCEPT)) as target:
        policy = PinSet.load(target.pins).policy_for(HOST)
        assert policy
        assert [str(entry.pin) for entry in policy.pins] == [target.pin, target.backup]
        assert target.pin == str(SERVER.pin)
        assert target.fingerprint == SERVER.certificate.sha256.hex(":").upper()
        assert str(SERVER.pin).removeprefix("sha256/") in target.export("go").read_text("utf-8")


def test_a_client_that_pins_a_certificate_gets_none_of_the_attacker() -> None:
    with opened(Style.LEAF, case(REFUSE, own(pins=(OTHER_ROOT.pin,)))) as target:
        assert target.fingerprint != SERVER.certificate.sha256.hex(":").upper()


def test_pinned_anchors_are_those_of_the_case() -> None:
    with opened(Style.CA, case(ACCEPT)) as target:
        assert target.anchors.read_bytes() == ROOT.pem
        (anchors,) = target.export("nginx").parent.glob("*anchors.pem")
        assert ROOT.pem in anchors.read_bytes()


def test_cases_of_one_host_have_separate_folders() -> None:
    first, second = case(ACCEPT), case(REFUSE, UNTRUSTED, "second")
    with Lab(style=Style.NONE) as lab:
        folders = set()
        for each in (first, second, first):
            server = lab.case_server(each)
            folders.add(server.open().folder)
            server.close()
        assert len(folders) == 2


def test_a_chain_that_cannot_be_pinned_is_served_to_clients_without_pins() -> None:
    unreadable = replace(own(), chain=(b"\0\0\0",))
    with opened(Style.NONE, case(REFUSE, unreadable)) as target:
        assert target.pin == ""
    with Lab(style=Style.LEAF) as lab, pytest.raises(CannotServeError, match="no pins can be made"):
        lab.case_server(case(REFUSE, unreadable))


def test_a_chain_that_openssl_does_not_serve_is_not_run() -> None:
    result = verdict(REFUSE, replace(own(), chain=(b"\0\0\0",)))
    assert result.outcome is Outcome.NOT_RUN
    assert "OpenSSL will not serve it" in result.why


def test_a_command_with_a_fixed_host_is_not_run() -> None:
    fixed = Command(("curl", "-sS", "https://api.bank.example/"))
    with (
        opened(Style.NONE, case(ACCEPT)) as target,
        pytest.raises(CannotServeError, match="calls a fixed host"),
    ):
        fixed.run(target)


def test_reports_check_the_chain_against_its_anchors() -> None:
    run = prove(right_client(Style.NONE), [case(ACCEPT)], style="none")
    result = run.results[1]
    attempt = result.attempts[0]
    context = chain_context(run, result, attempt, attempt.connections[0])
    assert context.trusted == own().anchors
    assert context.host == HOST


def test_another_authority_with_the_name_of_the_anchor_is_refused() -> None:
    same_name = Authority("Company root")
    assert verdict(REFUSE, own(same_name.issue(HOST))).verdict is Verdict.REJECT


@pytest.mark.medium
def test_a_case_with_the_name_of_one_of_the_matrix_has_none_of_its_meaning() -> None:
    def careless(target: Target) -> str:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return request(target, context)

    names = ("expired", "untrusted-ca", "wrong-host-sibling")
    run = prove(careless, [case(REFUSE, UNTRUSTED, name) for name in names], style="none")
    (cause,) = find_causes(run.results)
    assert cause.cases == names
    assert "in your case file" in cause.title
    assert {each["masvs"] == [] for each in run_facts(run)["results"][1:-1]} == {True}


def test_data_that_was_sent_before_the_refusal_has_leaked() -> None:
    def late(target: Target) -> None:
        request(target, trusting(target))
        if target.host == HOST:
            raise ConnectionError("only now")

    run = prove(late, [case(REFUSE)], style="none")
    assert (run.results[1].verdict, run.results[1].outcome) == (Verdict.LEAK, Outcome.WRONG)
