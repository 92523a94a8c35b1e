"""A gRPC server for the two calls of Google Cloud KMS that signing needs.

No package has such a server. The real service was never tried. The messages are those of Google's
own client. Source: https://cloud.google.com/kms/docs/reference/rpc/google.cloud.kms.v1
(KeyManagementService.GetPublicKey and .AsymmetricSign, CryptoKeyVersionAlgorithm, Digest).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.cloud import kms_v1
from google.cloud.kms_v1.services.key_management_service import transports

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

_SERVICE = "google.cloud.kms.v1.KeyManagementService"
_ALGORITHMS = kms_v1.CryptoKeyVersion.CryptoKeyVersionAlgorithm
KEY = "projects/bank/locations/europe-west1/keyRings/pins/cryptoKeys/{}/cryptoKeyVersions/1"


class GoogleKMS:
    """The keys and settings of a running Google Cloud KMS server.

    ``calls`` lists the names of the calls so far. With ``denied`` the server refuses to sign, and
    with ``broken`` it signs a wrong digest.
    """

    def __init__(self) -> None:
        self.keys: dict[str, tuple[str, Any]] = {}
        self.calls: list[str] = []
        self.denied = False
        self.broken = False

    def make(self, algorithm: str = "EC_SIGN_P256_SHA256") -> str:
        """Create a key for an algorithm, as Google names it, and return the key's resource name."""
        name = KEY.format(algorithm.lower())
        curve = ec.SECP384R1() if "P384" in algorithm else ec.SECP256R1()
        key = (
            rsa.generate_private_key(65537, 2048)
            if algorithm.startswith("RSA")
            else ec.generate_private_key(curve)
        )
        self.keys[name] = algorithm, key
        return name

    def get_public_key(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.calls.append("GetPublicKey")
        if request.name not in self.keys:
            context.abort(grpc.StatusCode.NOT_FOUND, f"CryptoKeyVersion {request.name} not found")
        algorithm, key = self.keys[request.name]
        public = key.public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return kms_v1.PublicKey(
            name=request.name,
            algorithm=_ALGORITHMS[algorithm],
            pem=pem.decode(),
            public_key=kms_v1.types.ChecksummedData(data=pem),
            public_key_format=kms_v1.PublicKey.PublicKeyFormat.PEM,
        )

    def sign(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Sign the request's digest with its key, and return the response."""
        self.calls.append("AsymmetricSign")
        if self.denied:
            context.abort(
                grpc.StatusCode.PERMISSION_DENIED, "cloudkms.cryptoKeyVersions.useToSign denied"
            )
        algorithm, key = self.keys[request.name]
        size = algorithm.rpartition("SHA")[2]
        digest = request.digest.sha384 if size == "384" else request.digest.sha256
        if self.broken:
            digest = bytes(len(digest))
        prehashed = Prehashed({"256": hashes.SHA256(), "384": hashes.SHA384()}[size])
        signature = (
            key.sign(digest, padding.PKCS1v15(), prehashed)
            if algorithm.startswith("RSA_SIGN_PKCS1")
            else key.sign(digest, ec.ECDSA(prehashed))
        )
        return kms_v1.AsymmetricSignResponse(signature=signature, name=request.name)


@contextmanager
def google_kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleKMS]:
    """Run a Google Cloud KMS server, without TLS, while the block runs.

    Google's client in this process connects to it.
    """
    state = GoogleKMS()
    handlers = {
        "GetPublicKey": grpc.unary_unary_rpc_method_handler(
            state.get_public_key,
            request_deserializer=kms_v1.GetPublicKeyRequest.deserialize,
            response_serializer=kms_v1.PublicKey.serialize,
        ),
        "AsymmetricSign": grpc.unary_unary_rpc_method_handler(
            state.sign,
            request_deserializer=kms_v1.AsymmetricSignRequest.deserialize,
            response_serializer=kms_v1.AsymmetricSignResponse.serialize,
        ),
    }
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    transport = transports.KeyManagementServiceGrpcTransport(channel=channel)
    # securesystemslib makes the client without arguments, and Google's has no variable for this.
    client = partial(kms_v1.KeyManagementServiceClient, transport=transport)
    monkeypatch.setattr("google.cloud.kms.KeyManagementServiceClient", client)
    try:
        yield state
    finally:
        channel.close()
        server.stop(None).wait()
