"""``certpin rotate switch FILE`` accepts a certificate for a host exactly if a client does."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from certpin import PinnedSSLContext, PinSet
from certpin.lab import Authority, LabServer
from certpin.pins import normalise
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import ship_long_ago, stepped
from tests.cli.conftest import HOST
from tests.rotation._situations import pin
from tests.x509._authorities import refusal_of_openssl, san

if TYPE_CHECKING:
    from certpin.lab import Identity
    from tests.cli.conftest import Run

_UNICODE = x509.DNSName._init_without_validation("bücher.test")


def issued(run: Run, host: str, *names: x509.GeneralName) -> Identity:
    """Write a certificate with these names to ``new.pem``, and publish a pin file for the host."""
    root = Authority("Root")
    identity = root.issue("new", change=san(*names))
    Path("new.pem").write_bytes(identity.chain_pem)
    Path("root.pem").write_bytes(root.pem)
    write(kit.policy(host, identity.pin, kit.NOBODY), trust=Path("root.pem"))
    ship_long_ago(run)
    return identity


def test_a_certificate_of_hosts_outside_of_the_pin_file_is_named(run: Run) -> None:
    issued(run, HOST, *dns("one.shop.example", "two.shop.example"))
    write(kit.policy(HOST), kit.policy("www.bank.example"))
    done = run("rotate", "switch", "new.pem", "--offline")
    assert done.code == 2
    assert "the certificate is for one.shop.example, two.shop.example, and the pin" in done.err
    assert "the pin file has none of its hosts: name the hosts of this step, with" in done.err
    other = run("rotate", "switch", str(pin("other")), "--offline")
    assert (other.code, f"none of them has {pin('other')}" in other.err) == (2, True)


def dns(*names: str) -> list[x509.GeneralName]:
    return [x509.DNSName(name) for name in names]


def ip(text: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    ("host", "looked_up", "names", "fix"),
    [
        ("127.0.0.1", "127.0.0.1", dns("127.0.0.1"), "IP:127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", [*dns("127.0.0.1"), ip("127.0.0.1")], ""),
        ("2001:db8::1", "2001:db8::1", dns("2001:db8::1"), "IP:2001:db8::1"),
        ("2001:db8::1", "2001:db8::1", [ip("2001:db8::1")], ""),
        ("localhost", "localhost", dns("localhost."), "DNS:localhost"),
        ("localhost", "localhost", dns("LOCALHOST"), ""),
        ("**.bank.test", "bank.test", dns("**.bank.test"), "DNS:bank.test, DNS:*.bank.test"),
        ("**.bank.test", "api.bank.test", dns("*.bank.test"), ""),
        ("*.bank.test", "api.bank.test", dns("*.bank.test."), "DNS:*.bank.test"),
        ("*.bank.test", "api.bank.test", dns("**.bank.test"), "DNS:bank.test, DNS:*.bank.test"),
        ("api.bank.test", "api.bank.test", dns("**.bank.test"), "DNS:api.bank.test"),
        ("db.corp", "db.corp", dns("*.corp"), "DNS:db.corp"),
        ("api.bank.test", "api.bank.test", dns("a*.bank.test"), "that host"),
        ("a_b.bank.test", "a_b.bank.test", dns("*.bank.test"), "that host"),
        ("a_b.bank.test", "a_b.bank.test", dns("a_b.bank.test"), ""),
        ("bücher.test", "bücher.test", [_UNICODE], "DNS:xn--bcher-kva.test"),
        ("bücher.test", "bücher.test", dns("xn--bcher-kva.test"), ""),
    ],
)
def test_a_name_counts_only_in_the_form_that_clients_match(
    run: Run, tmp_path: Path, host: str, looked_up: str, names: list[x509.GeneralName], fix: str
) -> None:
    identity = issued(run, host, *names)
    done, facts = stepped(run, "switch", "new.pem", "--offline")
    client = PinnedSSLContext(PinSet.load("pins.toml"))
    refusal = refusal_of_openssl(identity, client, tmp_path, normalise(looked_up))
    assert (done.code == 0) is (not refusal), (done.out, refusal)
    fixes = [breach["fix"] for breach in facts["breaches"]]
    assert (not fixes) is (not fix)
    assert all(fix in each for each in fixes)


def test_a_usable_name_decides_for_which_hosts_a_step_is(run: Run) -> None:
    identity = issued(run, "localhost", *dns("localhost", "127.0.0.1"))
    policies = [kit.policy(host, identity.pin, kit.NOBODY) for host in ("localhost", "127.0.0.1")]
    write(*policies, trust=Path("root.pem"))
    ship_long_ago(run)
    assert stepped(run, "switch", "new.pem", "--offline")[0].code == 0
    words = ("switch", "new.pem", "--offline", "--host", "127.0.0.1")
    done, facts = stepped(run, *words)
    assert (done.code, facts["breaches"][0]["invariant"]) == (1, "certificate")
    assert "it has 127.0.0.1 as a DNS name" in facts["breaches"][0]["problem"]


def test_check_names_an_address_among_the_dns_names(run: Run) -> None:
    identity = issued(run, "127.0.0.1", *dns("127.0.0.1"))
    with LabServer(identity) as server:
        done = run("check", "--connect", f"127.0.0.1=127.0.0.1:{server.port}")
    assert done.code == 1
    assert "it has 127.0.0.1 as a DNS name" in done.err + done.out
    assert "subjectAltName = IP:127.0.0.1" in done.err + done.out
