"""Rule 7: a root pin matches whatever else is trusted.

If the path ends at another root, the error explains that.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from certpin import PinMismatchError, PinnedSSLContext
from certpin.lab import Authority
from tests import kit
from tests.tls._handshakes import (
    HOST,
    Wire,
    connect,
    root_policy,
    trust_on_this_platform,
    verdict_of,
)

if TYPE_CHECKING:
    from pathlib import Path

# The flags of Python 3.13's default context, if an older Python has them.
DEFAULTS_OF_PYTHON_3_13 = ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT


@pytest.fixture
def both_trusted(
    root: Authority, intermediate: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put both the root and the intermediate into the platform's store."""
    trust_on_this_platform(tmp_path, monkeypatch, intermediate, root)


@pytest.fixture
def root_pinned(root: Authority, both_trusted: None) -> PinnedSSLContext:
    return PinnedSSLContext(kit.pin_set(root_policy(HOST, root.pin)))


def test_a_root_pin_matches_if_the_intermediate_is_trusted_too(
    root_pinned: PinnedSSLContext, root: Authority, intermediate: Authority
) -> None:
    verdict = verdict_of(root_pinned, intermediate.issue(HOST))
    assert verdict.certificate == root.certificate


def test_a_root_pin_matches_although_the_caller_allows_partial_chains(
    root_pinned: PinnedSSLContext, root: Authority, intermediate: Authority
) -> None:
    root_pinned.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    verdict = verdict_of(root_pinned, intermediate.issue(HOST))
    assert verdict.certificate == root.certificate


def test_a_root_pin_matches_with_the_default_flags_of_python_3_13(
    root_pinned: PinnedSSLContext, root: Authority, intermediate: Authority
) -> None:
    root_pinned.verify_flags = DEFAULTS_OF_PYTHON_3_13
    assert root_pinned.verify_flags == ssl.VERIFY_X509_STRICT
    assert verdict_of(root_pinned, intermediate.issue(HOST)).certificate == root.certificate


def test_python_itself_would_end_the_path_at_the_intermediate(
    both_trusted: None, intermediate: Authority
) -> None:
    plain = ssl.create_default_context()
    plain.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    raw = connect(plain, intermediate.issue(HOST))._sslobj  # type: ignore[attr-defined]
    assert len(raw.get_verified_chain()) == 2


def test_a_root_pin_matches_if_a_library_loads_the_intermediate_later(
    trusted_root: Path, root: Authority, intermediate: Authority
) -> None:
    context = PinnedSSLContext(kit.pin_set(root_policy(HOST, root.pin)))
    context.load_verify_locations(cadata=intermediate.certificate.der)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    assert verdict_of(context, intermediate.issue(HOST)).certificate == root.certificate


def test_a_root_pin_matches_if_a_trust_file_has_root_and_intermediate(
    root: Authority, intermediate: Authority
) -> None:
    trust = kit.anchors(intermediate, root)
    context = PinnedSSLContext(kit.pin_set(root_policy(HOST, root.pin, trust=trust)))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    assert verdict_of(context, intermediate.issue(HOST)).certificate == root.certificate


def test_a_root_pin_matches_in_any_order_of_the_trust_file(
    root: Authority, intermediate: Authority
) -> None:
    trust = kit.anchors(root, intermediate)
    context = PinnedSSLContext(kit.pin_set(root_policy(HOST, root.pin, trust=trust)))
    assert verdict_of(context, intermediate.issue(HOST)).certificate == root.certificate


def test_an_intermediate_without_its_root_in_the_platform_store_is_not_trusted(
    intermediate: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust_on_this_platform(tmp_path, monkeypatch, intermediate)
    context = PinnedSSLContext(kit.pin_set(kit.policy(HOST, intermediate.pin)))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get issuer"):
        connect(context, intermediate.issue(HOST))


def test_a_cross_signed_path_to_another_root_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned, other = Authority("Pinned Root"), Authority("Other Root")
    below = pinned.intermediate("Shared Intermediate")
    crossed = Authority("Shared Intermediate", issuer=other, key=below.key)
    trust_on_this_platform(tmp_path, monkeypatch, other)
    context = PinnedSSLContext(kit.pin_set(root_policy(HOST, pinned.pin)))
    with pytest.raises(PinMismatchError) as caught:
        Wire(context, crossed.issue(HOST)).shake()
    assert "ended at the root 'CN=Other Root'" in caught.value.fix
    assert "cross-signed" in caught.value.fix
    assert "`trust`" in caught.value.fix
    assert str(pinned.pin) in str(caught.value)
    assert str(other.pin) in str(caught.value)


def test_the_advice_of_that_error_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned, other = Authority("Pinned Root"), Authority("Other Root")
    crossed = Authority("Pinned Root", issuer=other, key=pinned.key)
    trust_on_this_platform(tmp_path, monkeypatch, other)
    server = crossed.intermediate("Intermediate").issue(HOST)
    trust = kit.anchors(pinned)
    context = PinnedSSLContext(kit.pin_set(root_policy(HOST, pinned.pin, trust=trust)))
    verdict = verdict_of(context, server)
    assert verdict.chain.certificates[-1] == pinned.certificate


def test_a_pinned_root_is_found_although_it_is_cross_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path ends at another root, but its cross-certificate contains the pinned key."""
    pinned, other = Authority("Pinned Root"), Authority("Other Root")
    crossed = Authority("Pinned Root", issuer=other, key=pinned.key)
    trust_on_this_platform(tmp_path, monkeypatch, other)
    context = PinnedSSLContext(kit.pin_set(root_policy(HOST, pinned.pin)))
    verdict = verdict_of(context, crossed.intermediate("Intermediate").issue(HOST))
    assert verdict.certificate == crossed.certificate
