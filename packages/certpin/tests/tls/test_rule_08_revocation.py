"""Rule 8: revocation lists and stricter flags of a context apply to hosts with a trust file."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import pytest

from certpin import HostPolicy, PinnedSSLContext, UnverifiedChainError, WeakenedContextError
from certpin.lab import Authority, Identity
from certpin.lab.lab_server import server_context
from certpin.x509.openssl import STRICT_BY_DEFAULT
from tests import kit
from tests.tls._handshakes import HOST, connect
from tests.tls._servers import RecordingServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PUBLIC = "shop.example"
LEAF, CHAIN = ssl.VERIFY_CRL_CHECK_LEAF, ssl.VERIFY_CRL_CHECK_CHAIN
EXPLICIT_POLICY = 0x100  # X509_V_FLAG_EXPLICIT_POLICY, openssl/x509_vfy.h
NO_WILDCARDS = 0x2  # X509_CHECK_FLAG_NO_WILDCARDS, openssl/x509v3.h


@pytest.fixture(scope="module")
def private() -> Authority:
    """The bank's private root, which no platform trusts."""
    return Authority("Private Root")


@pytest.fixture(scope="module")
def good(private: Authority) -> Identity:
    return private.issue(HOST)


@pytest.fixture(scope="module")
def revoked(private: Authority) -> Identity:
    return private.issue(HOST)


@pytest.fixture
def lists(tmp_path: Path, private: Authority, revoked: Identity) -> Path:
    """A file with the private root's list, which has the certificate of ``revoked``."""
    path = tmp_path / "private.crl"
    path.write_bytes(kit.revocation_list(private, revoked.chain[0]))
    return path


@pytest.fixture
def policies(trusted_root: Path, private: Authority, root: Authority) -> tuple[HostPolicy, ...]:
    """Return policies for two hosts, of which only ``HOST`` has a trust file."""
    own = kit.policy(HOST, private.pin, trust=kit.anchors(private))
    return own, kit.policy(PUBLIC, root.pin)


@pytest.fixture
def context(policies: tuple[HostPolicy, ...]) -> PinnedSSLContext:
    return PinnedSSLContext(kit.pin_set(*policies))


def refused(context: PinnedSSLContext, server: ssl.SSLContext | Identity, why: str) -> Any:
    """Assert that OpenSSL refuses the server for this reason, and return the error."""
    with pytest.raises(UnverifiedChainError, match=why) as caught:
        connect(context, server)
    return caught.value


def load(context: PinnedSSLContext, lists: Path, _: object) -> None:
    context.load_verify_locations(lists)


def set_flags(context: PinnedSSLContext, _: Path, __: object) -> None:
    context.verify_flags |= LEAF


def add_host(context: PinnedSSLContext, _: Path, policies: tuple[HostPolicy, ...]) -> None:
    context.swap(kit.pin_set(*policies, version=2))


ORDERS = [
    (load, set_flags),
    (set_flags, load),
    (load, set_flags, add_host),
    (set_flags, add_host, load),
    (add_host, load, set_flags),
]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "-".join(s.__name__ for s in order))
def test_a_revoked_certificate_is_refused_with_a_trust_file(
    policies: tuple[HostPolicy, ...],
    good: Identity,
    revoked: Identity,
    lists: Path,
    order: tuple[Callable[..., None], ...],
) -> None:
    """The order in which the list, the flag and the host are added makes no difference."""
    context = PinnedSSLContext(kit.pin_set(*policies[1 if add_host in order else 0 :]))
    for step in order:
        step(context, lists, policies)
    error = refused(context, revoked, "certificate revoked")
    assert error.verify_code == 23
    connect(context, good)


def test_a_server_with_a_revoked_certificate_gets_no_byte_of_the_application(
    context: PinnedSSLContext, revoked: Identity, lists: Path
) -> None:
    context.load_verify_locations(lists)
    context.verify_flags |= LEAF
    with RecordingServer(server_context(revoked)) as server:
        with (
            server.connect() as sock,
            pytest.raises(UnverifiedChainError, match="certificate revoked"),
        ):
            context.wrap_socket(sock, server_hostname=HOST)
        (recording,) = server.recordings()
    assert (recording.finished, recording.application) == (False, b"")


def test_without_the_flag_a_list_has_no_effect(
    context: PinnedSSLContext, revoked: Identity, lists: Path
) -> None:
    context.load_verify_locations(lists)
    connect(context, revoked)
    context.verify_flags |= LEAF
    refused(context, revoked, "certificate revoked")
    context.verify_flags = int(context.verify_flags) & ~int(LEAF)
    connect(context, revoked)


