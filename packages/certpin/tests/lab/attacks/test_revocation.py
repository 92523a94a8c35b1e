"""Cases of revoked certificates: the served OCSP responses, and reports without a judgement."""

from __future__ import annotations

import ssl
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from certpin.lab.case import Expect
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.report.words import action, exit_code, verdict_line
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import BY_NAME, right_client, run_case
from tests.lab.attacks._broken import blind, checking
from tests.lab.attacks._forged import Forged

pytestmark = pytest.mark.slow  # whole runs; test_matrix.py is quick

REPORTED = ("revoked-staple", "must-staple")


@pytest.mark.parametrize("name", ["rot-stapled", "revoked-staple"])
def test_the_response_is_about_the_certificate_and_signed_by_its_issuer(name: str) -> None:
    forged = Forged(name)
    response = ocsp.load_der_ocsp_response(forged.step.staple)
    key = forged.pki.intermediate.x509.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert response.signature_hash_algorithm is not None
    key.verify(
        response.signature, response.tbs_response_bytes, ec.ECDSA(response.signature_hash_algorithm)
    )
    assert response.serial_number == forged.leaf.serial_number
    revoked = name == "revoked-staple"
    status = ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD
    assert response.certificate_status is status
    assert response.this_update_utc < forged.pki.now
    assert response.next_update_utc is not None
    assert response.next_update_utc > forged.pki.now
    assert forged.has_the_pinned_key


def test_the_certificate_requires_a_staple_and_none_is_sent() -> None:
    forged = Forged("must-staple")
    feature = forged.leaf.extensions.get_extension_for_class(x509.TLSFeature).value
    assert list(feature) == [x509.TLSFeatureType.status_request]
    assert forged.step.staple == b""
    assert forged.has_the_pinned_key


@pytest.mark.peer("curl")
@pytest.mark.parametrize(("name", "status"), [("rot-stapled", 0), ("revoked-staple", 91)])
def test_curl_reads_the_staple_if_it_asks_for_one(name: str, status: int) -> None:
    """curl exits with 0 for a good stapled response, and with 91 (invalid status) for "revoked"."""
    with Lab() as lab:
        server = lab.case_server(BY_NAME[name])
        target = server.open()
        words = ["curl", "-sS", "--cacert", str(target.ca), "--noproxy", "*"]
        words += ["--connect-to", f"::{target.endpoint}", "--cert-status", target.url]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        (seen,) = server.close()
    assert done.returncode == status, done.stderr
    assert (target.canary.encode() in seen.data) == (status == 0)


@pytest.mark.parametrize("style", Style)
@pytest.mark.parametrize("name", REPORTED)
def test_a_client_that_accepts_has_no_finding(name: str, style: Style) -> None:
    result = run_case(name, right_client(style), style)
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.TOLD)
    expected = f"this client doesn't check {BY_NAME[name].checks}"
    assert action(result) == f"accepted: {expected}"
    assert expected in verdict_line(result)


@pytest.mark.parametrize("name", REPORTED)
def test_a_client_that_refuses_has_no_finding_either(name: str) -> None:
    with Lab(style=Style.NONE) as lab:
        case = BY_NAME[name]
        number = iter((True, False, True))
        run = prove(lab, checking(lambda *_: next(number), blind), [case])
    result = run.results[1]
    assert run.controlled
    assert (result.verdict, result.outcome) == (Verdict.REJECT, Outcome.TOLD)
    assert action(result) == "refused"
    assert exit_code(run) == 0


def test_only_cases_about_a_policy_have_an_optional_check() -> None:
    for case in BY_NAME.values():
        if case.checks:
            assert Expect.POLICY in {case.expected.of(style) for style in Style}


def test_a_run_with_tls_12_only_says_why_nothing_is_stapled() -> None:
    with Lab(style=Style.NONE, tls="1.2") as lab:
        run = prove(lab, right_client(Style.NONE), [BY_NAME["revoked-staple"]])
    assert run.results[1].outcome is Outcome.NOT_RUN
    assert "TLS 1.3" in run.results[1].why
    assert ssl.HAS_TLSv1_3
