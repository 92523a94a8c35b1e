"""Keys in AWS KMS: their types, their signatures, and errors without secrets."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certpin.errors import TokenError
from certpin.kms import open_service_key
from certpin.kms.failures import _silence
from certpin.x509.signing import new_request, verify_signature
from tests.servers.aws_kms import AWSKMS, aws_kms
from tests.servers.moto import SECRET, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[AWSKMS]:
    with aws_kms(monkeypatch) as server:
        yield server


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("ECC_NIST_P256", "EC P-256"),
        ("ECC_NIST_P384", "EC P-384"),
        ("RSA_2048", "RSA 2048"),
    ],
)
def test_a_key_signs_pin_sets_and_requests(aws: AWSKMS, spec: str, kind: str) -> None:
    key = open_service_key(f"awskms:{aws.make(spec)}")
    assert key.key.key == kind
    assert verify_signature(key.public_key, key.sign(b"data"), b"data")
    assert new_request(key, ["api.bank.example"])
    # The public key, and the signatures of a challenge, of the data and of the request.
    assert aws.operations == ["GetPublicKey", "Sign", "Sign", "Sign"]


@pytest.mark.parametrize(
    ("spec", "kind"), [("ECC_NIST_P521", "ECDSA_SHA_512"), ("ECC_SECG_P256K1", "secp256k1")]
)
def test_a_key_that_clients_do_not_verify_is_refused(aws: AWSKMS, spec: str, kind: str) -> None:
    """securesystemslib would take a key on secp256k1 for one on P-256: AWS names only the hash."""
    with pytest.raises(TokenError, match=kind) as caught:
        open_service_key(f"awskms:{aws.make(spec)}")
    assert "P-256 and P-384" in caught.value.problem
    assert "ECC_NIST_P256" in caught.value.fix
    assert "Sign" not in aws.operations


def test_a_key_that_does_not_sign_is_refused(aws: AWSKMS) -> None:
    key = aws.make("RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    with pytest.raises(TokenError, match="does not sign") as caught:
        open_service_key(f"awskms:{key}")
    assert "SIGN_VERIFY" in caught.value.fix


def test_a_signature_by_another_key_is_refused(aws: AWSKMS) -> None:
    key = open_service_key(f"awskms:{aws.make(alias='online')}")
    aws.swapped = aws.make()
    with pytest.raises(TokenError, match="signature that is not valid"):
        key.sign(b"data")
    with pytest.raises(TokenError, match="signature that is not valid"):
        open_service_key("awskms:alias/online")


def test_an_alias_that_was_moved_is_refused_when_it_signs(aws: AWSKMS) -> None:
    aws.make(alias="online")
    key = open_service_key("awskms:alias/online")
    aws.move_alias("online", aws.make())
    with pytest.raises(TokenError) as caught:
        key.sign(b"data")
    assert "alias" in caught.value.fix


def test_a_refusal_repeats_no_secret(
    aws: AWSKMS, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """An AWS error message contains credentials; they appear in no error, log or output of certpin.

    securesystemslib logs the text of AWS as an error, and Python would print it.
    """
    caplog.set_level(logging.DEBUG)
    key = f"awskms:{aws.make()}"
    caplog.clear()
    aws.refusal = "SignatureDoesNotMatch"
    with pytest.raises(TokenError, match="SignatureDoesNotMatch") as caught:
        open_service_key(key)
    said = f"{caught.value}{caught.value.fix}{caplog.text}{capfd.readouterr()}"
    assert TOKEN not in said
    assert SECRET not in said
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "kms:Sign" in caught.value.fix


def test_the_loggers_of_the_clients_are_as_before(aws: AWSKMS) -> None:
    loggers = [logging.getLogger(name) for name in ("botocore", "securesystemslib")]
    before = [(logger.propagate, list(logger.handlers)) for logger in loggers]
    with pytest.raises(TokenError):
        open_service_key("awskms:alias/missing")
    assert [(logger.propagate, logger.handlers) for logger in loggers] == before


def test_the_loggers_are_as_before_when_the_last_thread_has_left() -> None:
    logger, handler = logging.getLogger("securesystemslib"), logging.StreamHandler()
    logger.addHandler(handler)
    try:
        with ExitStack() as first, ExitStack() as last:
            last.enter_context(_silence)
            first.enter_context(_silence)
            assert handler not in logger.handlers
            last.close()
            assert handler not in logger.handlers
            assert not logger.propagate
        assert handler in logger.handlers
        assert logger.propagate
    finally:
        logger.removeHandler(handler)


def test_a_missing_key_and_a_missing_region_have_a_fix(
    aws: AWSKMS, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TokenError, match="NotFoundException") as caught:
        open_service_key("awskms:alias/missing")
    assert "AWS_DEFAULT_REGION" in caught.value.fix
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(TokenError, match="NoRegionError") as caught:
        open_service_key("awskms:alias/missing")
    assert "AWS_DEFAULT_REGION" in caught.value.fix


def test_moto_still_needs_the_correction(aws: AWSKMS) -> None:
    """If this fails, remove ``_sign`` from tests/servers/aws_kms.py: moto signs digests now."""
    key = aws.make()
    aws.corrected = False
    digest = hashes.Hash(hashes.SHA256())
    digest.update(b"data")
    client = aws._client()
    answer = client.sign(
        KeyId=key,
        Message=digest.finalize(),
        MessageType="DIGEST",
        SigningAlgorithm="ECDSA_SHA_256",
    )
    public = serialization.load_der_public_key(client.get_public_key(KeyId=key)["PublicKey"])
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert not verify_signature(public, answer["Signature"], b"data")