def test_the_flag_for_the_whole_chain_applies_to_intermediates(
    context: PinnedSSLContext, private: Authority, tmp_path: Path
) -> None:
    below = private.intermediate("Below")
    server = below.issue(HOST)
    (tmp_path / "two.crl").write_bytes(
        kit.revocation_list(below) + kit.revocation_list(private, below.x509)
    )
    context.load_verify_locations(str(tmp_path / "two.crl").encode())
    context.verify_flags |= LEAF
    connect(context, server)
    context.verify_flags |= CHAIN
    refused(context, server, "certificate revoked")


@pytest.mark.parametrize("swapped", [False, True])
def test_certificates_beside_a_list_are_no_anchors_of_a_host_with_a_trust_file(
    policies: tuple[HostPolicy, ...],
    private: Authority,
    good: Identity,
    revoked: Identity,
    lists: Path,
    swapped: bool,
) -> None:
    rogue = Authority("Rogue Root")
    own = kit.policy(HOST, private.pin, rogue.pin, trust=kit.anchors(private))
    hosts = (own, policies[1])
    context = PinnedSSLContext(kit.pin_set(*hosts[1 if swapped else 0 :]))
    lists.write_bytes(rogue.pem + b"\ncomment\n" + lists.read_bytes() + rogue.pem)
    context.load_verify_locations(lists)
    context.verify_flags |= LEAF
    if swapped:
        context.swap(kit.pin_set(*hosts, version=2))
    refused(context, rogue.issue(HOST), "unable to get local issuer")
    refused(context, revoked, "certificate revoked")
    connect(context, good)
    assert context.trusted_roots(HOST) == (private.certificate.der,)


def test_without_a_list_a_host_with_a_trust_file_is_refused_with_advice(
    context: PinnedSSLContext, good: Identity
) -> None:
    context.verify_flags |= LEAF
    error = refused(context, good, "unable to get certificate CRL")
    assert "load that of the certificate's authority" in error.fix
    assert "lists of the platform are not used for a host with `trust`" in error.fix


def test_an_expired_list_is_no_list(
    context: PinnedSSLContext, private: Authority, good: Identity, tmp_path: Path
) -> None:
    (tmp_path / "old.crl").write_bytes(kit.revocation_list(private, days=-1))
    context.load_verify_locations(tmp_path / "old.crl")
    context.verify_flags |= LEAF
    assert "that is valid now" in refused(context, good, "CRL has expired").fix
    (tmp_path / "new.crl").write_bytes(kit.revocation_list(private, good.chain[0]))
    context.load_verify_locations(tmp_path / "new.crl")
    refused(context, good, "certificate revoked")


def test_a_host_without_a_trust_file_uses_the_same_lists(
    context: PinnedSSLContext, root: Authority, tmp_path: Path
) -> None:
    server = root.issue(PUBLIC)
    (tmp_path / "public.crl").write_bytes(kit.revocation_list(root, server.chain[0]))
    context.load_verify_locations(tmp_path / "public.crl")
    context.verify_flags |= LEAF
    with pytest.raises(UnverifiedChainError, match="certificate revoked"):
        connect(context, server, PUBLIC)
    connect(context, root.issue(PUBLIC), PUBLIC)


def test_lists_in_a_folder_refuse_hosts_with_a_trust_file(
    context: PinnedSSLContext, root: Authority, good: Identity, lists: Path, tmp_path: Path
) -> None:
    """OpenSSL reads such lists during handshakes, from folders that have trust anchors, too."""
    context.load_verify_locations(lists)
    context.load_verify_locations(capath=tmp_path)
    connect(context, good)
    context.verify_flags |= LEAF
    with pytest.raises(WeakenedContextError, match=r"those in a folder \(capath\)") as caught:
        connect(context, good)
    assert caught.value.host == HOST
    assert "load_verify_locations(FILE)" in caught.value.fix
    with pytest.raises(UnverifiedChainError, match="unable to get certificate CRL"):
        connect(context, root.issue(PUBLIC), PUBLIC)


@pytest.mark.parametrize("loaded", [False, True])
def test_a_flag_that_bypasses_the_context_is_not_dropped(
    context: PinnedSSLContext, revoked: Identity, lists: Path, loaded: bool
) -> None:
    if loaded:
        context.load_verify_locations(lists)
    object.__setattr__(context, "verify_flags", context.verify_flags | LEAF)
    with pytest.raises(WeakenedContextError, match="does not apply to its trust file"):
        connect(context, revoked)


def test_a_list_is_kept_once(
    context: PinnedSSLContext, private: Authority, good: Identity, lists: Path
) -> None:
    """Libraries load the same file for each connection."""
    for _ in range(3):
        context.load_verify_locations(lists)
    assert len(context._lists) == 1
    lists.write_bytes(kit.revocation_list(private, good.chain[0]))
    context.load_verify_locations(lists)
    assert len(context._lists) == 2


