"""A chain that OpenSSL refuses: the hooks are called, and a host with a policy gets a PinError."""

from __future__ import annotations

import pickle
import queue
import socket
import ssl
from typing import TYPE_CHECKING, Any, get_args

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certpin import (
    PinError,
    PinFailure,
    PinnedSSLContext,
    TrustAnchors,
    UnverifiedChainError,
    pin_error,
)
from certpin.lab import Authority, LabServer
from certpin.lab.lab_server import server_context
from certpin.pins import HostServer
from certpin.reports.codecs.nel import REASONS
from certpin.tls.failures import (
    ContactedServer,
    RequestTarget,
    Unverified,
    explain_refusal,
    reason_of,
    requesting,
)
from tests import kit
from tests.tls._raw import TLSServer
from tests.tls._wire import HOST, OTHER, Wire
from tests.x509._authorities import naming

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab import Identity
    from tests.tls.conftest import World


@pytest.fixture(scope="module")
def stranger() -> Identity:
    """Return the identity of a proxy whose authority this machine does not trust."""
    return Authority("Proxy of a Hotel").issue(HOST, OTHER)


@pytest.fixture
def heard() -> queue.Queue[PinFailure]:
    return queue.Queue()


def telling(
    world: World, *hooks: Callable[[PinFailure], object], **fields: Any
) -> PinnedSSLContext:
    return PinnedSSLContext(world.pins(), on_failure=hooks, **fields)


def refused(context: PinnedSSLContext, server: Identity, host: str = HOST) -> Wire:
    """Run a handshake that OpenSSL must refuse, and return the connection.

    For ``HOST``, which has a policy, the error is an ``UnverifiedChainError``.
    """
    wire = Wire(context, server_context(server), host)
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        wire.shake()
    assert isinstance(caught.value, UnverifiedChainError) is (host == HOST)
    return wire


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_event_has_the_served_chain_and_is_unverified(
    world: World, stranger: Identity, heard: queue.Queue[PinFailure], newest: ssl.TLSVersion
) -> None:
    context = telling(world, heard.put)
    context.maximum_version = newest
    refused(context, stranger)
    failure = heard.get(timeout=10)
    assert (failure.host, failure.decision, failure.reason) == (HOST, "refuse", "untrusted")
    assert failure.served == tuple(each.public_bytes(Encoding.DER) for each in stranger.chain)
    assert failure.verdict is None, "nothing was verified, and so nothing was compared"
    assert failure.policy is context.pins.policies[0]
    assert failure.fields()["policy"] == HOST
    assert isinstance(failure.error, ssl.SSLCertVerificationError)
    assert failure.error.__traceback__ is None


def test_without_a_policy_the_error_is_that_of_a_plain_context(
    world: World, stranger: Identity
) -> None:
    theirs = Wire(ssl.create_default_context(), server_context(stranger), OTHER)
    with pytest.raises(ssl.SSLCertVerificationError) as plain:
        theirs.shake()
    ours = Wire(telling(world, strict=False), server_context(stranger), OTHER)
    for _ in range(2):
        with pytest.raises(ssl.SSLCertVerificationError) as pinned:
            ours.shake()
        assert type(pinned.value) is type(plain.value)
        assert pinned.value.args == plain.value.args
        assert pinned.value.verify_code == plain.value.verify_code
    with pytest.raises(ssl.SSLCertVerificationError):
        ours.client.write(b"a secret")


def test_each_connection_to_a_pinned_host_is_reported_once(
    world: World, stranger: Identity, heard: queue.Queue[PinFailure]
) -> None:
    context = telling(world, heard.put, strict=False)
    refused(context, stranger, OTHER)
    wire = refused(context, stranger)
    with pytest.raises(ssl.SSLCertVerificationError):
        wire.client.do_handshake()
    refused(context, stranger)
    assert [heard.get(timeout=10).host for _ in range(2)] == [HOST, HOST]
    assert heard.empty()


