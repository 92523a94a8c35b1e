"""What both Wultra SDKs do, written from the description of the format, with nothing of certpin.

A list is taken whole or not at all, and entries that have ended are passed over. A certificate is
looked up by its common name, letter by letter.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Callable

Trust = Literal["TRUSTED", "UNTRUSTED", "EMPTY"]


class RefusedError(Exception):
    """The SDK took nothing of what it was sent."""


@dataclass
class SDK:
    """An app. ``public_key`` is what stands in its configuration."""

    public_key: str
    stored: list[dict[str, Any]] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        """A static list: each entry is signed."""
        entries = json.loads(body)["fingerprints"]
        valid = [each for each in entries if each["expires"] > datetime.now(UTC).timestamp()]
        for each in valid:
            fingerprint = base64.b64encode(base64.b64decode(each["fingerprint"])).decode()
            text = f"{each['name']}&{fingerprint}&{int(each['expires'])}".encode()
            self.require(text, each.get("signature", ""))
        self.stored = valid

    def ask(self, fetch: Callable[[str], tuple[bytes, str]]) -> None:
        """The challenge mode. ``fetch`` sends a challenge, and returns body and signature."""
        challenge = base64.b64encode(os.urandom(16)).decode()
        body, signature = fetch(challenge)
        self.require(challenge.encode() + b"&" + body, signature)
        self.stored = json.loads(body)["fingerprints"]

    def require(self, text: bytes, signature: str) -> None:
        key = ec.EllipticCurvePublicKey.from_encoded_point(
            ec.SECP256R1(), base64.b64decode(self.public_key)
        )
        try:
            key.verify(base64.b64decode(signature), text, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as exc:
            raise RefusedError from exc

    def validate(self, der: bytes) -> Trust:
        """What an app does with the certificate of a server."""
        parsed = x509.load_der_x509_certificate(der)
        (name,) = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        named = [each for each in self.stored if each["name"] == name.value]
        fingerprints = {base64.b64decode(each["fingerprint"]) for each in named}
        if not named:
            return "EMPTY"
        return "TRUSTED" if hashlib.sha256(der).digest() in fingerprints else "UNTRUSTED"