def test_a_list_may_be_in_a_pipe(context: PinnedSSLContext, revoked: Identity, lists: Path) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "wb") as file:
        file.write(lists.read_bytes())
        file.close()
        context.load_verify_locations(f"/dev/fd/{reader}")
    context.verify_flags |= LEAF
    refused(context, revoked, "certificate revoked")


def test_a_pipe_without_lists_is_read_once(context: PinnedSSLContext, root: Authority) -> None:
    rogue = Authority("Rogue Root")
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "wb") as file:
        file.write(rogue.pem)
        file.close()
        context.load_verify_locations(f"/dev/fd/{reader}")
    assert rogue.certificate.der in context.trusted_roots()


def test_a_file_that_openssl_cannot_read_changes_nothing(
    context: PinnedSSLContext, lists: Path
) -> None:
    lists.write_bytes(lists.read_bytes().replace(b"END X509 CRL", b"END X509"))
    with pytest.raises(ssl.SSLError):
        context.load_verify_locations(lists)
    with pytest.raises(FileNotFoundError, match=r"gone\.crl"):
        context.load_verify_locations(lists.with_name("gone.crl"))
    assert not context._lists


@pytest.mark.parametrize("swapped", [False, True])
def test_another_stricter_flag_applies_to_the_stores(
    policies: tuple[HostPolicy, ...], good: Identity, swapped: bool
) -> None:
    context: Any = PinnedSSLContext(kit.pin_set(*policies[1 if swapped else 0 :]))
    context.verify_flags |= EXPLICIT_POLICY  # RFC 5280 section 6.1.1 (f)
    if swapped:
        context.swap(kit.pin_set(*policies, version=2))
    refused(context, good, "no explicit policy")


@pytest.mark.parametrize("swapped", [False, True])
def test_a_context_that_refuses_wildcards_does_so_for_the_stores(
    policies: tuple[HostPolicy, ...], private: Authority, swapped: bool
) -> None:
    hosts = (replace(policies[0], pattern=kit.policy(f"*.{HOST}").pattern), policies[1])
    context: Any = PinnedSSLContext(kit.pin_set(*hosts[1 if swapped else 0 :]))
    server, name = private.issue(f"*.{HOST}"), f"a.{HOST}"
    context._host_flags |= NO_WILDCARDS
    if swapped:
        context.swap(kit.pin_set(*hosts, version=2))
    with pytest.raises(UnverifiedChainError, match="Hostname mismatch"):
        connect(context, server, name)
    context._host_flags &= ~NO_WILDCARDS
    connect(context, server, name)


@pytest.mark.parametrize("strict", [None, False, True])
def test_the_context_is_strict_about_rfc_5280_unless_the_pin_file_is_not(
    policies: tuple[HostPolicy, ...], strict: bool | None
) -> None:
    trust = replace(policies[0].trust, strict=strict)  # type: ignore[type-var]
    context = PinnedSSLContext(kit.pin_set(replace(policies[0], trust=trust)))
    (store,) = context._stores.values()

    def is_strict() -> bool:
        return bool(store.verify_flags & ssl.VERIFY_X509_STRICT)

    before = STRICT_BY_DEFAULT if strict is None else strict
    assert is_strict() == before
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    assert is_strict() == (strict is not False)
    context.verify_flags = int(context.verify_flags) & ~int(ssl.VERIFY_X509_STRICT)
    assert is_strict() == before


def test_flags_that_accept_more_do_not_reach_the_stores(context: PinnedSSLContext) -> None:
    (store,) = context._stores.values()
    before = int(store.verify_flags)
    context.verify_flags = int(ssl.VERIFY_ALLOW_PROXY_CERTS) | 0x2 | 0x10 | 0x200000
    assert int(store.verify_flags) == before


class Watched:
    """A lock that records whether a thread that acquires it has the context's other lock."""

    def __init__(self, context: PinnedSSLContext) -> None:
        self._lock = context._configuring.held
        self._other: Any = context._verifying
        self.had_other: list[bool] = []

    def __enter__(self) -> Self:
        self.had_other.append(self._other.held._is_owned())
        self._lock.acquire()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()


def test_a_change_of_flags_does_not_hold_up_handshakes_while_it_waits(
    context: PinnedSSLContext,
) -> None:
    """Handshakes wait for the lock of the flags, which a swap of large files doesn't hold."""
    context._configuring.held = watched = Watched(context)  # type: ignore[assignment]
    with suppress(ssl.SSLError):
        context.verify_flags |= LEAF
    assert watched.had_other[0] is False
