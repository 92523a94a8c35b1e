"""Rule 8: for a host with a trust file, only the anchors in that file are trusted."""

from __future__ import annotations

import os
import ssl
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from certpin import CertificateParseError, PinnedSSLContext, TrustAnchors, UnverifiedChainError
from certpin.lab import Authority, Identity
from certpin.lab.authority import new_rsa_key
from certpin.lab.lab_server import server_context
from certpin.pinfile import PinSet
from tests import kit
from tests.tls._handshakes import HOST, Wire, connect, for_clients, verdict_of
from tests.tls._servers import RecordingServer, asking_for_certificate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PUBLIC = "shop.example"


@pytest.fixture(scope="module")
def private() -> Authority:
    """The bank's private root, which no platform trusts."""
    return Authority("Private Root")


@pytest.fixture
def pins(private: Authority, root: Authority) -> PinSet:
    """Return a pin set for two hosts, of which only ``HOST`` has a trust file.

    ``HOST`` is pinned to both roots. ``PUBLIC`` uses the platform's roots.
    """
    own = kit.policy(HOST, private.pin, root.pin, trust=kit.anchors(private))
    return kit.pin_set(own, kit.policy(PUBLIC, root.pin))


@pytest.fixture
def context(trusted_root: Path, pins: PinSet) -> PinnedSSLContext:
    return PinnedSSLContext(pins)


def refused_by_openssl(context: PinnedSSLContext, server: ssl.SSLContext | Identity) -> None:
    """Assert that the handshake fails because OpenSSL trusts no issuer, not because of the pins."""
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer") as caught:
        connect(context, server)
    assert isinstance(caught.value, UnverifiedChainError)


def test_the_anchors_of_the_trust_file_are_trusted(
    context: PinnedSSLContext, private: Authority
) -> None:
    verdict = verdict_of(context, private.intermediate("Below").issue(HOST))
    assert verdict.chain.certificates[-1] == private.certificate


def test_the_platforms_roots_are_not_trusted_although_they_are_pinned(
    context: PinnedSSLContext, root: Authority
) -> None:
    refused_by_openssl(context, root.issue(HOST))


def test_another_host_of_the_same_context_keeps_the_platforms_roots(
    context: PinnedSSLContext, root: Authority, private: Authority
) -> None:
    connect(context, root.issue(PUBLIC), PUBLIC)
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        connect(context, private.issue(PUBLIC), PUBLIC)


def load_locations(context: ssl.SSLContext, bundle: Path) -> None:
    context.load_verify_locations(bundle)


def load_data(context: ssl.SSLContext, bundle: Path) -> None:
    context.load_verify_locations(cadata=bundle.read_text())


def load_defaults(context: ssl.SSLContext, bundle: Path) -> None:
    context.load_default_certs()


def load_default_paths(context: ssl.SSLContext, bundle: Path) -> None:
    context.set_default_verify_paths()


@pytest.mark.parametrize("load", [load_locations, load_data, load_defaults, load_default_paths])
def test_roots_that_a_library_loads_are_not_trusted_for_a_trust_file_host(
    context: PinnedSSLContext,
    root: Authority,
    trusted_root: Path,
    load: Callable[[ssl.SSLContext, Path], None],
) -> None:
    load(context, trusted_root)
    refused_by_openssl(context, root.issue(HOST))


def test_roots_loaded_before_a_swap_are_not_trusted_for_a_trust_file_host(
    trusted_root: Path, root: Authority, pins: PinSet
) -> None:
    context = PinnedSSLContext(kit.pin_set(kit.policy(PUBLIC, root.pin)))
    context.load_verify_locations(trusted_root)
    context.swap(kit.pin_set(*pins.policies, version=2))
    refused_by_openssl(context, root.issue(HOST))


@pytest.mark.parametrize("library_turns_off", [False, True])
def test_a_library_cannot_disable_verification_for_a_trust_file_host(
    context: PinnedSSLContext, root: Authority, library_turns_off: bool
) -> None:
    if library_turns_off:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(context, root.issue(HOST))


