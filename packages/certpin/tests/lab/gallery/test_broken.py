"""Every broken example client fails the case made for its fault, and no case of other rules."""

from __future__ import annotations

import sys

import pytest

from certpin.lab.attacks.post_quantum import POST_QUANTUM
from certpin.lab.pki import Style
from certpin.lab.report.causes import find_causes
from tests.lab._clients import BY_NAME
from tests.lab.gallery._gallery import BROKEN, attacked, bad_cases, broken, fails, program
from tests.lab.gallery._table import HOLES

# Python's ssl reads the common name if a certificate has no SAN: a warning for each client.
PYTHON = {"cn-only"}
ANOTHER_NAME = {
    "cn-beside-other-san",
    "ip-without-ip-san",
    "nul-in-common-name",
    "nul-in-name",
    "sni-ignored",
    "wrong-host-idn",
    "wrong-host-parent",
    "wrong-host-pinned-ca",
    "wrong-host-public-suffix",
    "wrong-host-sibling",
    "wrong-host-wildcard",
    "wrong-host-wildcard-below",
    "wrong-host-wildcard-part",
}
# A man in the middle in each version and protocol, for each spelling of the host.
IN_THE_MIDDLE = {
    "rogue-http-1.1",
    "rogue-http-2",
    "rogue-ipv4",
    "rogue-ipv6",
    "rogue-tls-1.2",
    "rogue-tls-1.3",
    "rogue-trailing-dot",
    "rogue-unicode-host",
    "rogue-upper-case",
    "rogue-without-alpn",
    "slow-rogue",
}
A_CHAIN_TO_NOBODY = IN_THE_MIDDLE | {
    "bad-signature-intermediate",
    "bad-signature-leaf",
    "bad-then-good",
    "ca-false",
    "client-certificate-requested",
    "expired",
    "expired-intermediate",
    "explicit-curve-ca",
    "extended-key-usage",
    "extended-key-usage-empty",
    "fake-ca-genuine-shown",
    "fake-ca-same-name",
    "leaf-as-ca",
    "name-constraints",
    "name-constraints-widened",
    "no-basic-constraints",
    "not-yet-valid",
    "pathlen",
    "pool-reuse",
    "replaced-key",
    "retry-x5",
    "rogue-on-both-hosts",
    "self-signed",
    "unknown-critical-extension",
    "untrusted-ca",
    "weak-leaf-rsa-512",
}
# The cases that only pins refuse, with chains that are valid for clients without pins.
# rot-new-key-pinned-ca is an honest server, but a client with pins on the leaf must refuse it.
ANOTHER_KEY = IN_THE_MIDDLE | {
    "bad-then-good",
    "client-certificate-requested",
    "exhausting-name-constraints",
    "leak-before-check",
    "non-ca-switch-last",
    "pathlen-split",
    "pinned-intermediate-appended",
    "pinned-leaf-appended",
    "retry-x5",
    "rogue-authority-as-server",
    "rogue-ca-in-store",
    "rogue-chain-as-long",
    "rogue-chain-longer",
    "rogue-ed25519",
    "rogue-empty-subject",
    "rogue-many-names",
    "rogue-no-common-name",
    "rogue-odd-extensions",
    "rogue-on-both-hosts",
    "rogue-p384",
    "rogue-p521",
    "rogue-rsa-8192",
    "rogue-root-same-name",
    "rogue-rsa-pss",
    "rogue-version-1",
    "rogue-wildcard",
    "rogue-without-purposes",
    "rot-new-key-pinned-ca",
    "same-ca-new-key",
    "same-issuer-and-serial",
    "second-host-key",
    "similar-pin",
}

# The mistake of each broken client, as certpin reports it.
CAUSES = {
    "verification_off": "The client accepts any certificate",
    "no_hostname_check": "The client does not check the name in the certificate",
    "pin_over_served_chain": "The client compares pins with the certificates that the server sent",
    "pin_checked_once": "The client checks its pins only on its first connections",
    "check_after_request": "The client checks its pins too late: its request has already been sent",
    "any_authority": "The client does not check its pins",
    "authority_without_hostname": "The client does not check the name in the certificate",
}

# Each broken client: its style, the case that names its fault, and every case that it fails.
EXPECTED = {
    "verification_off": (Style.NONE, "untrusted-ca", A_CHAIN_TO_NOBODY | ANOTHER_NAME),
    "no_hostname_check": (Style.NONE, "wrong-host-pinned-ca", ANOTHER_NAME),
    "pin_over_served_chain": (Style.LEAF, "pinned-leaf-appended", {"pinned-leaf-appended"}),
    "pin_checked_once": (
        Style.LEAF,
        "swap-on-reconnect",
        {"swap-on-reconnect", "rogue-connection-2", "unanswered-then-rogue"},
    ),
    "check_after_request": (Style.LEAF, "leak-before-check", ANOTHER_KEY),
    "any_authority": (Style.LEAF, "rogue-ca-in-store", ANOTHER_KEY),
    "authority_without_hostname": (Style.CA, "wrong-host-pinned-ca", ANOTHER_NAME),
}


def test_every_broken_client_of_the_gallery_is_here() -> None:
    programs = {path.stem for path in BROKEN.glob("[!_]*.py")}
    assert programs == EXPECTED.keys() | HOLES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_client_fails_its_case_and_no_rule_that_it_follows(name: str) -> None:
    style, own, expected = EXPECTED[name]
    run = attacked(broken(name), style)
    assert [cause.title for cause in find_causes(run.results)] == [CAUSES[name]]
    found = bad_cases(run)
    # It depends on the versions of cryptography and OpenSSL (test_roots.py).
    post_quantum = {case.name for case in POST_QUANTUM}
    assert set(found) - post_quantum == expected | PYTHON
    late = name == "check_after_request"
    assert found[own] == ("LEAK" if late else "ACCEPT")
    assert all((verdict == "LEAK") == late for case, verdict in found.items() if case != "cn-only")


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_client_runs_as_a_program_as_documented(name: str) -> None:
    style, own, _ = EXPECTED[name]
    client = program(sys.executable, str(BROKEN / f"{name}.py"), "{host}", via="port")
    found = fails(client, style, only=[BY_NAME[own], BY_NAME["expired"]])
    assert own in found
    assert ("expired" in found) == (name == "verification_off")
    text = (BROKEN / f"{name}.py").read_text(encoding="utf-8")
    assert f"certpin prove --style {style} --via port -- python {name}.py" in text
