"""A genuine certificate of another domain is served, and must be refused for its name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding
from cryptography.hazmat.primitives.serialization import PrivateFormat as Form

from certpin.errors import ConfigError
from certpin.lab.authority import Authority
from certpin.lab.case import CONTROL
from certpin.lab.lab import Lab
from certpin.lab.own.foreign import CASE_NAME, foreign_case
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import right_client, trusting
from tests.lab.attacks._broken import anything, checking

if TYPE_CHECKING:
    import ssl

    from certpin.lab.target import Target

HOST = "api.bank.example"
PUBLIC = Authority("A public authority", now=datetime.now(UTC))
OTHER = PUBLIC.intermediate("Its intermediate").issue("www.shop.example", "*.shop.example")


def _trusting_it(target: Target) -> ssl.SSLContext:
    context = trusting(target)
    context.load_verify_locations(cadata=PUBLIC.pem.decode())
    context.check_hostname = False
    return context


@pytest.mark.medium
@pytest.mark.parametrize("style", [Style.NONE, Style.LEAF])
def test_only_a_client_that_checks_the_name_refuses(style: Style) -> None:
    case = foreign_case(OTHER.chain_pem, OTHER.key_pem, [HOST])
    assert "*.shop.example, www.shop.example" in case.presents
    with Lab(HOST, style) as lab:
        right = prove(lab, right_client(style), [case]).results[1]
        nameless = prove(lab, checking(anything, _trusting_it), [case]).results[1]
    assert (right.verdict, right.outcome) == (Verdict.REJECT, Outcome.RIGHT)
    assert (nameless.verdict, nameless.outcome) == (Verdict.ACCEPT, Outcome.WRONG)
    (step,) = (seen.step for seen in nameless.attempts[0].connections)
    assert step is not None
    sent = tuple(certificate.public_bytes(Encoding.DER) for certificate in OTHER.chain)
    assert step.chain == sent


def test_its_name_is_that_of_no_case_of_the_matrix() -> None:
    from certpin.lab.attacks import CASES, OPTIONAL_CASES

    assert CASE_NAME not in {case.name for case in (CONTROL, *CASES, *OPTIONAL_CASES)}


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (("shop.example", HOST), HOST),
        (("*.bank.example",), HOST),
        (("192.0.2.1",), "192.0.2.1"),
        (("2001:db8::1",), "2001:db8::1"),
    ],
)
def test_a_certificate_for_the_host_itself_is_refused(names: tuple[str, ...], host: str) -> None:
    identity = PUBLIC.issue(*names)
    with pytest.raises(ConfigError, match=f"is for {host} too") as caught:
        foreign_case(identity.chain_pem, identity.key_pem, ["cdn.bank.test", host])
    assert caught.value.key == "--certificate"


@pytest.mark.parametrize("name", ["bank.example", "*.example", "*.api.bank.example", "192.0.2.1"])
def test_a_certificate_for_a_similar_name_is_another_domain(name: str) -> None:
    identity = PUBLIC.issue(name)
    assert foreign_case(identity.chain_pem, identity.key_pem, [HOST]).name == CASE_NAME


@pytest.mark.parametrize("junk", [b"", b"junk", OTHER.key_pem, b"-----BEGIN CERTIFICATE-----\n"])
def test_a_file_without_certificates_is_refused(junk: bytes) -> None:
    with pytest.raises(ConfigError, match="no chain") as caught:
        foreign_case(junk, OTHER.key_pem, [HOST])
    assert caught.value.key == "--certificate"


def test_another_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="not the key") as caught:
        foreign_case(OTHER.chain_pem, PUBLIC.key_pem, [HOST])
    assert caught.value.key == "--key"


def test_an_encrypted_key_is_refused() -> None:
    secret = OTHER.key.private_bytes(Encoding.PEM, Form.PKCS8, BestAvailableEncryption(b"secret"))
    with pytest.raises(ConfigError, match="unencrypted"):
        foreign_case(OTHER.chain_pem, secret, [HOST])
