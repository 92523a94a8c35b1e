"""The results of a scan for chains, good and bad, from real handshakes."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from certpin.errors import HandshakeError
from certpin.lab import Authority, Identity, LabServer
from certpin.pins import Pin
from certpin.probe import Endpoint
from certpin.probe.scan import record, scan, scan_context
from tests.probe.scan._servers import Server, tls
from tests.servers.nginx import has_ipv6, nginx

if TYPE_CHECKING:
    from certpin.probe.scan import ScanResult
    from tests.probe.scan.conftest import Look

HOST = "api.bank.example"
TLS12 = ssl.TLSVersion.TLSv1_2


@pytest.fixture(scope="module")
def identity(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST, "*.shops.example", "127.0.0.1", "::1")


def _pins(*items: Identity | Authority) -> list[str]:
    return [str(item.pin) for item in items]


def _only_12(context: ssl.SSLContext) -> None:
    context.maximum_version = TLS12


def _refused(seen: ScanResult) -> str:
    """Return why the chain did not verify. The result must contain the served chain, too."""
    assert seen.served is not None
    assert seen.verified is None
    assert seen.error is None
    assert record(seen)["chain_verified"] is False
    return seen.refusal


def test_a_good_chain_is_reported_in_full(
    look: Look, identity: Identity, intermediate: Authority, root: Authority
) -> None:
    with LabServer(identity) as server:
        seen = look(HOST, server.port)
    fields = record(seen)
    assert fields.pop("seconds") >= 0
    assert fields == {
        "schema": 1,
        "command": "scan",
        "host": HOST,
        "port": server.port,
        "address": "127.0.0.1",
        "attempts": 1,
        "tls": "TLSv1.3",
        "chain_verified": True,
        "refusal": None,
        "name_matches": True,
        "subject": f"CN={HOST}",
        "issuer": "CN=Test Intermediate",
        "not_after": identity.certificate.not_after.isoformat(),
        "key": "EC P-256",
        "certificate_pin": str(Pin("cert-sha256", identity.certificate.sha256)),
        "served": _pins(identity, intermediate),
        "verified": _pins(identity, intermediate, root),
        "error": None,
    }


def test_a_scan_sends_no_application_data(look: Look, identity: Identity) -> None:
    with LabServer(identity) as server:
        look(HOST, server.port)
        server.wait_for(1)
    assert server.received == [b""]


@pytest.mark.parametrize(
    ("host", "matches"),
    [
        (HOST, True),
        ("other.bank.example", False),
        ("a.shops.example", True),
        ("shops.example", False),
        ("a.b.shops.example", False),
        ("127.0.0.1", True),
        ("127.0.0.2", False),
    ],
)
def test_a_good_chain_for_another_name_is_verified_and_does_not_match(
    look: Look, identity: Identity, host: str, matches: bool
) -> None:
    with LabServer(identity) as server:
        fields = record(look(host, server.port))
    assert fields["chain_verified"] is True
    assert fields["name_matches"] is matches


def test_the_name_is_reported_for_a_refused_chain_too(look: Look) -> None:
    """OpenSSL would stop at the name, and not report that the certificate has expired too."""
    with LabServer(Authority("Nobody").issue(HOST)) as server:
        right, wrong = (record(look(host, server.port)) for host in (HOST, "other.example"))
    assert (right["name_matches"], wrong["name_matches"]) == (True, False)
    assert right["refusal"] == wrong["refusal"]


def test_a_self_signed_certificate_is_refused_and_reported(look: Look) -> None:
    alone = Authority("Alone")
    with LabServer(Identity(alone.key, (alone.x509,))) as server:
        seen = look(HOST, server.port)
    assert _refused(seen) == "self-signed certificate"
    assert record(seen)["served"] == _pins(alone)
    assert record(seen)["verified"] is None
    assert record(seen)["name_matches"] is False


def test_an_expired_certificate_is_refused_and_reported(
    look: Look, intermediate: Authority
) -> None:
    expired = intermediate.issue(HOST, days=-0.01)
    with LabServer(expired) as server:
        seen = look(HOST, server.port)
    assert _refused(seen) == "certificate has expired"
    assert record(seen)["not_after"] == expired.certificate.not_after.isoformat()


def test_a_missing_intermediate_is_refused_and_reported(look: Look, identity: Identity) -> None:
    with LabServer(Identity(identity.key, identity.chain[:1])) as server:
        seen = look(HOST, server.port)
    assert _refused(seen) == "unable to get local issuer certificate"
    assert record(seen)["served"] == _pins(identity)


def test_tls_1_2_is_reported(look: Look, identity: Identity) -> None:
    with Server(tls(identity, _only_12)) as server:
        assert look(HOST, server.port).tls == "TLSv1.2"


@pytest.mark.parametrize(("highest", "name"), [(TLS12, "TLSv1.2"), (None, "TLSv1.3")])
def test_the_version_is_reported_for_a_refused_chain_too(
    look: Look, highest: ssl.TLSVersion | None, name: str
) -> None:
    def change(context: ssl.SSLContext) -> None:
        context.maximum_version = highest or context.maximum_version

    with Server(tls(Authority("Nobody").issue(HOST), change)) as server:
        seen = look(HOST, server.port)
    assert _refused(seen)
    assert seen.tls == name


def test_a_cipher_that_older_versions_had_does_not_change_the_version(
    root: Authority, identity: Identity
) -> None:
    """OpenSSL lists AES-SHA as a cipher of TLS 1.0, even if TLS 1.2 uses it."""
    old = "ECDHE-ECDSA-AES128-SHA"

    def change(server: ssl.SSLContext) -> None:
        _only_12(server)
        server.set_ciphers(old)

    context = scan_context(root.pem.decode())
    context.set_ciphers(old)
    with Server(tls(identity, change)) as server:
        here = ("127.0.0.1", server.port)
        (seen,) = scan([Endpoint(HOST)], context=context, connect=here)
    assert seen.error is None
    assert seen.tls == "TLSv1.2"


def test_a_server_that_wants_a_client_certificate_still_shows_its_chain(
    look: Look, identity: Identity, intermediate: Authority
) -> None:
    """In TLS 1.2, the server aborts after the client has verified the chain.

    The result has a ``HandshakeError`` and the served chain.
    """

    def change(context: ssl.SSLContext) -> None:
        _only_12(context)
        context.verify_mode = ssl.CERT_REQUIRED

    with Server(tls(identity, change)) as server:
        seen = look(HOST, server.port)
    fields = record(seen)
    assert isinstance(seen.error, HandshakeError)
    assert "client certificate" in seen.error.problem
    assert seen.attempts == 1
    assert fields["chain_verified"] is None
    assert fields["verified"] is None
    assert fields["served"] == _pins(identity, intermediate)
    assert fields["name_matches"] is True


def test_in_tls_1_3_a_server_that_wants_a_client_certificate_is_verified(
    look: Look, identity: Identity
) -> None:
    """In TLS 1.3, a server refuses a missing client certificate only after the handshake."""

    def change(context: ssl.SSLContext) -> None:
        context.verify_mode = ssl.CERT_REQUIRED

    with Server(tls(identity, change)) as server:
        assert record(look(HOST, server.port))["chain_verified"] is True


def test_an_ipv6_address_is_scanned_and_matched(
    context: ssl.SSLContext, identity: Identity
) -> None:
    if not has_ipv6():
        pytest.skip("left out: this machine has no IPv6 loopback")
    with Server(tls(identity), "::1") as server:
        (seen,) = scan([Endpoint("::1", server.port)], context=context)
    assert record(seen)["address"] == "::1"
    assert record(seen)["name_matches"] is True
    assert record(seen)["chain_verified"] is True


@pytest.mark.peer("nginx")
def test_nginx_is_scanned_with_the_certificate_of_each_name(
    look: Look, identity: Identity, intermediate: Authority
) -> None:
    other = intermediate.issue("other.bank.example")
    with nginx({HOST: identity, "other.bank.example": other}) as server:
        for host, expected in ((HOST, identity), ("other.bank.example", other)):
            fields = record(look(host, server.port))
            assert fields["chain_verified"] is True
            assert fields["name_matches"] is True
            assert fields["served"] == _pins(expected, intermediate)


def test_an_endpoint_may_name_another_address_and_another_name(
    context: ssl.SSLContext, identity: Identity
) -> None:
    asked: list[str | None] = []

    def change(server: ssl.SSLContext) -> None:
        server.sni_callback = lambda _, name, __: asked.append(name)

    with Server(tls(identity, change)) as server:
        here = ("127.0.0.1", server.port)
        endpoints = [
            Endpoint("far.example", connect=here),
            Endpoint("far.example", connect=here, server_name=HOST),
        ]
        seen = {each.endpoint.name: record(each) for each in scan(endpoints, context=context)}
    assert {name: each["name_matches"] for name, each in seen.items()} == {
        "far.example": False,
        HOST: True,
    }
    assert set(asked) == {"far.example", HOST}
