"""The chain that a case of the lab serves, and the error that ``openssl verify`` reports for it."""

from __future__ import annotations

import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab.pki import Authorities, Style, TestPKI
from certpin.pins.hosts import is_address
from tests.lab._clients import BY_NAME, listing

if TYPE_CHECKING:
    from certpin.lab.scenario import ServerStep

HOST = "api.bank.example"


class Forged:
    """The chain that the only server of a case presents, with the test PKI that issued it."""

    def __init__(self, name: str, host: str = HOST, style: Style = Style.LEAF) -> None:
        case = BY_NAME[name]
        authorities = listing(Authorities(datetime.now(UTC)))
        self.pki = TestPKI(authorities, case.host(host), "cdn.bank.example", style)
        (self.step,) = case.scenario(self.pki).first
        self.chain = certificates(self.step)

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def dns_names(self) -> list[str]:
        san = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return san.value.get_values_for_type(x509.DNSName)

    @property
    def common_name(self) -> str:
        (name,) = self.leaf.subject
        return str(name.value)

    @property
    def has_the_pinned_key(self) -> bool:
        return self.leaf.public_key() == self.pki.leaf.chain[0].public_key()

    def openssl(self, *options: str, name: str = "") -> str:
        """Return the error that ``openssl verify -x509_strict`` reports for this name.

        An empty string means that OpenSSL accepts the chain. The default name is the case's host.
        """
        return verify(self.chain, self.pki, *options, name=name or self.pki.host)


def certificates(step: ServerStep) -> list[x509.Certificate]:
    return [x509.load_der_x509_certificate(der) for der in step.chain]


def verify(
    chain: list[x509.Certificate], pki: TestPKI, *options: str, name: str, trusted: bytes = b""
) -> str:
    """Return the error that ``openssl verify`` reports; empty if it accepts the chain.

    ``trusted`` are the trusted roots as PEM; by default R.
    """
    option = "-verify_ip" if is_address(name) else "-verify_hostname"
    with tempfile.TemporaryDirectory() as folder:
        root, leaf, rest = (Path(folder, name) for name in ("root", "leaf", "rest"))
        root.write_bytes(trusted or pki.root.pem)
        leaf.write_bytes(chain[0].public_bytes(Encoding.PEM))
        rest.write_bytes(
            b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain[1:])
        )
        trust = ["-no-CApath", "-no-CAstore", "-CAfile", str(root)]
        sent = ["-untrusted", str(rest)] if chain[1:] else []
        wanted = [option, name, "-purpose", "sslserver", *options]
        command = ["openssl", "verify", "-x509_strict", *trust, *sent, *wanted, str(leaf)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    return (done.stdout + done.stderr).partition("lookup: ")[2].partition("\n")[0]
