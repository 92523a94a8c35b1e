"""ECH that the server rejects: the configuration, the certificates, and the verdicts."""

from __future__ import annotations

import base64
import sys

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from certpin.lab.attacks.ech import ECH, ECH_CONTROL
from certpin.lab.client import Command, environment, substitute
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.scenario import PUBLIC_NAME, AnswerContext, Role, Scenario, ServerStep
from certpin.lab.server.records import ClientHello
from certpin.lab.server.session import CaseRun, Session
from certpin.lab.trial import Mitm
from certpin.lab.verdict import Attempt, Connection, Ending, Outcome, Verdict, judge
from tests.lab._clients import BY_NAME, URLLIB
from tests.lab.server._wire import HOST, HOSTS, TOKEN, Wire, anyone, case_run, pki

THEN_ROGUE, BY_ROGUE = ECH


def test_the_configuration_is_what_rfc_9849_section_4_describes() -> None:
    configs = pki().authorities.ech_configs
    assert int.from_bytes(configs[:2]) == len(configs) - 2
    version, size, config = configs[2:4], int.from_bytes(configs[4:6]), configs[6:]
    assert (version, size) == (b"\xfe\x0d", len(config))
    assert config[1:5] == b"\0\x20\0\x20"  # DHKEM(X25519), and the size of its key
    X25519PublicKey.from_public_bytes(config[5:37])
    assert config[37:43] == b"\0\4\0\1\0\1"
    name = config[45:-2]
    assert (config[43], config[44], name, config[-2:]) == (
        253,
        len(name),
        PUBLIC_NAME.encode(),
        b"\0\0",
    )
    assert configs == pki().authorities.ech_configs


def _issuer(step: ServerStep) -> x509.Name:
    leaf = x509.load_der_x509_certificate(step.chain[0])
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [PUBLIC_NAME]
    return leaf.issuer


def test_the_rejection_has_a_certificate_for_the_public_name() -> None:
    for case in (ECH_CONTROL, THEN_ROGUE):
        [step] = case.scenario(pki()).ech
        assert (step.role, _issuer(step)) == (Role.HONEST, pki().intermediate.subject)
    [step] = BY_ROGUE.scenario(pki()).ech
    assert (step.role, _issuer(step)) == (Role.ATTACKER, pki().untrusted.subject)


def test_the_connection_without_ech_is_honest_or_not() -> None:
    assert ECH_CONTROL.scenario(pki()).first == (pki().honest,)
    assert THEN_ROGUE.scenario(pki()).first == (pki().man_in_the_middle,)
    [relayed] = BY_ROGUE.scenario(pki()).first
    assert (relayed.role, relayed.chain) == (Role.ATTACKER, pki().honest.chain)


def test_only_a_client_hello_with_the_public_name_meets_the_rejection() -> None:
    rejection = pki().honest_second
    scenario = Scenario((pki().honest,), ech=(rejection,))
    run = CaseRun(scenario, AnswerContext(TOKEN), HOSTS)
    for name, step in ((PUBLIC_NAME, rejection), (HOST, pki().honest), (PUBLIC_NAME, rejection)):
        session = Session(run, via="connect", target=HOST)
        Wire(session, anyone(), host=name).handshake()
        assert session.seen.step == step
    assert case_run().next_step(PUBLIC_NAME, HOST) == pki().honest


def test_only_these_cases_give_the_client_a_configuration() -> None:
    with Lab() as lab:
        expected = base64.b64encode(lab.authorities.ech_configs).decode()
        for case, value in ((THEN_ROGUE, expected), (BY_NAME["expired"], "")):
            target = Mitm.of(lab.case_server(case))
            assert target.ech == environment(target, "connect")["CERTPIN_LAB_ECH"] == value
            assert substitute(["--ech=ecl:{ech}"], target) == [f"--ech=ecl:{value}"]
            target.seen()


def test_a_client_without_ech_is_not_judged() -> None:
    client = Command((sys.executable, "-c", URLLIB, "{url}"))
    with Lab(style=Style.NONE) as lab:
        run = prove(lab, client, ECH)
    assert run.controlled
    assert {case.control for case in ECH} == {ECH_CONTROL}
    for result in run.results[1:-1]:
        assert result.outcome is Outcome.NOT_RUN
        assert "did not offer ECH" in result.why


HELLO = ClientHello(PUBLIC_NAME)


def _verdict(scenario: Scenario, *seen: Connection, status: int = 0) -> Verdict | None:
    return judge(Attempt(Ending(status), scenario, seen, "canary", TOKEN)).verdict


def test_a_connection_without_ech_after_an_unauthenticated_rejection_is_a_finding() -> None:
    scenario = BY_ROGUE.scenario(pki())
    rejected = Connection("connect", HOST, scenario.ech[0], HELLO, alert="unknown_ca")
    assert _verdict(scenario, rejected, status=1) is Verdict.REJECT
    repeated = Connection("connect", HOST, scenario.first[0], ClientHello(HOST), data=b"canary")
    assert _verdict(scenario, rejected, repeated) is Verdict.ACCEPT
    assert _verdict(scenario, repeated) is None  # it offered no ECH
    assert _verdict(scenario, repeated, rejected, status=1) is None  # or not at first
    assert _verdict(scenario) is Verdict.INCONCLUSIVE


def test_a_client_that_ends_after_the_rejection_has_not_met_the_attack() -> None:
    scenario = THEN_ROGUE.scenario(pki())
    rejected = Connection("connect", HOST, scenario.ech[0], HELLO, secured=True)
    assert _verdict(scenario, rejected, status=1) is None
    rogue = Connection("connect", HOST, scenario.first[0], ClientHello(HOST), alert="unknown_ca")
    assert _verdict(scenario, rejected, rogue, status=1) is Verdict.REJECT


def test_each_case_is_an_attack_and_the_control_is_none() -> None:
    assert all(case.scenario(pki()).attacks for case in ECH)
    assert not ECH_CONTROL.scenario(pki()).attacks
    # Also if the rejection is the only hostile one.
    assert Scenario((pki().honest,), ech=BY_ROGUE.scenario(pki()).ech).attacks
