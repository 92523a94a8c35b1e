"""Each chain that clients must refuse has a flaw in the report, and each honest chain has none.

The cases and the report's detection are independent: a case forges certificates, and the report
parses them.
"""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab.attacks import CASES, CONTROL
from certpin.lab.case import CannotServeError, Case, Expect, Family, pins_of_case
from certpin.lab.pki import Style, TestPKI
from certpin.lab.report.flaws import chain_context, flaws, served
from certpin.lab.scenario import PROXY_ADDRESS, PUBLIC_NAME
from certpin.lab.server.records import ClientHello
from certpin.lab.verdict import is_judged
from certpin.x509.chain import chain_paths
from tests.lab.report import _runs

SECOND = "cdn.bank.example"
# In these families the chain itself must be refused; in others the chain may be honest.
IN_THE_CHAIN = {
    *(Family.AUTHORITY, Family.CHAIN, Family.NAME, Family.DATE),
    *(Family.CONSTRAINT, Family.COMPROMISED),
}


def _flaws(case: Case, style: Style) -> list[tuple[bool, list[str]]]:
    """Return the flaws that the report finds in each chain that a case serves.

    Attackers that send the real chain are left out, because they forge something else.

    Returns:
        for each chain, whether clients are judged by it, and the flaws of its path
    """
    host = case.host(_runs.HOST)
    pki = TestPKI(_runs.authorities(), host, SECOND, style)
    scenario = case.scenario(pki)
    real_chain = tuple(certificate.public_bytes(Encoding.DER) for certificate in pki.real_chain)
    hosts = (host, SECOND, pki.unpinned)
    connections = [
        _runs.seen(step, hello=ClientHello(name))
        for name, steps in zip(
            hosts, (scenario.first, scenario.second, scenario.unpinned), strict=True
        )
        for step in steps
    ]
    rejected = ClientHello(PUBLIC_NAME)
    connections += [_runs.seen(step, hello=rejected) for step in scenario.ech]
    if scenario.tls_proxy:
        connections.append(_runs.seen(scenario.tls_proxy, target=PROXY_ADDRESS))
    pins = None if style is Style.NONE else pins_of_case(case, pki)
    made = _runs.attempt(scenario, *connections, hosts=hosts, pins=pins)
    result = _runs.result(case, made, style=style)
    run = _runs.run((result,), style)
    found = []
    for seen in connections:
        theirs = seen.hostile and seen.step is not None and seen.step.chain == real_chain
        if (chain := served(seen)) and not theirs:
            against = chain_context(run, result, made, seen)
            path = chain_paths(chain, against.trusted)[0]
            all_of_them = [flaws(against, path, index) for index in range(len(path.certificates))]
            marked = [flaw for flaws in all_of_them for flaw in flaws]
            found.append((is_judged(scenario, seen), marked))
    return found


_SLOW = {"rogue-rsa-8192"}  # loading its private key checks both primes
_CASES = [
    pytest.param(case, marks=[pytest.mark.slow] if case.name in _SLOW else [])
    for case in (CONTROL, *CASES)
]


@pytest.mark.parametrize("style", Style)
@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_picture_marks_only_chains_that_must_be_refused(case: Case, style: Style) -> None:
    try:
        found = _flaws(case, style)
    except CannotServeError:
        return  # covered by the case's own tests
    expect = case.expected.of(style)
    for judged, marked in found:
        if not judged or expect is Expect.ACCEPT:
            assert not marked
        elif expect is Expect.REJECT and case.family in IN_THE_CHAIN:
            assert marked