def test_names_and_dates_are_verified_with_a_trust_file_too(
    context: PinnedSSLContext, private: Authority
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        connect(context, private.issue("other.example"))
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        connect(context, private.issue(HOST, days=-0.001))


def test_a_trust_file_may_contain_only_an_intermediate(trusted_root: Path, root: Authority) -> None:
    named, other = root.intermediate("Named"), root.intermediate("Other")
    trust = kit.anchors(named)
    context = PinnedSSLContext(kit.pin_set(kit.policy(HOST, named.pin, other.pin, trust=trust)))
    verdict = verdict_of(context, named.issue(HOST))
    assert verdict.chain.certificates[-1] == named.certificate
    refused_by_openssl(context, other.issue(HOST))


def test_a_trust_file_may_name_several_roots(trusted_root: Path, private: Authority) -> None:
    second = Authority("Second Root")
    trust = kit.anchors(private, second)
    pinned = kit.policy(HOST, private.pin, second.pin, trust=trust)
    context = PinnedSSLContext(kit.pin_set(pinned))
    connect(context, private.issue(HOST))
    connect(context, second.issue(HOST))


def test_hosts_with_different_trust_files_do_not_share_anchors(
    trusted_root: Path, private: Authority
) -> None:
    second = Authority("Second Root")
    context = PinnedSSLContext(
        kit.pin_set(
            kit.policy(HOST, private.pin, second.pin, trust=kit.anchors(private)),
            kit.policy(PUBLIC, private.pin, second.pin, trust=kit.anchors(second)),
        )
    )
    connect(context, private.issue(HOST))
    connect(context, second.issue(PUBLIC), PUBLIC)
    refused_by_openssl(context, second.issue(HOST))


def test_a_trust_file_path_is_relative_to_the_pin_file(
    trusted_root: Path, tmp_path: Path, private: Authority, root: Authority
) -> None:
    (tmp_path / "private.pem").write_bytes(private.pem)
    (tmp_path / "pins.toml").write_text(
        f"""schema = 1\nname = "bank"\nversion = 1
[[host]]\nname = "{HOST}"\ntrust = "private.pem"
[[host.pin]]\npin = "{private.pin}"\nrole = "root"
[[host.pin]]\npin = "{root.pin}"\nrole = "backup"
"""
    )
    context = PinnedSSLContext(PinSet.load(tmp_path / "pins.toml"))
    connect(context, private.issue(HOST))
    refused_by_openssl(context, root.issue(HOST))


def test_anchors_that_are_not_certificates_are_refused(trusted_root: Path) -> None:
    pins = kit.pin_set(kit.policy(HOST, trust=TrustAnchors((b"no certificate",))))
    with pytest.raises((ssl.SSLError, CertificateParseError)):
        PinnedSSLContext(pins)


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def with_certificate(
    context: PinnedSSLContext, private: Authority, tmp_path: Path, request: Any
) -> PinnedSSLContext:
    """Return a context with a client certificate, limited to TLS 1.2 or to TLS 1.3."""
    context.load_cert_chain(*private.issue("client.example", change=for_clients).write(tmp_path))
    context.maximum_version = request.param
    return context


def asking(identity: Identity, private: Authority) -> ssl.SSLContext:
    return asking_for_certificate(identity, private)


def test_a_client_certificate_goes_to_a_server_of_the_trust_file(
    with_certificate: PinnedSSLContext, private: Authority
) -> None:
    with RecordingServer(asking(private.issue(HOST), private)) as server:
        with with_certificate.wrap_socket(server.connect(), server_hostname=HOST) as tls:
            assert tls.recv(9) == b"greetings"
        (recording,) = server.recordings()
    assert recording.client_certificate is not None


def test_a_client_certificate_does_not_go_to_a_server_outside_the_trust_file(
    with_certificate: PinnedSSLContext, private: Authority, root: Authority
) -> None:
    with RecordingServer(asking(root.issue(HOST), private)) as server:
        with (
            server.connect() as sock,
            pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"),
        ):
            with_certificate.wrap_socket(sock, server_hostname=HOST)
        (recording,) = server.recordings()
    assert recording.client_certificate is None
    assert not recording.finished
    assert b"client.example" not in recording.raw  # TLS 1.2 would send it in clear text


def test_a_client_certificate_does_not_leave_over_memory_bios_either(
    with_certificate: PinnedSSLContext, private: Authority, root: Authority
) -> None:
    wire: Any = Wire(with_certificate, asking(root.issue(HOST), private))
    with pytest.raises(ssl.SSLCertVerificationError):
        wire.shake()
    with pytest.raises(ssl.SSLError):
        wire.server.do_handshake()
    assert wire.server._sslobj.get_unverified_chain() is None


def alpn(context: ssl.SSLContext, folder: Path) -> None:
    context.set_alpn_protocols(["h2", "http/1.1"])


def ciphers(context: ssl.SSLContext, folder: Path) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")


def version(context: ssl.SSLContext, folder: Path) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3


def old_version(context: ssl.SSLContext, folder: Path) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2


def options(context: ssl.SSLContext, folder: Path) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET


def keylog(context: ssl.SSLContext, folder: Path) -> None:
    context.keylog_filename = str(folder / "keys.log")


def certificate(context: ssl.SSLContext, folder: Path) -> None:
    context.load_cert_chain(folder / "client.pem", folder / "client.key")


def has_alpn(wire: Wire, folder: Path) -> bool:
    return bool(wire.client.selected_alpn_protocol() == "h2")


def has_cipher(wire: Wire, folder: Path) -> bool:
    return bool(wire.client.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384")


def is_new(wire: Wire, folder: Path) -> bool:
    return bool(wire.client.version() == "TLSv1.3")


def is_old(wire: Wire, folder: Path) -> bool:
    return bool(wire.client.version() == "TLSv1.2")


def has_no_ticket(wire: Wire, folder: Path) -> bool:
    return not wire.client.session.has_ticket


def has_keylog(wire: Wire, folder: Path) -> bool:
    return "TRAFFIC_SECRET" in (folder / "keys.log").read_text()


def has_certificate(wire: Wire, folder: Path) -> bool:
    return bool(wire.server.getpeercert(binary_form=True))


SETTINGS = [
    (alpn, has_alpn),
    (ciphers, has_cipher),
    (version, is_new),
    (old_version, is_old),
    (options, has_no_ticket),
    (keylog, has_keylog),
    (certificate, has_certificate),
]
each_setting = pytest.mark.parametrize(
    ("change", "holds"), SETTINGS, ids=[change.__name__ for change, _ in SETTINGS]
)


@pytest.fixture
def folder(tmp_path: Path, private: Authority) -> Path:
    private.issue("client.example", change=for_clients).write(tmp_path, "client")
    return tmp_path


def meet(context: ssl.SSLContext, private: Authority) -> Wire:
    """Complete a handshake with a server that supports ALPN and requests a client certificate."""
    theirs = server_context(private.issue(HOST))
    theirs.set_alpn_protocols(["h2"])
    theirs.load_verify_locations(cadata=private.certificate.der)
    theirs.verify_mode = ssl.CERT_OPTIONAL
    return Wire(context, theirs).shake()


@each_setting
def test_a_setting_is_applied_to_existing_stores(
    context: PinnedSSLContext, private: Authority, folder: Path, change: Any, holds: Any
) -> None:
    change(context, folder)
    assert holds(meet(context, private), folder)


@pytest.fixture
def without_stores(trusted_root: Path, root: Authority) -> PinnedSSLContext:
    """Return a context with pins that name no trust file yet."""
    return PinnedSSLContext(kit.pin_set(kit.policy(PUBLIC, root.pin)))


@each_setting
def test_a_setting_is_applied_to_a_store_added_by_a_swap(
    without_stores: PinnedSSLContext,
    private: Authority,
    folder: Path,
    pins: PinSet,
    change: Any,
    holds: Any,
) -> None:
    change(without_stores, folder)
    without_stores.swap(kit.pin_set(*pins.policies, version=2))
    assert holds(meet(without_stores, private), folder)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_curve_is_applied_to_the_stores(
    trusted_root: Path, private: Authority, root: Authority, pins: PinSet, swapped: bool
) -> None:
    """A curve that is set on the context also applies to hosts with a trust file.

    The handshake fails with a server that has only another curve.
    """
    first = kit.pin_set(kit.policy(PUBLIC, root.pin)) if swapped else pins
    context = PinnedSSLContext(first)
    context.set_ecdh_curve("secp384r1")
    if swapped:
        context.swap(kit.pin_set(*pins.policies, version=2))
    theirs = server_context(private.issue(HOST))
    theirs.set_ecdh_curve("prime256v1")
    with pytest.raises(ssl.SSLError):
        Wire(context, theirs).shake()
    theirs.set_ecdh_curve("secp384r1")
    connect(context, theirs)


def test_the_last_value_of_a_setting_applies(
    trusted_root: Path, private: Authority, root: Authority, pins: PinSet, folder: Path
) -> None:
    context = PinnedSSLContext(kit.pin_set(kit.policy(PUBLIC, root.pin)))
    for protocols in (["h2"], ["http/1.1"], ["h2"], ["http/1.1"]):
        context.set_alpn_protocols(protocols)
    context.swap(kit.pin_set(*pins.policies, version=2))
    assert meet(context, private).client.selected_alpn_protocol() is None
    context.set_alpn_protocols(["h2"])
    assert has_alpn(meet(context, private), folder)


def test_renegotiation_stays_off_in_a_store_whatever_options_a_library_sets(
    context: PinnedSSLContext,
) -> None:
    context.options = ssl.OP_ALL
    (store,) = context._stores.values()
    assert store.options & ssl.OP_NO_RENEGOTIATION
    assert store.verify_mode == ssl.CERT_REQUIRED
    assert store.check_hostname
    assert not store.hostname_checks_common_name


def test_verification_is_not_mirrored(context: PinnedSSLContext) -> None:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    (store,) = context._stores.values()
    assert store.check_hostname
    assert store.verify_mode == ssl.CERT_REQUIRED


def write_locked(folder: Path, private: Authority) -> Path:
    """Write a client certificate with an encrypted key, and return the path of the file."""
    identity = private.issue("client.example", change=for_clients)
    locked = identity.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2-hunter2")
    )
    path = folder / "locked.pem"
    path.write_bytes(identity.chain_pem + locked)
    return path


def test_the_passphrase_of_a_client_key_is_applied_and_in_no_repr(
    trusted_root: Path, private: Authority, root: Authority, pins: PinSet, folder: Path
) -> None:
    locked = write_locked(folder, private)
    context = PinnedSSLContext(kit.pin_set(kit.policy(PUBLIC, root.pin)))
    context.load_cert_chain(locked, password="hunter2-hunter2")
    context.swap(kit.pin_set(*pins.policies, version=2))
    assert has_certificate(meet(context, private), folder)
    for shown in (context, context._stores, context._enforcer, vars(context)):
        assert "hunter2" not in repr(shown)


def test_a_wrong_passphrase_is_an_error_that_does_not_show_it(
    context: PinnedSSLContext, folder: Path
) -> None:
    (folder / "broken.pem").write_text("-----BEGIN NOTHING-----")
    with pytest.raises((OSError, ValueError)) as caught:
        context.load_cert_chain(folder / "broken.pem", password="hunter2-hunter2")
    assert "hunter2" not in str(caught.value)
    assert not context._certificates  # a failed setting is not tried again


def presented(context: ssl.SSLContext, private: Authority) -> bytes:
    """Return the client certificate, as DER, that a server of the trust file gets."""
    presented: Any = meet(context, private).server.getpeercert(binary_form=True)
    assert isinstance(presented, bytes)
    return presented


def with_trust(pins: PinSet) -> PinSet:
    return kit.pin_set(*pins.policies, version=2)


def forbidden(*_: object) -> int:
    raise PermissionError


@pytest.mark.parametrize(
    ("name", "replacement"),
    [
        pytest.param("access", os.access, id="memory"),
        pytest.param("access", lambda *_: False, id="hardened process"),  # proc(5)
        pytest.param("memfd_create", forbidden, id="no files in memory"),  # vm.memfd_noexec=2
    ],
)
def test_files_of_a_client_certificate_may_go_once_they_are_loaded(  # noqa: PLR0917
    without_stores: PinnedSSLContext,
    private: Authority,
    pins: PinSet,
    folder: Path,
    name: str,
    replacement: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, name, replacement)
    made = folder / "made"
    made.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    without_stores.load_cert_chain(folder / "client.pem", folder / "client.key")
    for file in (folder / "client.pem", folder / "client.key"):
        file.unlink()
    without_stores.swap(with_trust(pins))
    assert presented(without_stores, private)
    assert not any(made.iterdir())


def test_a_half_replaced_pair_does_not_stop_a_swap(
    without_stores: PinnedSSLContext, private: Authority, pins: PinSet, folder: Path
) -> None:
    certificate(without_stores, folder)
    loaded = ssl.PEM_cert_to_DER_cert((folder / "client.pem").read_text())
    private.issue("client.example", change=for_clients).write(folder / "..", "client")
    (folder / "../client.key").replace(folder / "client.key")
    without_stores.swap(with_trust(pins))
    assert presented(without_stores, private) == loaded


def test_a_store_added_by_a_swap_presents_the_certificate_that_was_loaded_last(
    without_stores: PinnedSSLContext, private: Authority, pins: PinSet, tmp_path: Path
) -> None:
    first, second = (private.issue("client.example", change=for_clients) for _ in range(2))
    for number, each in enumerate([first, second, first]):
        without_stores.load_cert_chain(*each.write(tmp_path, f"client-{number}"))
    without_stores.swap(with_trust(pins))
    assert presented(without_stores, private) == first.chain[0].public_bytes(Encoding.DER)
    assert len(without_stores._certificates) == 1  # renewals replace each other


def test_a_certificate_of_each_key_type_is_kept(
    without_stores: PinnedSSLContext, private: Authority, pins: PinSet, tmp_path: Path
) -> None:
    curve = private.issue("client.example", change=for_clients)
    numbers = private.issue("client.example", change=for_clients, key=new_rsa_key())
    plain = ssl.create_default_context(cadata=private.certificate.der)
    for name, each in (("curve", curve), ("numbers", numbers)):
        files = each.write(tmp_path, name)
        plain.load_cert_chain(*files)
        without_stores.load_cert_chain(*files)
    without_stores.swap(with_trust(pins))
    assert presented(without_stores, private) == presented(plain, private)
    assert len(without_stores._certificates) == 2


@pytest.mark.parametrize("in_memory", [True, False], ids=["memory", "pipe"])
def test_the_function_for_a_passphrase_is_called_once(
    without_stores: PinnedSSLContext,
    private: Authority,
    pins: PinSet,
    folder: Path,
    in_memory: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not in_memory:
        monkeypatch.setattr(os, "memfd_create", forbidden)
    locked = write_locked(folder, private)
    asked = iter(["hunter2-hunter2"])
    without_stores.load_cert_chain(locked, password=lambda: next(asked))
    without_stores.swap(with_trust(pins))
    assert presented(without_stores, private)


def test_a_missing_client_certificate_is_named(context: PinnedSSLContext, folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.pem"):
        context.load_cert_chain(folder / "gone.pem")
