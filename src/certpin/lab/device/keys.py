"""Keys of the servers, made of the root's: pins in an app hold from one run to the next."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from certpin.lab.pki import TestPKI

if TYPE_CHECKING:
    from certpin.lab.authority import Authority, Identity

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # FIPS 186-4 D.1.2.3
_OCTETS = 40  # 64 bits more than the order has (FIPS 186-5 appendix A.2.1)


def server_key(root: Authority, label: str) -> ec.EllipticCurvePrivateKey:
    """A P-256 key that only whoever has the root's key can make, the same each time."""
    secret = root.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    made = HKDF(SHA256(), _OCTETS, salt=None, info=f"certpin-lab:{label}".encode()).derive(secret)
    return ec.derive_private_key(int.from_bytes(made) % (_ORDER - 1) + 1, ec.SECP256R1())


class DevicePKI(TestPKI):
    """A pki whose honest servers keep their keys for as long as the root keeps its own."""

    @cached_property
    def leaf(self) -> Identity:
        """R→I→L."""
        return self.intermediate.issue(self.host, key=server_key(self.root, f"leaf:{self.host}"))

    @cached_property
    def second_leaf(self) -> Identity:
        """R→I2→L2: the same key as where the second host is the first of its own cases."""
        key = server_key(self.root, f"leaf:{self.second}")
        return self.second_intermediate.issue(self.second, key=key)
