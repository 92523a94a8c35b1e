"""``name_matches`` agrees with OpenSSL's own check for any certificate."""

from __future__ import annotations

import ipaddress
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given, settings
from hypothesis import strategies as st

from certpin.errors import HostError
from certpin.lab import Identity
from certpin.lab.authority import new_key
from certpin.lab.lab_server import server_context
from certpin.pins import normalise
from certpin.pins.certificate_names import certified_hosts, name_matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH = 62, 64  # X509_V_ERR_…, openssl/x509_vfy.h
_key = cache(new_key)

labels = st.sampled_from(["a", "b", "A", "a-b", "-", "_x", "x_y", "1", "com", "xn--bcher-kva"])
stars = st.sampled_from(["*", "*a", "a*", "xn--*", "**"])
names = st.lists(labels | stars, min_size=1, max_size=4).map(".".join)
dns_names = st.one_of(
    names,
    names.map("*.{}".format),
    names.map("{}.".format),
    st.sampled_from(["127.0.0.1", "::1", "*", "*.", ".a.b", "", "a.b\0.c", "a..b"]),
).map(x509.DNSName)
addresses = st.sampled_from(["127.0.0.1", "::1", "2001:db8::1"]).map(
    lambda text: x509.IPAddress(ipaddress.ip_address(text))
)
others = st.sampled_from([x509.RFC822Name("a@a.b"), x509.UniformResourceIdentifier("https://a.b")])
alternatives = st.lists(st.one_of(dns_names, dns_names, addresses, others), max_size=3)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[x509.GeneralName], list[str]]:
    """Draw the names of a certificate, and hosts that are similar to them."""
    sans: list[x509.GeneralName] = draw(alternatives)
    fillings = st.sampled_from(["a", "a-b", "_x", "x_y", "xn--bcher-kva", "a.b", "1"])
    near = [san.value.replace("*", draw(fillings)) for san in sans if isinstance(san, x509.DNSName)]
    hosts = [*near, draw(names), "127.0.0.1", "2001:DB8:0::1", "common.name"]
    return sans, hosts


def certificate(sans: Sequence[x509.GeneralName]) -> Identity:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "common.name")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(_key().public_key())
        .serial_number(5)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    return Identity(_key(), (builder.sign(_key(), hashes.SHA256()),))


def openssl_says(identity: Identity, host: str) -> bool:
    """Return whether OpenSSL accepts a certificate for a host, in a handshake in memory.

    The client trusts the certificate, so only ``check_hostname`` can fail.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=identity.certificate.der)
    client.hostname_checks_common_name = False
    c_in, c_out, s_in, s_out = (ssl.MemoryBIO() for _ in range(4))
    asking = client.wrap_bio(c_in, c_out, server_hostname=host)
    answering = server_context(identity).wrap_bio(s_in, s_out, server_side=True)
    for _ in range(3):
        try:
            asking.do_handshake()
        except ssl.SSLCertVerificationError as error:
            if error.verify_code in {_HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH}:
                return False
            raise
        except ssl.SSLWantReadError:
            s_in.write(c_out.read())
            with suppress(ssl.SSLWantReadError):
                answering.do_handshake()
            c_in.write(s_out.read())
        else:
            return True
    raise AssertionError("the handshake came to no end")


def both_say(sans: Sequence[x509.GeneralName], text: str) -> tuple[bool, bool] | None:
    """Return whether a certificate with these names matches a host, as (certpin, OpenSSL).

    Return None if the text is not a host.
    """
    identity = certificate(sans)
    try:
        host = normalise(text)
    except HostError:
        return None
    return name_matches(host, identity.certificate), openssl_says(identity, host)


@pytest.mark.slow
@settings(max_examples=60)
@given(cases())
def test_name_matches_agrees_with_openssl(case: tuple[list[x509.GeneralName], list[str]]) -> None:
    sans, hosts = case
    for host in hosts:
        answers = both_say(sans, host)
        assert answers is None or answers[0] is answers[1], host


@given(cases())
def test_certified_hosts_are_those_that_match(
    case: tuple[list[x509.GeneralName], list[str]],
) -> None:
    """Except for a wildcard and a label with an underscore, which OpenSSL doesn't match."""
    sans, hosts = case
    leaf = certificate(sans).certificate
    patterns = certified_hosts(leaf)
    for host in _normalised(hosts):
        is_certified = any(
            pattern.matches(host) for pattern in patterns if not pattern.wildcard or "_" not in host
        )
        assert is_certified is name_matches(host, leaf), host


@pytest.mark.parametrize(
    "name",
    [
        *("127.0.0.1", "::1", "bank.example.", "*.bank.example.", "**.bank.example", "*.example"),
        *("a*.bank.example", "*", "a..b", ""),
    ],
)
def test_a_name_that_no_client_matches_is_left_out(name: str) -> None:
    assert certified_hosts(certificate([x509.DNSName(name)]).certificate) == ()


def _normalised(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        with suppress(HostError):
            yield normalise(text)


@pytest.mark.parametrize(
    ("san", "host", "matches"),
    [
        ("api.bank.example", "API.bank.example.", True),
        ("API.BANK.example", "api.bank.example", True),
        ("bücher.example".encode("idna").decode(), "bücher.example", True),
        ("*.bank.example", "api.bank.example", True),
        ("*.bank.example", "a_b.bank.example", False),
        ("*.bank.example", "bank.example", False),
        ("*.bank.example", "v1.api.bank.example", False),
        ("*.bank.exam_ple", "api.bank.exam_ple", False),
        ("*.example", "bank.example", False),
        ("a*.bank.example", "api.bank.example", False),
        ("*", "bank", False),
        ("api.bank.example.", "api.bank.example", False),
        ("127.0.0.1", "127.0.0.1", False),
    ],
)
def test_name_matches_for_names(san: str, host: str, matches: bool) -> None:
    assert both_say([x509.DNSName(san)], host) == (matches, matches)


@pytest.mark.parametrize(
    ("san", "host", "matches"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("2001:db8::1", "[2001:DB8:0:0::1]", True),
        ("::ffff:127.0.0.1", "::ffff:7f00:1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", False),
    ],
)
def test_name_matches_for_addresses(san: str, host: str, matches: bool) -> None:
    address = x509.IPAddress(ipaddress.ip_address(san))
    assert both_say([address], host) == (matches, matches)


def test_a_common_name_does_not_match() -> None:
    assert both_say([], "common.name") == (False, False)
