"""A real ACME authority (RFC 8555): pebble, which accepts every challenge; and a client for it."""

from __future__ import annotations

import contextlib
import json
import ssl
import time
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certpin.lab import Authority, Identity
from tests.servers._run import LOOPBACK, free_port, require, require_module, running, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DEADLINE = 30.0  # seconds for one certificate
_POLL = 0.02
_HOST = "localhost"
_ENVIRONMENT = {
    "PEBBLE_VA_ALWAYS_VALID": "1",  # no challenge is checked
    "PEBBLE_VA_NOSLEEP": "1",
    "PEBBLE_WFE_NONCEREJECT": "0",
}


@dataclass(frozen=True)
class Pebble:
    """A running ACME authority.

    Attributes:
        directory: the URL of its ACME directory.
        management: the URL of its management server.
        trust: the file with the root of both servers' TLS certificates.
    """

    directory: str
    management: str
    trust: Path

    def root_pem(self) -> bytes:
        """Return the root of the certificates that the authority issues, new at each start."""
        return self._get("roots/0")

    def intermediate_pem(self) -> bytes:
        """Return the intermediate that signs the certificates that the authority issues."""
        return self._get("intermediates/0")

    def _get(self, path: str) -> bytes:
        context = ssl.create_default_context(cafile=self.trust)
        with urllib.request.urlopen(f"{self.management}/{path}", context=context) as answer:
            data: bytes = answer.read()
            return data

    def account(self) -> Account:
        """Register a new ACME account at the authority, and return a client for it."""
        return Account(self)


class Account:
    """An ACME client with a new account, which orders certificates from a running ``Pebble``.

    It uses the ``acme`` package, which is certbot's.
    """

    def __init__(self, pebble: Pebble) -> None:
        require_module("acme")
        from acme import client, messages
        from josepy import jwa, jwk

        key = jwk.JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
        trust: Any = str(pebble.trust)  # passed on to requests, which takes a path as well
        network = client.ClientNetwork(key, alg=jwa.ES256, verify_ssl=trust)
        directory = client.ClientV2.get_directory(pebble.directory, network)
        self._client = client.ClientV2(directory, net=network)
        self._client.new_account(messages.NewRegistration.from_data(terms_of_service_agreed=True))

    def issue(self, name: str, key: Any) -> Identity:
        """Order a certificate for a name and a private key; return the key with the chain."""
        order = self._client.new_order(_request(name, key))
        for authorization in order.authorizations:
            self._answer(authorization)
        order = self._client.finalize_order(order, datetime.now() + timedelta(seconds=_DEADLINE))  # noqa: DTZ005  # as acme compares it
        return Identity(key, tuple(x509.load_pem_x509_certificates(order.fullchain_pem.encode())))

    def _answer(self, authorization: Any) -> None:
        """Complete the HTTP challenge of an authorization, and wait until pebble accepts it."""
        status = authorization.body.status.name
        if status == "pending":
            challenges = authorization.body.challenges
            challenge = next(each for each in challenges if each.chall.typ == "http-01")
            self._client.answer_challenge(challenge, challenge.response(self._client.net.key))
        until = time.monotonic() + _DEADLINE
        while status != "valid":
            if time.monotonic() > until:
                raise TimeoutError(f"pebble left the challenge {status}")
            time.sleep(_POLL)
            status = self._client.poll(authorization)[0].body.status.name


@contextlib.contextmanager
def pebble() -> Iterator[Pebble]:
    """Run pebble, an ACME authority with a new root, while the block runs."""
    program = require("pebble")
    port, management = free_port(), free_port()
    with scratch() as folder:
        door = Authority("Pebble's own front door")
        certificate, key = door.issue(_HOST).write(folder)
        trust = folder / "door.pem"
        trust.write_bytes(door.pem)
        configuration = folder / "pebble.json"
        settings = {
            "listenAddress": f"{LOOPBACK}:{port}",
            "managementListenAddress": f"{LOOPBACK}:{management}",
            "certificate": str(certificate),
            "privateKey": str(key),
            "httpPort": 1,  # never called
            "tlsPort": 1,
            "certificateValidityPeriod": 47 * 86_400,
        }
        configuration.write_text(json.dumps({"pebble": settings}))
        argv: list[str | Path] = [program, "-config", configuration]
        with running(argv, [port, management], env=_ENVIRONMENT):
            yield Pebble(f"https://{_HOST}:{port}/dir", f"https://{_HOST}:{management}", trust)


def _request(name: str, key: Any) -> bytes:
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)
