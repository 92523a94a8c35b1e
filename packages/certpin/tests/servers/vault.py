"""An HTTP server for the two requests of Vault's transit engine that signing needs.

No package has a Vault server. The real service was never tried. Sources:
https://developer.hashicorp.com/vault/api-docs/secret/transit ("Read key": GET /transit/keys/:name;
"Sign data": POST /transit/sign/:name) and https://developer.hashicorp.com/vault/api-docs (the
header X-Vault-Token, and errors).
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.servers._run import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

TOKEN = "hvs.token-of-this-test"


class Vault:
    """The keys and settings of a running Vault server.

    ``requests`` lists method and path of each request, in order. With ``broken`` the server signs
    other data than the request has.
    """

    def __init__(self) -> None:
        self.keys: dict[str, tuple[str, list[Any]]] = {}
        self.requests: list[str] = []
        self.broken = False

    def make(self, name: str, kind: str = "ecdsa-p256", versions: int = 1) -> None:
        """Create a key of a type, as Vault names it, with this number of versions."""
        new: Any = {
            "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
            "ed25519": ed25519.Ed25519PrivateKey.generate,
        }[kind]
        self.keys[name] = kind, [new() for _ in range(versions)]

    def read(self, name: str) -> dict[str, Any]:
        kind, versions = self.keys[name]
        texts = [_public_text(key.public_key()) for key in versions]
        keys = {str(number): {"public_key": text} for number, text in enumerate(texts, 1)}
        return {"type": kind, "keys": keys, "latest_version": len(versions), "name": name}

    def sign(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """Sign the request's data with a key, and return the response.

        It uses Vault's defaults: SHA-256, and ECDSA signatures in ASN.1.
        """
        kind, versions = self.keys[name]
        number = request.get("key_version") or len(versions)
        data = b64decode(request["input"]) + (b"!" if self.broken else b"")
        key = versions[number - 1]
        signature = (
            key.sign(data) if kind == "ed25519" else key.sign(data, ec.ECDSA(hashes.SHA256()))
        )
        return {"signature": f"vault:v{number}:{b64encode(signature).decode()}"}


def _public_text(key: Any) -> str:
    """Return a public key as Vault writes it: PEM, or the base64 of an Ed25519 key's bytes."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return b64encode(key.public_bytes_raw()).decode()
    pem: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


@contextmanager
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    """Run a Vault server while the block runs. Environment variables lead clients to it."""
    state = Vault()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _reply(self, request: dict[str, Any]) -> None:
            state.requests.append(f"{self.command} {self.path}")
            if self.headers.get("X-Vault-Token") != TOKEN:
                return self._send(403, {"errors": ["permission denied"]})
            _, version, mount, action, name = self.path.split("/")
            if (version, mount) != ("v1", "transit") or name not in state.keys:
                return self._send(404, {"errors": []})
            data = state.read(name) if action == "keys" else state.sign(name, request)
            return self._send(200, {"data": data})

        def _send(self, status: int, data: dict[str, Any]) -> None:
            body = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write no log."""

    with in_thread(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        monkeypatch.setenv("VAULT_ADDR", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("VAULT_TOKEN", TOKEN)
        yield state
