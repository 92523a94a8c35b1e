"""Cases of names: each chain is valid except for the name, and a broken client accepts it."""

from __future__ import annotations

import ssl
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import pytest

from certpin import PinSet
from certpin.lab.case import CannotServeError
from certpin.lab.pki import Style
from certpin.lab.verdict import Outcome, Verdict
from certpin.pins import Pin
from certpin.x509 import Certificate
from tests.lab._clients import BY_NAME, right_client, run_case
from tests.lab.attacks._broken import anything, checking, matching, pins_only
from tests.lab.attacks._forged import HOST, Forged

if TYPE_CHECKING:
    from certpin.lab.client import Call
    from certpin.lab.target import Target

pytestmark = pytest.mark.slow  # whole runs; test_matrix.py is quick

# The name that each chain is valid for.
GOOD_FOR = {
    "wrong-host-pinned-ca": "evil.example",
    "wrong-host-parent": "bank.example",
    "wrong-host-sibling": "www.bank.example",
    "wrong-host-wildcard": "other.bank.example",
    "wrong-host-wildcard-below": "v1.api.bank.example",
    "wrong-host-idn": "xylophone.api.bank.example",
    "sni-ignored": "cdn.bank.example",
}
WITH_THE_PINNED_KEY = GOOD_FOR.keys() - {"wrong-host-pinned-ca", "sni-ignored"}


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("name", GOOD_FOR)
def test_nothing_but_the_name_is_wrong(name: str) -> None:
    forged = Forged(name)
    assert "hostname mismatch" in forged.openssl()
    assert forged.openssl(name=GOOD_FOR[name]) == ""
    assert forged.has_the_pinned_key is (name in WITH_THE_PINNED_KEY)
    assert forged.chain[-1].issuer == forged.pki.root.subject


@pytest.mark.parametrize(
    ("name", "host", "dns_name"),
    [
        ("wrong-host-parent", "bank.example", "example"),
        ("wrong-host-sibling", "www.bank.example", "mail.bank.example"),
        ("wrong-host-wildcard", HOST, "*.bank.example"),
        ("wrong-host-wildcard-below", "localhost", "*.localhost"),
        ("wrong-host-wildcard-part", HOST, "a*.bank.example"),
        ("wrong-host-idn", "bank.example", "x*.bank.example"),
    ],
)
def test_the_name_is_made_from_the_host(name: str, host: str, dns_name: str) -> None:
    assert Forged(name, host).dns_names == [dns_name]


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("wrong-host-parent", "localhost"),
        ("wrong-host-sibling", "localhost"),
        ("wrong-host-wildcard", "localhost"),
        ("wrong-host-wildcard-part", "localhost"),
        ("wrong-host-wildcard-below", "127.0.0.1"),
        ("wrong-host-parent", "127.0.0.1"),
        ("wrong-host-idn", "localhost"),
        ("wrong-host-idn", ".".join(["a" * 60] * 4)),
    ],
)
def test_host_without_such_a_name_is_reported(name: str, host: str) -> None:
    with pytest.raises(CannotServeError, match=r"labels|address|too long"):
        Forged(name, host)
    result = run_case(name, right_client(Style.NONE), Style.NONE, host)
    assert result.outcome is Outcome.NOT_RUN
    assert host in result.why


@pytest.mark.parametrize("name", [*GOOD_FOR, "wrong-host-wildcard-part"])
def test_a_client_that_checks_no_name_is_caught(name: str) -> None:
    result = run_case(name, checking(anything), Style.NONE)
    assert result.verdict is Verdict.ACCEPT
    warns = name == "wrong-host-wildcard-part"
    assert result.outcome is (Outcome.WARNING if warns else Outcome.WRONG)


@pytest.mark.parametrize("name", sorted(WITH_THE_PINNED_KEY))
def test_pin_check_instead_of_name_check_is_caught(name: str) -> None:
    assert run_case(name, checking(pins_only), Style.LEAF).outcome is Outcome.WRONG


def test_pinned_authority_instead_of_name_check_is_caught() -> None:
    def trusts_its_own_root_alone(target: Target) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        first, end, _ = target.ca.read_text().partition("-----END CERTIFICATE-----")
        context.load_verify_locations(cadata=first + end)  # R, without R2
        return context

    client = checking(anything, trusts_its_own_root_alone)
    assert run_case("rogue-ca-in-store", client, Style.CA).outcome is Outcome.RIGHT
    for name in ("wrong-host-pinned-ca", "wrong-host-parent", "sni-ignored"):
        assert run_case(name, client, Style.CA).outcome is Outcome.WRONG


@pytest.mark.parametrize(
    ("name", "client"),
    [
        ("wrong-host-parent", matching(lambda host, name: host.endswith(name))),
        (
            "wrong-host-sibling",
            matching(lambda host, name: host.split(".")[-2:] == name.split(".")[-2:]),
        ),
        ("wrong-host-wildcard", matching(fnmatch)),
        ("wrong-host-wildcard-below", matching(lambda host, name: host in {name, name[2:]})),
        (
            "wrong-host-idn",
            matching(lambda host, name: host == name or (fnmatch(host, name) and name[0] != "*")),
        ),
    ],
)
def test_wrong_name_comparison_is_caught(name: str, client: Call) -> None:
    assert run_case(name, client, Style.NONE).outcome is Outcome.WRONG


def test_right_name_comparison_passes() -> None:
    client = matching(str.__eq__)
    for name in GOOD_FOR:
        assert run_case(name, client, Style.NONE).outcome is Outcome.RIGHT


def test_pins_shared_by_all_hosts_are_caught() -> None:
    def pooled(target: Target, tls: ssl.SSLSocket) -> bool:

        der = tls.getpeercert(binary_form=True)
        assert der
        pin = Pin.of_key(Certificate.from_der(der).spki_sha256)
        return any(pin in policy.live_pins for policy in PinSet.load(target.pins).policies)

    assert run_case("sni-ignored", checking(pooled), Style.LEAF).outcome is Outcome.WRONG
    assert run_case("wrong-host-pinned-ca", checking(pooled), Style.LEAF).outcome is Outcome.RIGHT


def test_client_requests_a_name_below_its_host() -> None:
    assert BY_NAME["wrong-host-wildcard"].host(HOST) == "v1.api.bank.example"
    case = BY_NAME["wrong-host-idn"]
    assert case.host(HOST) == "xn--bcher-kva.api.bank.example"
    assert case.host("b\u00fccher.example") == "xn--bcher-kva.xn--bcher-kva.example"
