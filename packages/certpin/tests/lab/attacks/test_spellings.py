"""Cases with a NUL in a name, a name only in the subject, or an IP address as the host."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab.case import CannotServeError, LabError
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.server.port import Port
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import BY_NAME, right_client, run_case, trusting
from tests.lab.attacks._broken import anything, checking, leaf, matching, names
from tests.lab.attacks._forged import HOST, Forged, verify

if TYPE_CHECKING:
    import ssl

    from certpin.lab.target import Target

pytestmark = pytest.mark.slow  # whole runs; test_matrix.py is quick

NUL = ["nul-in-name", "nul-in-common-name"]


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("name", [*NUL, "cn-only", "ip-without-ip-san"])
def test_nothing_but_the_name_is_wrong(name: str) -> None:
    forged = Forged(name)
    if name == "cn-only":  # OpenSSL reads the common name unless it is disabled
        assert forged.openssl() == ""
    elif name == "ip-without-ip-san":
        assert "IP address mismatch" in forged.openssl()
    else:
        assert "hostname mismatch" in forged.openssl()
    assert forged.has_the_pinned_key
    _repair(forged)
    assert forged.openssl() == ""


def _repair(forged: Forged) -> None:
    """Replace the leaf of the chain by one with the same key and the right name."""
    right = forged.pki.intermediate.issue(forged.pki.host, key=forged.pki.leaf.key)
    forged.chain[0] = right.chain[0]


def test_certificate_contains_the_nul() -> None:
    name = HOST.encode() + b"\0.evil.example"
    for case in NUL:
        assert name in Forged(case).leaf.public_bytes(Encoding.DER)
    assert Forged("nul-in-name").dns_names == [name.decode()]
    assert Forged("nul-in-name").common_name == "evil.example"
    assert Forged("nul-in-common-name").common_name == name.decode()


@pytest.mark.parametrize("name", ["nul-in-common-name", "cn-only"])
def test_there_is_no_san(name: str) -> None:
    with pytest.raises(x509.ExtensionNotFound):
        _ = Forged(name).dns_names


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("nul-in-name", "127.0.0.1"),
        ("nul-in-common-name", f"{'a' * 60}.example"),
        ("cn-only", f"{'a' * 60}.example"),
    ],
)
def test_host_without_such_a_spelling_is_reported(name: str, host: str) -> None:
    with pytest.raises(CannotServeError, match=r"too long|is an address"):
        Forged(name, host)


def test_name_cut_at_the_nul_is_caught() -> None:
    client = matching(lambda host, name: host == name.split("\0")[0])
    for name in NUL:
        assert run_case(name, client, Style.NONE).outcome is Outcome.WRONG


def test_nul_in_san_and_nul_in_subject_are_distinguished() -> None:
    def san_alone(target: Target, tls: ssl.SSLSocket) -> bool:
        extensions = leaf(tls).extensions
        found = [
            extension
            for extension in extensions
            if isinstance(extension.value, x509.SubjectAlternativeName)
        ]
        return bool(found) and names(leaf(tls))[0].split("\0")[0] == target.host

    client = checking(san_alone)
    assert run_case("nul-in-name", client, Style.NONE).outcome is Outcome.WRONG
    assert run_case("nul-in-common-name", client, Style.NONE).outcome is Outcome.RIGHT


def test_the_common_name_is_a_warning() -> None:
    assert run_case("cn-only", right_client(Style.NONE), Style.NONE).outcome is Outcome.WARNING
    client = checking(anything, _without_common_names)
    assert run_case("cn-only", client, Style.NONE).verdict is Verdict.REJECT


def _without_common_names(target: Target) -> ssl.SSLContext:
    context = trusting(target)
    context.hostname_checks_common_name = False
    return context


def test_an_address_that_is_compared_as_a_name_is_caught() -> None:
    client = matching(lambda host, name: host == name)
    assert run_case("ip-without-ip-san", client, Style.NONE).outcome is Outcome.WRONG


def test_client_without_address_support_is_caught() -> None:
    client = matching(lambda host, name: host == name)
    result = run_case("ipv6-san", client, Style.NONE)
    assert result.verdict is Verdict.REJECT
    assert result.outcome is Outcome.WRONG


@pytest.mark.peer("openssl")
def test_the_address_of_ipv6_is_honest() -> None:
    forged = Forged("ipv6-san")
    assert forged.pki.host == "2001:db8::1"
    assert forged.openssl() == ""
    assert "IP address mismatch" in verify(forged.chain, forged.pki, name="2001:db8::2")


def test_requested_address() -> None:
    called = [
        (BY_NAME["ip-without-ip-san"].host(host), BY_NAME["ipv6-san"].host(host))
        for host in (HOST, "localhost", "app.localhost", "127.0.0.1")
    ]
    assert called[0] == ("192.0.2.1", "2001:db8::1")
    assert set(called[1:]) == {("127.0.0.1", "::1")}


@pytest.mark.parametrize("style", Style)
def test_client_on_this_machine_uses_loopback_addresses(style: Style) -> None:
    """A correct client of ``localhost`` passes the cases of IP addresses, over IPv4 and IPv6."""
    for name in ("ip-without-ip-san", "ipv6-san"):
        result = run_case(name, right_client(style), style, "localhost")
        if name == "ipv6-san" and result.outcome is Outcome.NOT_RUN:
            pytest.skip(f"left out: {result.why}")
        assert result.outcome is Outcome.RIGHT


def _without_ipv6(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def port(loop: Any, make: Any, address: tuple[str, int] = ("127.0.0.1", 0)) -> Port:
        if ":" in address[0]:
            raise OSError(number, "no")
        return Port(loop, make, address)

    monkeypatch.setattr("certpin.lab.lab.Port", port)


@pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_missing_ipv6_is_reported(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_ipv6(number, monkeypatch)
    result = run_case("ipv6-san", right_client(Style.NONE), Style.NONE, "localhost")
    assert result.outcome is Outcome.NOT_RUN
    assert "IPv6" in result.why


def test_no_free_port_is_not_reported_as_missing_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    _without_ipv6(errno.EMFILE, monkeypatch)
    with Lab("localhost", Style.NONE) as lab:
        case_server = lab.case_server(BY_NAME["ipv6-san"])
        with pytest.raises(LabError, match="no"):
            case_server.open()