def test_a_host_with_a_trust_file_is_reported_too(
    world: World, heard: queue.Queue[PinFailure]
) -> None:
    pins = kit.pin_set(world.policy(trust=kit.anchors(world.root)))
    refused(PinnedSSLContext(pins, on_failure=[heard.put]), world.evil)
    assert heard.get(timeout=10).reason == "untrusted"


def test_a_failing_report_does_not_change_the_refusal(
    world: World, stranger: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("certpin.tls.check.PinFailure", broken)
    refused(telling(world), stranger)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("certpin.tls.check.PinFailure", interrupted)
    wire = Wire(telling(world), server_context(stranger))
    with pytest.raises(KeyboardInterrupt):
        wire.shake()
    with pytest.raises(ssl.SSLCertVerificationError):
        wire.client.read(1)


def test_network_errors_are_not_reported(world: World, heard: queue.Queue[PinFailure]) -> None:
    wire = Wire(telling(world, heard.put), server_context(world.good))
    wire.to_client.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        wire.client.do_handshake()
    assert heard.empty()


def test_the_error_names_are_those_of_browsers() -> None:
    assert set(get_args(Unverified)) < set(REASONS.values())
    codes = {18: "untrusted", 10: "date", 62: "name", 64: "name", 23: "revoked", 24: "invalid"}
    assert {code: reason_of(code) for code in codes} == codes


def test_the_port_is_the_peers_unless_the_adapter_gives_one(
    world: World, heard: queue.Queue[PinFailure]
) -> None:
    context = telling(world, heard.put)
    with TLSServer(server_context(world.evil)) as server:
        for said in (requesting(OTHER, 1), requesting(HOST.upper(), 8443)):
            with said, server.dial() as plain, pytest.raises(PinError):
                context.wrap_socket(plain, server_hostname=HOST)
        server.wait(2)
    assert [heard.get(timeout=10).port for _ in range(2)] == [server.address[1], 8443]


def test_an_unknown_port_is_zero(world: World, heard: queue.Queue[PinFailure]) -> None:
    context = telling(world, heard.put)
    with pytest.raises(PinError):
        Wire(context, server_context(world.evil)).shake()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wrapped = context.wrap_socket(ours, server_hostname=HOST, do_handshake_on_connect=False)
        assert RequestTarget(HOST).port_of(HOST, wrapped) == 0
        wrapped.close()
    closed = socket.socket()
    closed.close()
    for sock in (None, closed, socket.socket()):
        assert RequestTarget("..", 1).port_of(HOST, sock) == 0
        if sock is not None:
            sock.close()
    with requesting(HOST, 70_000), pytest.raises(PinError):
        Wire(context, server_context(world.evil)).shake()
    assert [heard.get(timeout=10).port for _ in range(2)] == [0, 0]


def test_a_refusal_before_the_connection_has_the_port_too(
    world: World, heard: queue.Queue[PinFailure]
) -> None:
    with requesting(OTHER, 8443), pytest.raises(PinError):
        telling(world, heard.put).admit(OTHER)
    assert heard.get(timeout=10).port == 8443


def test_the_error_names_the_served_issuer_and_the_anchors_of_the_pin_file(world: World) -> None:
    """Rule 12 (the contents of errors), with ``trust = FILE`` as the README recommends."""
    trust = TrustAnchors((world.root.certificate.der,), "bank-root.pem")
    context = PinnedSSLContext(kit.pin_set(world.policy(trust=trust)))
    wire = Wire(context, server_context(world.evil))
    with pytest.raises(UnverifiedChainError):
        wire.shake()
    with pytest.raises(UnverifiedChainError) as caught:
        wire.client.read(1)  # the gate raises it again
    error = caught.value
    assert pin_error(error) is error
    assert error.host == HOST
    assert error.issuer == world.rogue.certificate.subject
    assert error.anchors == (world.root.certificate.subject,)
    assert (error.verify_code, error.reason) == (20, "CERTIFICATE_VERIFY_FAILED")
    assert error.verify_message == "unable to get local issuer certificate"
    lines = str(error).splitlines()
    assert lines[0].startswith(f"{HOST} refused: OpenSSL did not verify its chain: unable to get")
    assert f"    {world.evil.certificate.subject}  issued by {error.issuer}" in lines
    assert "  expected: a chain to an anchor of the pin file (bank-root.pem):" in lines
    assert f"    {world.root.certificate.subject}" in lines
    assert f"did not send the certificate of {error.issuer} that issued" in error.fix
    assert "Treat it as an attack, unless" in error.fix


def _refused(served: tuple[bytes, ...], *anchors: Authority) -> UnverifiedChainError:
    """Return the error for a served chain, as DER, to which no anchor leads."""
    openssl = ssl.SSLCertVerificationError(1, "certificate verify failed")
    openssl.verify_code, openssl.verify_message = 20, "unable to get local issuer certificate"
    policy = kit.policy(HOST, trust=kit.anchors(*anchors))
    return explain_refusal(HOST, policy, ContactedServer(served), openssl)


def test_a_missing_intermediate_is_named_whatever_else_was_sent() -> None:
    root, other = Authority("Root"), Authority("Another Root")
    intermediate = root.intermediate("Intermediate")
    renewed = root.intermediate("Intermediate")  # the same name, and another key
    leaf = intermediate.issue(HOST).certificate
    for sent in (root, other, renewed):
        error = _refused((leaf.der, sent.certificate.der), root)
        assert error.issuer == "CN=Intermediate"
        assert "did not send the certificate of CN=Intermediate that issued CN=" in error.fix
        assert "CN=Another Root" not in error.fix


def test_an_authority_with_the_name_of_an_anchor_is_distinguished() -> None:
    root, twin = Authority("Root"), Authority("Root")
    leaf = twin.issue(HOST).certificate
    for served in ((leaf.der,), (leaf.der, twin.certificate.der)):
        error = _refused(served, root)
        assert "the chain ends at CN=Root, which is not trusted for this host, and has" in error.fix
        assert "another key than the expected one: treat it as an attack" in error.fix


def test_a_chain_without_its_root_is_named_by_its_end() -> None:
    """Its issuer may be the root, which no server has to send."""
    intermediate = Authority("Proxy").intermediate("Intermediate")
    leaf = intermediate.issue(HOST).certificate
    error = _refused((leaf.der, intermediate.certificate.der), Authority("Root"))
    assert error.issuer == "CN=Proxy"
    assert error.fix.startswith("the chain ends at CN=Proxy, which is not trusted for this host")
    assert "treat it as an attack, unless CN=Proxy is an intermediate of an expected" in error.fix


def test_an_identifier_that_names_another_certificate_of_an_anchor_is_the_reason() -> None:
    """As OpenSSL itself says: a root that was issued again, with its key."""
    root = Authority("Root")
    renewed = Authority("Root", key=root.key)
    identity = root.issue(HOST, change=naming(root))
    for anchor in (root, renewed):
        pins = kit.pin_set(kit.policy(HOST, identity.pin, trust=kit.anchors(anchor)))
        wire = Wire(PinnedSSLContext(pins), server_context(identity))
        if anchor is root:
            wire.shake()
            continue
        with pytest.raises(UnverifiedChainError) as caught:
            wire.shake()
        assert caught.value.verify_code == 20
        fix = caught.value.fix
        assert fix.startswith(f"the authorityKeyIdentifier of CN={HOST} names another certificate")
        assert "add the one that it names to `trust` in the pin file" in fix
        assert "attack" not in fix


def test_a_certificate_that_cannot_be_read_may_be_the_missing_one() -> None:
    root = Authority("Root")
    leaf = root.intermediate("Intermediate").issue(HOST).certificate
    error = _refused((leaf.der, b"no DER"), root)
    assert "the chain ends at CN=Intermediate" in error.fix


def test_openssls_own_error_is_its_cause_and_it_survives_pickling(
    world: World, stranger: Identity
) -> None:
    wire = Wire(world.context(), server_context(stranger))
    with pytest.raises(UnverifiedChainError) as caught:
        wire.shake()
    cause = caught.value.__cause__
    assert type(cause) is ssl.SSLCertVerificationError
    assert caught.value.verify_code == cause.verify_code
    assert "expected: a chain to a root that this platform trusts" in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert vars(again) == vars(caught.value)
    assert str(again) == str(caught.value)


@pytest.mark.parametrize("mode", ["enforce", "report"])
@pytest.mark.parametrize(
    ("make", "fix"),
    [
        (lambda world: world.root.issue(OTHER), "connect to a name that is in the certificate"),
        (lambda world: world.root.issue(HOST, days=-0.01), "check the clock of this machine"),
        (lambda world: Authority("Elsewhere").issue(HOST), "Treat it as an attack"),
    ],
)
def test_the_fix_depends_on_openssls_error(
    world: World, mode: Any, make: Callable[[World], Identity], fix: str
) -> None:
    context = PinnedSSLContext(world.pins(mode=mode))
    with pytest.raises(UnverifiedChainError) as caught:
        Wire(context, server_context(make(world))).shake()
    assert fix in caught.value.fix


def test_the_command_to_compare_contacts_the_server_of_the_pin_file(world: World) -> None:
    anchors = TrustAnchors((world.root.certificate.der,), source="ca.pem")
    servers = (HostServer(port=5433, starttls="postgres"),)
    policy = world.policy(trust=anchors, servers=servers)
    openssl = ssl.SSLCertVerificationError(1, "certificate verify failed")
    openssl.verify_code, openssl.verify_message = 20, "unable to get local issuer certificate"
    error = explain_refusal(HOST, policy, ContactedServer(port=5433), openssl)
    command = f"certpin pin {HOST}:5433 --starttls postgres --ca-file ca.pem"
    assert error.fix.endswith(f"Compare from another network: {command}")


def test_hostile_certificates_change_neither_the_errors_length_nor_its_type(world: World) -> None:
    long = Authority("Rogue " + "R" * 50).certificate
    policy = world.policy(trust=kit.anchors(world.root))
    openssl = ssl.SSLCertVerificationError(1, "certificate verify failed")
    openssl.verify_code, openssl.verify_message = 20, "unable to get local issuer certificate"
    for served in ((), (b"",), (b"no DER",) * 500, (long.der,) * 500):
        error = explain_refusal(HOST, policy, ContactedServer(served, 8443), openssl)
        assert error.fix.endswith(f"certpin pin {HOST}:8443")
        assert len(str(error).splitlines()) < 20
        assert len(str(error)) < 4000
        assert ("and 490 more" in str(error)) is (len(served) == 500)


@pytest.mark.medium
@pytest.mark.parametrize("trusted", [True, False])
def test_the_fix_does_not_name_the_port_of_a_peer_which_may_be_a_proxy(trusted: bool) -> None:
    root = Authority("Root")
    trust = kit.anchors(root if trusted else Authority("Another Root"))
    context = PinnedSSLContext(kit.pin_set(kit.policy("localhost", trust=trust)))
    with LabServer(root.issue("localhost")) as server:
        address = ("127.0.0.1", server.port)
        with socket.create_connection(address) as sock, pytest.raises(PinError) as caught:
            context.wrap_socket(sock, server_hostname="localhost")
        with (
            socket.create_connection(address) as sock,
            requesting("localhost", 8443),
            pytest.raises(PinError) as with_adapter,
        ):
            context.wrap_socket(sock, server_hostname="localhost")
    assert "certpin pin localhost" in str(caught.value)
    assert f":{server.port}" not in str(caught.value)
    assert "certpin pin localhost:8443" in str(with_adapter.value)
