"""What a client gets is, byte for byte, what the act declares: read back by OpenSSL's command."""

from __future__ import annotations

import re
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from certpin.lab.attacks import CASES, CONTROL
from certpin.lab.lab import Lab
from certpin.pins.hosts import is_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab.case import Case
    from certpin.lab.target import Target

# What begins with STARTTLS is read back by its own tests.
SERVED = [case for case in (CONTROL, *CASES) if not case.protocol]

_PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as running:
        yield running


def _received(target: Target) -> tuple[bytes, ...]:
    """Every certificate that OpenSSL is shown, by whatever version and suite the act wants."""
    address = f"[{target.address}]" if ":" in target.address else target.address
    name = ["-noservername"] if is_address(target.host) else ["-servername", target.host]
    words = ["openssl", "s_client", "-connect", f"{address}:{target.port}", "-showcerts", *name]
    words += ["-min_protocol", "TLSv1", "-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]
    words += ["-sigalgs", "ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256:ECDSA+SHA1:RSA+SHA1"]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30
    )
    return tuple(map(ssl.PEM_cert_to_DER_cert, _PEM.findall(done.stdout)))


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("case", SERVED, ids=lambda case: case.name)
def test_each_connection_gets_the_chain_of_its_act(lab: Lab, case: Case) -> None:
    stage = lab.stage(case)
    target = stage.open()
    try:
        received = [_received(target) for _ in stage.script.first]
    finally:
        seen = stage.close()
    assert received == [act.chain for act in stage.script.first]
    assert [each.act for each in seen] == list(stage.script.first)


@pytest.mark.peer("openssl")
def test_most_cases_serve_a_chain(lab: Lab) -> None:
    """Else the test above would compare nothing with nothing."""
    cast = {case.name: case.play(lab.cast(case.host(lab.host))) for case in SERVED}
    bare = {name for name, script in cast.items() if not all(act.chain for act in script.first)}
    assert bare == {"anonymous", "plain-http-on-443"}
