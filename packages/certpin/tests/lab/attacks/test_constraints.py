"""Cases of constraints: each chain violates one rule, and is valid once that is corrected."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from certpin.lab.attacks.constraints import UNKNOWN
from certpin.lab.forge import forgeries
from certpin.lab.pki import Style
from certpin.lab.verdict import Outcome
from tests.lab._clients import run_case
from tests.lab.attacks._broken import blind, checking, flagged, names, served
from tests.lab.attacks._forged import Forged

if TYPE_CHECKING:
    import ssl

    from certpin.lab.target import Target

pytestmark = pytest.mark.slow  # whole runs; test_matrix.py is quick

IGNORE_CRITICAL = 0x10  # X509_V_FLAG_IGNORE_CRITICAL (openssl/x509_vfy.h)

PROBLEM = {
    "ca-false": "invalid CA certificate",
    "no-basic-constraints": "invalid CA certificate",
    "pathlen": "path length constraint exceeded",
    "name-constraints": "permitted subtree violation",
    "extended-key-usage": "unsuitable certificate purpose",
    "unknown-critical-extension": "unhandled critical extension",
}
INTERMEDIATE = ["ca-false", "no-basic-constraints", "pathlen", "name-constraints"]


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("name", PROBLEM)
def test_openssl_names_the_rule(name: str) -> None:
    forged = Forged(name)
    assert PROBLEM[name] in forged.openssl()
    assert forged.has_the_pinned_key
    assert forged.chain[-1].issuer == forged.pki.root.subject


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("name", INTERMEDIATE)
def test_only_the_intermediate_is_wrong_in_one_way(name: str) -> None:
    forged = Forged(name)
    root = forged.pki.root
    honest = root.intermediate("Honest").x509.extensions
    wrong = {"name-constraints": x509.NameConstraints}.get(name, x509.BasicConstraints)
    mended = tuple(
        (extension.value, extension.critical)
        for extension in honest
        if isinstance(extension.value, wrong)
    )
    forged.chain[-1] = forgeries._sign_again(forged.chain[-1], root, (wrong,), mended)
    assert forged.openssl() == ""


@pytest.mark.peer("openssl")
def test_leaf_is_valid_for_client_auth_and_without_the_critical_check() -> None:
    assert Forged("extended-key-usage").openssl("-purpose", "sslclient") == ""
    assert Forged("unknown-critical-extension").openssl("-ignore_critical") == ""


def test_certificates_have_the_forged_properties() -> None:
    assert _basic("ca-false") == x509.BasicConstraints(ca=False, path_length=None)
    assert _basic("pathlen") == x509.BasicConstraints(ca=True, path_length=0)
    with pytest.raises(x509.ExtensionNotFound):
        _basic("no-basic-constraints")
    usage = Forged("extended-key-usage").leaf.extensions.get_extension_for_class(
        x509.ExtendedKeyUsage
    )
    assert list(usage.value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    extensions = Forged("unknown-critical-extension").leaf.extensions
    assert extensions.get_extension_for_oid(UNKNOWN).critical


def _basic(name: str) -> x509.BasicConstraints:
    extensions = Forged(name).chain[-1].extensions
    return extensions.get_extension_for_class(x509.BasicConstraints).value


@pytest.mark.peer("openssl")
def test_names_are_constrained_for_an_address_as_well() -> None:
    forged = Forged("name-constraints", "127.0.0.1")
    assert "permitted subtree violation" in forged.openssl()


def _signatures_alone(target: Target, tls: ssl.SSLSocket) -> bool:
    """Return True if the dates, the host's name and each signature are valid.

    Constraints of authorities are not checked, as in much custom code.
    """
    chain = [*served(tls), x509.load_pem_x509_certificates(target.ca.read_bytes())[0]]
    now = datetime.now(UTC)
    if target.host not in names(chain[0]):
        return False
    if any(
        not certificate.not_valid_before_utc < now < certificate.not_valid_after_utc
        for certificate in chain
    ):
        return False
    try:
        for certificate, issuer in itertools.pairwise(chain):
            certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError):
        return False
    return True


@pytest.mark.parametrize("name", PROBLEM)
def test_client_that_only_checks_signatures_is_caught(name: str) -> None:
    client = checking(_signatures_alone, blind)
    assert run_case(name, client, Style.NONE).outcome is Outcome.WRONG


def test_client_that_only_checks_signatures_passes_other_cases() -> None:
    client = checking(_signatures_alone, blind)
    for name in ("untrusted-ca", "wrong-host-pinned-ca", "expired", "expired-intermediate"):
        assert run_case(name, client, Style.NONE).outcome is Outcome.RIGHT


def test_client_that_ignores_critical_extensions_fails_only_that_case() -> None:
    client = checking(lambda *_: True, flagged(IGNORE_CRITICAL))
    caught = [
        name for name in PROBLEM if run_case(name, client, Style.NONE).outcome is Outcome.WRONG
    ]
    assert caught == ["unknown-critical-extension"]
