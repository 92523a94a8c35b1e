"""AWS KMS: moto's server, with one call corrected.

moto's ``Sign`` ignores ``MessageType=DIGEST``: it signs the hash of the digest, so no signature
verifies. ``tests/kms/test_aws.py`` fails as soon as a release of moto does not need this any more.
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
    """The server. ``calls`` lists the operations and their parameters, in order.

    With ``corrected = False`` it is moto's own. With ``refusal``, a code, it refuses to sign.
    ``swapped`` is the ID of the key that it signs with, whatever key a request names.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self.url = ""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.corrected = True
        self.refusal = ""
        self.swapped = ""

    def make(self, spec: str = "ECC_NIST_P256", *, alias: str = "", **more: Any) -> str:
        """Make a key, and return its ID."""
        options = {"KeySpec": spec, "KeyUsage": "SIGN_VERIFY", **more}
        found: str = self._client().create_key(**options)["KeyMetadata"]["KeyId"]
        if alias:
            self._client().create_alias(AliasName=f"alias/{alias}", TargetKeyId=found)
        self.calls.clear()
        return found

    def move_alias(self, alias: str, key: str) -> None:
        """Let an alias lead to another key."""
        self._client().update_alias(AliasName=f"alias/{alias}", TargetKeyId=key)
        self.calls.clear()

    @property
    def operations(self) -> list[str]:
        """The names of the calls."""
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
    """Sign a digest (AWS KMS API reference, Sign: MessageType)."""
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
    """Run the server, and let the clients in this process use it."""
    made: list[AWSKMS] = []

    def wrapped(app: App) -> AWSKMS:
        made.append(AWSKMS(app))
        return made[0]

    with moto(wrapped, monkeypatch) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", url)
        made[0].url = url
        yield made[0]
