"""Rule 1: OpenSSL verifies chain, hostname and dates before a pin is checked."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from certpin import PinnedSSLContext, UnverifiedChainError, WeakenedContextError
from certpin.lab import Authority, Identity
from certpin.lab.lab_server import server_context
from certpin.tls import context as context_module
from certpin.x509.contexts import MirroredContext
from tests import kit
from tests.tls._servers import RecordingServer
from tests.tls._wire import HOST, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tls.conftest import World

NO_CHECK_TIME = 0x200000  # openssl/x509_vfy.h; Python has no name for these three
USE_CHECK_TIME = 0x2
IGNORE_CRITICAL = 0x10


def _cert_none(context: ssl.SSLContext) -> None:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE


def _cert_optional(context: ssl.SSLContext) -> None:
    context.verify_mode = ssl.CERT_OPTIONAL


def _no_hostname(context: ssl.SSLContext) -> None:
    context.check_hostname = False


def _common_name(context: ssl.SSLContext) -> None:
    context.hostname_checks_common_name = True  # RFC 9525 section 2


def _flag(flag: int) -> Callable[[ssl.SSLContext], None]:
    def add(context: ssl.SSLContext) -> None:
        context.verify_flags |= flag

    return add


WEAKENED = pytest.mark.parametrize(
    "weaken",
    [
        pytest.param(_cert_none, id="CERT_NONE"),
        pytest.param(_cert_optional, id="CERT_OPTIONAL"),
        pytest.param(_no_hostname, id="check_hostname"),
        pytest.param(_common_name, id="hostname_checks_common_name"),
        pytest.param(_flag(NO_CHECK_TIME), id="NO_CHECK_TIME"),
        pytest.param(_flag(USE_CHECK_TIME), id="USE_CHECK_TIME"),
        pytest.param(_flag(IGNORE_CRITICAL), id="IGNORE_CRITICAL"),
    ],
)


def _cert_none_by_property(context: ssl.SSLContext) -> None:
    for name, value in (("check_hostname", False), ("verify_mode", ssl.CERT_NONE)):
        getattr(ssl.SSLContext, name).__set__(context, value)


def _cert_none_by_object(context: ssl.SSLContext) -> None:
    object.__setattr__(context, "check_hostname", False)
    object.__setattr__(context, "verify_mode", ssl.CERT_NONE)


def _no_dates_by_object(context: ssl.SSLContext) -> None:
    object.__setattr__(context, "verify_flags", context.verify_flags | NO_CHECK_TIME)


def _common_name_by_object(context: ssl.SSLContext) -> None:
    object.__setattr__(context, "_host_flags", 0)


UNSEEN = pytest.mark.parametrize(
    "weaken",
    [_cert_none_by_property, _cert_none_by_object, _no_dates_by_object, _common_name_by_object],
)
TRUST = pytest.mark.parametrize("private", [False, True], ids=["platform", "trust file"])


def _forged(world: World) -> Identity:
    """Return an attacker's identity: a leaf that claims the real intermediate as its issuer.

    A fake intermediate signed the leaf. The chain also contains the real intermediate.
    """

    def claim(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            world.intermediate.key.public_key()
        )
        kept = [each for each in builder._extensions if each.oid != issuer.oid]
        builder._extensions = [*kept, x509.Extension(issuer.oid, False, issuer)]
        return builder

    forged = Authority("Test Intermediate").issue(HOST, change=claim)
    return Identity(forged.key, (*forged.chain, world.intermediate.x509))


def _context(world: World, private: bool) -> PinnedSSLContext:
    trust = kit.anchors(world.root) if private else None
    return world.context(world.good.pin, world.intermediate.pin, trust=trust)


@WEAKENED
@TRUST
def test_a_weakened_context_does_not_connect(
    world: World, weaken: Callable[[ssl.SSLContext], None], private: bool
) -> None:
    context = _context(world, private)
    weaken(context)
    with pytest.raises(WeakenedContextError, match="weakened") as refusal:
        Wire(context, server_context(_forged(world)))
    assert refusal.value.host == HOST
    assert "verify=False" in refusal.value.fix


@WEAKENED
def test_nothing_is_sent_on_a_socket_of_a_weakened_context(
    world: World, weaken: Callable[[ssl.SSLContext], None]
) -> None:
    context = world.context()
    with RecordingServer(None) as server:
        unconnected = context.wrap_socket(socket.socket(), server_hostname=HOST)
        weaken(context)
        with pytest.raises(WeakenedContextError):
            context.wrap_socket(server.connect(), server_hostname=HOST)
        with unconnected, pytest.raises(WeakenedContextError):
            unconnected.connect(server.address)
        assert server.recordings()[0].raw == b""


@WEAKENED
def test_weakening_the_context_after_the_start_of_a_connection_has_no_effect(
    world: World, weaken: Callable[[ssl.SSLContext], None]
) -> None:
    context = _context(world, private=False)
    wire = Wire(context, server_context(_forged(world)))
    weaken(context)
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate signature failure"):
        wire.shake()


def test_without_verification_the_verified_chain_is_the_sent_chain(world: World) -> None:
    # The reason for rule 1: with CERT_NONE, Python "verifies" the pinned intermediate.
    lax: Any = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _cert_none(lax)
    client = Wire(lax, server_context(_forged(world))).shake().client
    chain = client._sslobj.get_verified_chain()
    assert world.intermediate.certificate.der in {each.public_bytes(2) for each in chain}


def test_a_restored_context_connects_again(world: World) -> None:
    context = world.context()
    _cert_none(context)
    with pytest.raises(WeakenedContextError):
        Wire(context, server_context(world.good))
    context.verify_mode = ssl.CERT_REQUIRED
    with pytest.raises(WeakenedContextError, match="check_hostname"):
        Wire(context, server_context(world.good))
    context.check_hostname = True
    context.hostname_checks_common_name = True
    with pytest.raises(WeakenedContextError, match="hostname_checks_common_name"):
        Wire(context, server_context(world.good))
    context.hostname_checks_common_name = False
    assert Wire(context, server_context(world.good)).shake().client.pin_verdict.reason == "match"


def _expired(world: World) -> Identity:
    return world.intermediate.issue(HOST, days=-0.01, key=world.good.key)


def _misnamed(world: World) -> Identity:
    return world.intermediate.issue("other.bank.test", key=world.good.key)


def _stranger(world: World) -> Identity:
    return Authority("Stranger").issue(HOST, key=world.good.key)


def _not_yet(world: World) -> Identity:
    later = datetime.now(UTC) + timedelta(days=3)
    root = Authority("Later", key=world.root.key, now=later)
    return root.issue(HOST, key=world.good.key)


@pytest.mark.parametrize("identity", [_expired, _misnamed, _stranger, _not_yet])
@TRUST
def test_a_pinned_key_replaces_no_check_of_openssl(
    world: World, identity: Callable[[World], Identity], private: bool
) -> None:
    wire = Wire(_context(world, private), server_context(identity(world)))
    with pytest.raises(ssl.SSLCertVerificationError) as refusal:
        wire.shake()
    assert isinstance(refusal.value, UnverifiedChainError), "it was OpenSSL that refused"


def test_a_common_name_does_not_match_the_host(world: World) -> None:
    def without_names(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        names = ExtensionOID.SUBJECT_ALTERNATIVE_NAME
        builder._extensions = [each for each in builder._extensions if each.oid != names]
        return builder

    identity = world.intermediate.issue(HOST, key=world.good.key, change=without_names)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        Wire(world.context(), server_context(identity)).shake()


@pytest.mark.parametrize("way", ["_openssl_bio", "_openssl_socket"])
def test_a_change_while_openssl_copies_the_settings_is_seen(
    world: World, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    context, original = world.context(), getattr(context_module, way)

    def copied_while_weak(*args: Any, **kwargs: Any) -> Any:
        _cert_none(context)
        raw = original(*args, **kwargs)
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = True
        return raw

    monkeypatch.setattr(context_module, way, copied_while_weak)
    connect = _by_object if way == "_openssl_bio" else _by_socket
    with pytest.raises(WeakenedContextError, match="were being changed"):
        connect(context, server_context(_forged(world)))


@UNSEEN
def test_weakening_that_bypasses_the_context_is_detected(
    world: World, weaken: Callable[[ssl.SSLContext], None]
) -> None:
    context, server = _context(world, private=False), server_context(_forged(world))
    assert Wire(context, server_context(world.good)).shake().client.pin_verdict.reason == "match"
    weaken(context)
    with pytest.raises(WeakenedContextError, match="weakened"):
        Wire(context, server)


def _by_object(context: ssl.SSLContext, server: ssl.SSLContext) -> None:
    Wire(context, server)


def _by_socket(context: ssl.SSLContext, server: ssl.SSLContext) -> None:
    with RecordingServer(server) as listening:
        context.wrap_socket(listening.connect(), server_hostname=HOST)


class _WatchedLock:
    """A lock that sets the event ``waited`` if a thread has to wait for the lock."""

    def __init__(self, lock: Any, waited: threading.Event) -> None:
        self._lock = lock
        self._waited = waited

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._waited.set()
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_a_connection_waits_for_a_concurrent_change(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, server = world.context(), server_context(_forged(world))
    waited, outcome = threading.Event(), []
    lock: Any = context._verifying
    lock.held = _WatchedLock(lock.held, waited)

    def connect() -> None:
        outcome.append(_begin(context, server))
        waited.set()  # it did not wait, and has its outcome

    connecting = threading.Thread(target=connect)
    original = MirroredContext.__setattr__

    def slowly(self: Any, name: str, value: Any) -> None:
        if name == "check_hostname":
            connecting.start()
            waited.wait()
        original(self, name, value)

    monkeypatch.setattr(MirroredContext, "__setattr__", slowly)
    context.check_hostname = False
    connecting.join()
    assert outcome == [WeakenedContextError]


def _begin(context: ssl.SSLContext, server: ssl.SSLContext) -> object:
    try:
        return Wire(context, server)
    except WeakenedContextError as exc:
        return type(exc)


@pytest.mark.parametrize(
    ("setting", "weak"), [("check_hostname", False), ("verify_mode", ssl.CERT_OPTIONAL)]
)
def test_a_change_is_counted_before_it_is_made(
    world: World, monkeypatch: pytest.MonkeyPatch, setting: str, weak: object
) -> None:
    context, server = _context(world, private=False), server_context(_forged(world))
    original = MirroredContext.__setattr__
    outcome = [_begin(context, server)]  # all settings are safe, and known to be

    def and_connect(self: Any, name: str, value: Any) -> None:
        original(self, name, value)
        if name == setting:
            outcome.append(_begin(context, server))

    monkeypatch.setattr(MirroredContext, "__setattr__", and_connect)
    setattr(context, setting, weak)
    assert outcome[1:] == [WeakenedContextError]


def test_setting_the_same_value_again_disturbs_no_connection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # urllib3 does so at each connection, while other threads are in their handshakes.
    context, original = world.context(), context_module._openssl_bio

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = True
        return original(*args, **kwargs)

    monkeypatch.setattr(context_module, "_openssl_bio", meanwhile)
    assert Wire(context, server_context(world.good)).shake().client.pin_verdict.reason == "match"
