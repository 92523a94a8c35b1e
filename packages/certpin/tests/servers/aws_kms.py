"""An AWS KMS server for tests: that of the package moto, with one operation corrected.

moto's ``Sign`` ignores ``MessageType=DIGEST``: it signs the hash of the digest, so that no
signature verifies. ``tests/kms/test_aws.py`` fails as soon as a release of moto is correct.
"""

from __future__ import annotations

import base64
import io
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from tests.servers.moto import REGION, moto

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

    from tests.servers.moto import App

_TARGET = "TrentService."


class AWSKMS:
    """A running AWS KMS server, as a WSGI application around moto's.

    Attributes:
        calls: the operations called so far, in order, each with its parameters.
        corrected: whether ``Sign`` is corrected; with False, the server behaves as moto's.
        refusal: an error code that every ``Sign`` returns; "" to sign.
        swapped: the ID of a key to sign with, instead of the requested one; "" for none.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self.url = ""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.corrected = True
        self.refusal = ""
        self.swapped = ""

    def make(self, spec: str = "ECC_NIST_P256", *, alias: str = "", **more: Any) -> str:
        """Create a signing key in the server, and return its ID.

        Args:
            spec: the type of the key, as AWS names it.
            alias: an alias for the key, if any.
            more: other parameters of CreateKey.
        """
        options = {"KeySpec": spec, "KeyUsage": "SIGN_VERIFY", **more}
        found: str = self._client().create_key(**options)["KeyMetadata"]["KeyId"]
        if alias:
            self._client().create_alias(AliasName=f"alias/{alias}", TargetKeyId=found)
        self.calls.clear()
        return found

    def move_alias(self, alias: str, key: str) -> None:
        """Change an alias so that it names the key with the ID ``key``."""
        self._client().update_alias(AliasName=f"alias/{alias}", TargetKeyId=key)
        self.calls.clear()

    @property
    def operations(self) -> list[str]:
        """The names of the operations called so far, in order."""
        return [name for name, _ in self.calls]

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if target.startswith(_TARGET):
            request = json.loads(body)
            self.calls.append((target.removeprefix(_TARGET), request))
            if target == f"{_TARGET}Sign":
                if self.refusal:
                    # As AWS writes it, SignatureDoesNotMatch repeats the signed headers.
                    token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN")
                    text = f"The canonical string is: x-amz-security-token:{token}"
                    return _answer(start, 400, {"__type": self.refusal, "message": text})
                if self.corrected and request.get("MessageType") == "DIGEST":
                    return _answer(start, 200, _sign(request, self.swapped))
        return self._app(environ, start)

    def _client(self) -> Any:
        import boto3

        return boto3.client("kms", endpoint_url=self.url)


def _sign(request: dict[str, Any], swapped: str) -> dict[str, Any]:
    """Return the response to a ``Sign`` request with a digest as message (AWS KMS API reference).

    Args:
        request: the parameters of the request.
        swapped: the ID of a key to sign with, instead of the requested one; "" for none.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.kms.models import kms_backends

    backend = kms_backends[DEFAULT_ACCOUNT_ID][REGION]
    key = backend.keys[backend.any_id_to_key_id(swapped or request["KeyId"])]
    algorithm = request["SigningAlgorithm"]
    assert algorithm in key.signing_algorithms
    size = algorithm.rpartition("_")[2]
    prehashed = Prehashed({"256": hashes.SHA256(), "384": hashes.SHA384()}[size])
    digest = base64.b64decode(request["Message"])
    private = cast("Any", key.private_key).private_key
    signature = (
        private.sign(digest, ec.ECDSA(prehashed))
        if algorithm.startswith("ECDSA")
        else private.sign(digest, padding.PKCS1v15(), prehashed)
    )
    return {
        "KeyId": key.arn,
        "Signature": base64.b64encode(signature).decode(),
        "SigningAlgorithm": algorithm,
    }


def _answer(start: Any, status: int, data: dict[str, Any]) -> Iterable[bytes]:
    body = json.dumps(data).encode()
    headers = [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(body)))]
    start(f"{status} {'OK' if status == 200 else 'Bad Request'}", headers)
    return [body]


@contextmanager
def aws_kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[AWSKMS]:
    """Run an AWS KMS server while the block runs. Environment variables lead AWS clients to it."""
    made: list[AWSKMS] = []

    def wrapped(app: App) -> AWSKMS:
        made.append(AWSKMS(app))
        return made[0]

    with moto(wrapped, monkeypatch) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", url)
        made[0].url = url
        yield made[0]
