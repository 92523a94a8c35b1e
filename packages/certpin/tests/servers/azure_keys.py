"""An HTTPS server for the requests of Azure Key Vault that signing needs, and for access tokens.

No package has such a server. The real service was never tried. Sources, below
https://learn.microsoft.com: rest/api/keyvault/keys/get-key and .../sign/sign (GET
/keys/{name}/{version}, POST /keys/{name}/{version}/sign, JsonWebKey);
azure/key-vault/general/authentication-requests-and-responses (the challenge);
azure/app-service/overview-managed-identity (REST endpoint reference).
"""

from __future__ import annotations

import json
import secrets
import ssl
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from tests.clients._names import resolve_here
from tests.servers._run import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from certpin.lab import Authority

HOST = "pins.vault.test"
SECRET = "header-of-this-test"
TOKEN = "access-token-of-this-test"
_CURVES: dict[str, Any] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}
_HASHES = {"ES256": hashes.SHA256(), "ES384": hashes.SHA384()}


class AzureKeys:
    """The keys and settings of a running Key Vault server.

    Attributes:
        requests: method and path of each request so far.
        refusal: an error code that each signing request gets; "" to sign.
        resource: the resource in the authentication challenge; "" for the right one.
        broken: whether the server signs a wrong digest.
    """

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.requests: list[str] = []
        self.port = 0
        self.refusal = ""
        self.resource = ""  # of the challenge; the server's own by default
        self.broken = False

    def make(self, name: str, kind: str = "P-256") -> str:
        """Create a key, or a new version of an existing one, and return the URI of that version."""
        version = secrets.token_hex(16)
        self.keys[f"/keys/{name}/{version}"] = (
            rsa.generate_private_key(65537, 2048)
            if kind == "RSA"
            else ec.generate_private_key(_CURVES[kind]())
        )
        return f"azurekms://{HOST}:{self.port}/keys/{name}/{version}"

    def read(self, path: str) -> dict[str, Any]:
        """Return the public key at a path, as a JsonWebKey (RFC 7517) with attributes."""
        key = self.keys[path].public_key()
        numbers = key.public_numbers()
        found: dict[str, Any] = {"kid": f"https://{HOST}:{self.port}{path}", "key_ops": ["sign"]}
        if isinstance(key, rsa.RSAPublicKey):
            found |= {"kty": "RSA", "n": _encoded(numbers.n, 256), "e": _encoded(numbers.e, 3)}
        else:
            size = (key.key_size + 7) // 8
            curve = next(name for name, kind in _CURVES.items() if isinstance(key.curve, kind))
            x, y = _encoded(numbers.x, size), _encoded(numbers.y, size)
            found |= {"kty": "EC", "crv": curve, "x": x, "y": y}
        return {"key": found, "attributes": {"enabled": True}}

    def sign(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        """Sign the request's digest with the key at a path, and return the response.

        The signature is the two integers of ECDSA, in the curve's size (RFC 7518, 3.4).
        """
        key = self.keys[path]
        digest = urlsafe_b64decode(request["value"] + "==")
        if self.broken:
            digest = bytes(len(digest))
        signature = key.sign(digest, ec.ECDSA(Prehashed(_HASHES[request["alg"]])))
        size = (key.key_size + 7) // 8
        raw = b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(signature))
        return {"kid": f"https://{HOST}:{self.port}{path}", "value": _text(raw)}

    def respond(self, method: str, path: str, request: dict[str, Any]) -> tuple[int, Any]:
        if path.endswith("/sign"):
            path = path.removesuffix("/sign")
            if self.refusal:
                return 403, {"error": {"code": self.refusal, "message": f"denied: {TOKEN}"}}
        if path not in self.keys:
            return 404, {"error": {"code": "KeyNotFound", "message": "not found"}}
        return 200, self.sign(path, request) if method == "POST" else self.read(path)


def _encoded(number: int, size: int) -> str:
    return _text(number.to_bytes(size, "big"))


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


class _Handler(BaseHTTPRequestHandler):
    state: AzureKeys

    def do_GET(self) -> None:
        self._reply()

    def do_POST(self) -> None:
        self._reply()

    def _reply(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        request = json.loads(self.rfile.read(size) or b"{}")
        path = self.path.partition("?")[0]
        self.state.requests.append(f"{self.command} {path}")
        if path == "/identity":  # as in an App Service
            allowed = self.headers.get("X-IDENTITY-HEADER") == SECRET
            until = int(time.time()) + 3600
            token = {"access_token": TOKEN, "expires_on": str(until), "token_type": "Bearer"}
            return self._send(200 if allowed else 403, token if allowed else {})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            resource = self.state.resource or f"https://vault.test:{self.state.port}"
            challenge = f'Bearer authorization="https://login.test/tenant", resource="{resource}"'
            return self._send(401, {}, ("WWW-Authenticate", challenge))
        return self._send(*self.state.respond(self.command, path, request))

    def _send(self, status: int, data: Any, *headers: tuple[str, str]) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        for name, value in (*headers, ("Content-Type", "application/json")):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no log."""


@contextmanager
def azure_keys(
    monkeypatch: pytest.MonkeyPatch, root: Authority, folder: Path
) -> Iterator[AzureKeys]:
    """Run a Key Vault server while the block runs, and let clients in this process connect to it.

    Args:
        monkeypatch: sets the environment and the name resolution.
        root: issues the server's certificate; the clients trust it.
        folder: where the certificate and key are written.
    """
    state = AzureKeys()
    resolve_here(monkeypatch)
    trusted = folder / "root.pem"
    trusted.write_bytes(root.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*root.issue(HOST).write(folder, "vault"))
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    state.port = server.server_port
    with in_thread(server):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"https://{HOST}:{state.port}/identity")
        monkeypatch.setenv("IDENTITY_HEADER", SECRET)
        yield state
