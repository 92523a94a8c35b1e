"""The case of a genuine certificate of another domain, for a device with a fixed trust store.

Such a device trusts none of the lab's roots, so it refuses every forged chain because of the root.
If the user supplies a certificate of a public authority for another domain, the case shows if the
device's app checks the name.
"""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from certpin.errors import ConfigError
from certpin.lab.case import ALL_REJECT, Case, Family
from certpin.lab.scenario import Scenario, ServerStep
from certpin.pins.hosts import is_address
from certpin.support.text import printable
from certpin.x509.certificate import Certificate, pem_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

CASE_NAME = "genuine-for-other-domain"


def foreign_case(chain_pem: bytes, key_pem: bytes, hosts: Sequence[str]) -> Case:
    """Return the case of an attacker with a genuine certificate for another domain.

    Not checked: that a public authority issued the certificate, and that it is valid now. If it
    isn't valid, a client can refuse it for this reason, without a check of the name.

    Args:
        chain_pem: the certificates as PEM, that of the server first.
        key_pem: the private key of the first one as unencrypted PEM.
        hosts: the hosts under test, normalised. The certificate must be for none of them.

    Raises:
        ConfigError: a file is not PEM, the key belongs to another certificate, or the certificate
            is for a host under test. The error's ``key`` names the command line option.
        CertificateParseError: a name or the key of the certificate can't be read.
    """
    chain = _chain(chain_pem)
    leaf = Certificate.from_der(chain[0])
    _check_key(leaf.parsed, key_pem)
    names = _names(leaf)
    for host in hosts:
        if any(_covers(name, host) for name in names):
            raise ConfigError(
                f"the certificate is for {host} too, so that a client may accept it",
                key="--certificate",
                fix="use the certificate of another domain",
            )
    shown = printable(", ".join(sorted(names))) or "no name"
    step = ServerStep(chain, key_pem)
    return Case(
        name=CASE_NAME,
        family=Family.NAME,
        presents=f"a genuine certificate for {shown}, from --certificate",
        expected=ALL_REJECT,
        guards="that the name is compared, with a certificate that no trust store refuses: every "
        "attacker can get one for another domain",
        reference="RFC 9525 section 6; CWE-297",
        fix="turn the check of the host name on, for the host that the client connects to "
        "(check_hostname, verifyHost, HostnameVerifier)",
        scenario=lambda _: Scenario.of(step),
    )


def _chain(pem: bytes) -> tuple[bytes, ...]:
    try:
        chain = tuple(
            ssl.PEM_cert_to_DER_cert((block or b"").decode()) for _, block in pem_blocks(pem)
        )
        x509.load_der_x509_certificate(chain[0])
    except (ValueError, IndexError, UnsupportedAlgorithm) as exc:
        raise ConfigError(
            "there is no chain of certificates in PEM in it",
            key="--certificate",
            fix="give it the chain of the server, such as fullchain.pem",
        ) from exc
    return chain


def _check_key(leaf: x509.Certificate, pem: bytes) -> None:
    try:
        public = load_pem_private_key(pem, None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise ConfigError(
            "it is not an unencrypted private key in PEM",
            key="--key",
            fix="remove its passphrase, or convert it: openssl pkey",
        ) from exc
    if public != leaf.public_key():
        raise ConfigError(
            "it is not the key of the first certificate of --certificate",
            key="--key",
            fix="put the certificate of the server first, and give its key",
        )


def _names(leaf: Certificate) -> set[str]:
    """Return the DNS names and addresses of a certificate; if it has neither, its common names.

    ``leaf`` is the certificate. The names are in lower case.
    """
    found = (*leaf.dns_names, *leaf.addresses)
    if not found:
        common = leaf.parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        found = tuple(str(attribute.value) for attribute in common)
    return {name.lower() for name in found}


def _covers(name: str, host: str) -> bool:
    """Return True if a certificate with this name, which can have a wildcard, is for the host.

    Such a certificate is refused, because it is not for another domain. This is less strict than
    ``name_matches`` in ``certpin.pins``: some clients accept a common name.
    """
    if is_address(host):
        return is_address(name) and ip_address(name) == ip_address(host)
    return name == host or (name[:2] == "*." and name[2:] == host.partition(".")[2])
