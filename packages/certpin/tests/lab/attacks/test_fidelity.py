"""The certificates that OpenSSL's command receives are exactly those that each case declares."""

from __future__ import annotations

import re
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from certpin.lab.attacks import CASES, CONTROL
from certpin.lab.attacks.post_quantum import POST_QUANTUM
from certpin.lab.lab import Lab
from certpin.pins.hosts import is_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab.case import Case
    from certpin.lab.target import Target

_SIGNATURES = (
    *("ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384", "ecdsa_secp521r1_sha512"),
    *("ed25519", "rsa_pss_rsae_sha256", "rsa_pss_pss_sha256", "ECDSA+SHA1", "RSA+SHA1"),
    *("RSA+SHA256", "DSA+SHA256"),
)
# OpenSSL's command reads at most 100 KiB of certificates. test_leaves.py has this case.
TOO_LARGE = "exhausting-names"
# Older versions of cryptography don't make the keys of POST_QUANTUM: test_roots.py has them. Many
# builds of OpenSSL have no 3DES, and none accepts an early ChangeCipherSpec.
NOT_SERVED = {
    *(TOO_LARGE, "suite-3des", "early-change-cipher-spec"),
    *(case.name for case in POST_QUANTUM),
}
# STARTTLS has its own tests.
SERVED = [case for case in (CONTROL, *CASES) if not case.protocol and case.name not in NOT_SERVED]

_PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(stall=0.1) as running:
        yield running


def _received(target: Target) -> tuple[bytes, ...]:
    """Return the DER of every certificate that ``openssl s_client`` receives from the target."""
    address = f"[{target.address}]" if ":" in target.address else target.address
    name = ["-noservername"] if is_address(target.host) else ["-servername", target.host]
    words = ["openssl", "s_client", "-connect", f"{address}:{target.port}", "-showcerts", *name]
    words += ["-min_protocol", "TLSv1", "-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]
    words += ["-sigalgs", ":".join(_SIGNATURES), "-groups", "X25519:P-256:P-384:P-521:P-192"]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30
    )
    return tuple(map(ssl.PEM_cert_to_DER_cert, _PEM.findall(done.stdout)))


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("case", SERVED, ids=lambda case: case.name)
def test_each_connection_gets_the_chain_of_its_step(lab: Lab, case: Case) -> None:
    case_server = lab.case_server(case)
    target = case_server.open()
    try:
        received = [_received(target) for _ in case_server.scenario.first]
    finally:
        seen = case_server.close()
    assert received == [step.chain for step in case_server.scenario.first]
    assert [connection.step for connection in seen] == list(case_server.scenario.first)


@pytest.mark.peer("openssl")
def test_most_cases_serve_a_chain(lab: Lab) -> None:
    """In all but the listed cases, each server for the first host has a chain.

    Otherwise the test above could compare empty chains only.
    """
    pki = {case.name: case.scenario(lab.pki(case.host(lab.host))) for case in SERVED}
    bare = {
        name for name, scenario in pki.items() if not all(step.chain for step in scenario.first)
    }
    interrupted = {f"{how}-then-clear-text" for how in ("closed", "reset", "stalled")}
    dropped = {"dropped-then-rogue", "dropped-then-second-host"}
    assert bare == {"anonymous", "plain-http-on-443", *dropped, *interrupted}
