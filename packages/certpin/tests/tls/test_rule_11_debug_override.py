"""Rule 11: the debug override needs two settings, trusts only its own anchors, and always warns."""

from __future__ import annotations

import ssl
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from certpin import (
    CertificateParseError,
    DebugOverrideWarning,
    PinError,
    PinFailure,
    PinMismatchError,
    PinnedSSLContext,
    TrustAnchors,
    UnverifiedChainError,
)
from certpin.lab import Authority, Identity
from certpin.tls.assertion import pins_hold
from tests import kit
from tests.tls._handshakes import HOST, Wire, connect, trust_on_this_platform

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.pinfile import PinSet
    from certpin.tls.check import PinState

UNPINNED = "shop.example"
PROXIED = pytest.warns(DebugOverrideWarning, match="not by a pin")


@pytest.fixture(scope="module")
def charles() -> Authority:
    """Return the root authority of a debugging proxy."""
    return Authority("Charles Proxy")


@pytest.fixture(scope="module")
def mallory() -> Authority:
    """Return a second root authority that the platform trusts."""
    return Authority("Mallory")


@pytest.fixture
def debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CERTPIN_DEBUG", "1")


@pytest.fixture(autouse=True)
def platform(
    root: Authority, mallory: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CERTPIN_DEBUG", raising=False)
    trust_on_this_platform(tmp_path, monkeypatch, root, mallory)


def pins(root: Authority, *debug: Authority, version: int = 1, **fields: Any) -> PinSet:
    anchors = kit.anchors(*debug) if debug else None
    return kit.pin_set(kit.policy(HOST, root.pin, **fields), version=version, debug=anchors)


def refused(
    context: PinnedSSLContext, server: Identity, host: str = HOST, match: str = "refused"
) -> None:
    with pytest.raises(PinError, match=match):
        connect(context, server, host)


def test_a_path_to_a_debug_anchor_is_accepted_if_both_settings_are_present(
    debugging: None, root: Authority, charles: Authority
) -> None:
    context = PinnedSSLContext(pins(root, charles))
    with PROXIED:
        client: Any = connect(context, charles.issue(HOST))
    assert (client.pin_verdict.decision, client.pin_verdict.reason) == ("accept", "debug-anchor")


def test_only_the_pin_file_is_not_enough(root: Authority, charles: Authority) -> None:
    context = PinnedSSLContext(pins(root, charles))
    with pytest.raises(ssl.SSLCertVerificationError, match=r"self-signed|unable to get local"):
        connect(context, charles.issue(HOST))


@pytest.mark.parametrize("value", ["", "0", "true", "yes", "01", " 1"])
def test_the_environment_variable_must_be_exactly_1(
    root: Authority, charles: Authority, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("CERTPIN_DEBUG", value)
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(PinnedSSLContext(pins(root, charles)), charles.issue(HOST))


def test_only_the_environment_variable_is_not_enough(
    debugging: None, root: Authority, charles: Authority, mallory: Authority
) -> None:
    context = PinnedSSLContext(pins(root))
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(context, charles.issue(HOST))
    refused(context, mallory.issue(HOST))


def test_the_environment_is_read_only_when_pins_are_set(
    root: Authority, charles: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = PinnedSSLContext(pins(root, charles))
    monkeypatch.setenv("CERTPIN_DEBUG", "1")
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(context, charles.issue(HOST))


def test_another_authority_that_the_platform_trusts_is_still_refused(
    debugging: None, root: Authority, charles: Authority, mallory: Authority
) -> None:
    context = PinnedSSLContext(pins(root, charles))
    with pytest.raises(PinMismatchError):
        connect(context, mallory.issue(HOST))


def test_an_authority_of_the_same_name_is_not_the_anchor(
    debugging: None, root: Authority, charles: Authority
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(PinnedSSLContext(pins(root, charles)), Authority("Charles Proxy").issue(HOST))


def test_an_anchor_below_another_trusted_root_does_not_match(
    debugging: None, root: Authority, mallory: Authority
) -> None:
    """The verified path continues from the override's anchor to a root of the platform.

    So the path does not end at the anchor, and the override does not accept it.
    """
    below = mallory.intermediate("Below Mallory")
    with pytest.raises(PinMismatchError):
        connect(PinnedSSLContext(pins(root, below)), below.issue(HOST))


def test_pins_still_apply_with_the_debug_override(
    debugging: None, root: Authority, charles: Authority
) -> None:
    context = PinnedSSLContext(pins(root, charles))
    client: Any = connect(context, root.issue(HOST))
    assert client.pin_verdict.reason == "match"


def test_names_and_dates_are_verified_behind_the_proxy_too(
    debugging: None, root: Authority, charles: Authority
) -> None:
    context = PinnedSSLContext(pins(root, charles))
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        connect(context, charles.issue("other.example"))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        connect(context, charles.issue(HOST, days=-0.001))


def test_strict_refuses_a_host_without_a_policy_behind_the_proxy_too(
    debugging: None, root: Authority, charles: Authority
) -> None:
    context = PinnedSSLContext(pins(root, charles))
    refused(context, charles.issue(UNPINNED), UNPINNED, match="no policy")


def test_the_debug_override_applies_to_a_host_with_a_trust_file(
    debugging: None, root: Authority, charles: Authority, mallory: Authority
) -> None:
    context = PinnedSSLContext(pins(root, charles, trust=kit.anchors(root)))
    with PROXIED:
        connect(context, charles.issue(HOST))
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        connect(context, mallory.issue(HOST))
    assert isinstance(caught.value, UnverifiedChainError)


@pytest.mark.parametrize("unreadable", [b"no certificate", "a time of another type"])
def test_unreadable_anchors_raise_an_error_and_none_is_trusted(
    root: Authority, charles: Authority, monkeypatch: pytest.MonkeyPatch, unreadable: bytes | str
) -> None:
    """OpenSSL would keep the anchors that it read before the invalid one."""
    context = PinnedSSLContext(pins(root), strict=False)
    monkeypatch.setenv("CERTPIN_DEBUG", "1")
    if isinstance(unreadable, str):
        unreadable = kit.unreadable_to_openssl(charles.certificate.der)
    broken = TrustAnchors((charles.certificate.der, unreadable))
    with pytest.raises(CertificateParseError):
        context.swap(kit.pin_set(kit.policy(HOST, root.pin), version=2, debug=broken))
    assert context.pins.version == 1
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(context, charles.issue(UNPINNED), UNPINNED)


def test_no_anchor_is_accepted_before_its_pins_are_in_force(
    debugging: None, root: Authority, charles: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = PinnedSSLContext(pins(root), strict=False)
    complete = context._state_of

    def loaded(*args: Any) -> PinState:
        state = complete(*args)
        refused(context, charles.issue(UNPINNED), UNPINNED, match="debug override")
        return state

    monkeypatch.setattr(context, "_state_of", loaded)
    context.swap(pins(root, charles, version=2))
    with PROXIED:
        connect(context, charles.issue(UNPINNED), UNPINNED)


@pytest.mark.parametrize("host", [HOST, UNPINNED])
def test_the_debug_override_warns_at_each_use(
    debugging: None, root: Authority, charles: Authority, host: str
) -> None:
    context = PinnedSSLContext(pins(root, charles), strict=False)
    server = charles.issue(host)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")  # one of a kind from each place
        for _ in range(3):
            connect(context, server, host)
    assert [each.category for each in caught] == [DebugOverrideWarning] * 3
    assert all(host in str(each.message) for each in caught)


def test_a_program_without_filters_prints_each_warning() -> None:
    """In a process with Python's default filters, two warnings are both printed."""
    program = """
from certpin.tls.failures import warn_of_debug_override as _warn
_warn("bank.example"); _warn("bank.example")
"""
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr.count("DebugOverrideWarning: bank.example") == 2


def test_if_warnings_are_errors_the_debug_override_accepts_nothing(
    debugging: None, root: Authority, charles: Authority
) -> None:
    context = PinnedSSLContext(pins(root, charles))
    wire = Wire(context, charles.issue(HOST))
    with pytest.raises(DebugOverrideWarning):
        wire.shake()
    assert wire.to_server.read() == b""
    with pytest.raises(ssl.SSLError, match=r"interrupted \(DebugOverrideWarning\)"):
        wire.client.write(b"hello")


@pytest.mark.parametrize("host", [HOST, UNPINNED])
def test_each_use_is_logged_and_marked(
    debugging: None,
    root: Authority,
    charles: Authority,
    host: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    context = PinnedSSLContext(pins(root, charles), strict=False)
    with PROXIED:
        connect(context, charles.issue(host), host)
    (record,) = caplog.records
    fields: dict[str, Any] = record.certpin  # type: ignore[attr-defined]
    assert record.levelname == "WARNING"
    assert fields["debug"] is True
    assert (fields["host"], fields["decision"]) == (host, "accept")
    assert fields["reason"] == "debug-anchor"


def test_a_hook_gets_the_marked_event(debugging: None, root: Authority, charles: Authority) -> None:
    import queue

    heard: queue.Queue[PinFailure] = queue.Queue()
    context = PinnedSSLContext(pins(root, charles), on_failure=[heard.put])
    with PROXIED:
        connect(context, charles.issue(HOST))
    failure = heard.get(timeout=10)
    assert failure.debug
    assert failure.error is None
    assert failure.verdict is not None
    assert failure.verdict.reason == "debug-anchor"


def test_a_refusal_is_not_marked(
    debugging: None,
    root: Authority,
    charles: Authority,
    mallory: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused(PinnedSSLContext(pins(root, charles)), mallory.issue(HOST))
    assert [record.certpin["debug"] for record in caplog.records] == [False]  # type: ignore[attr-defined]


def test_hosts_without_pins_are_reported_only_behind_the_proxy(
    debugging: None, root: Authority, charles: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    context = PinnedSSLContext(pins(root, charles), strict=False)
    connect(context, root.issue(UNPINNED), UNPINNED)
    assert not caplog.records


def test_after_a_swap_without_the_override_its_anchor_is_refused(
    debugging: None, root: Authority, charles: Authority
) -> None:
    """OpenSSL can't remove the override's anchor from a store, so the pin check must refuse it."""
    context = PinnedSSLContext(pins(root, charles))
    with PROXIED:
        connect(context, charles.issue(HOST))
    context.swap(pins(root, version=2))
    refused(context, charles.issue(HOST), match="debug override, which is over")


def test_after_a_swap_the_anchor_is_refused_for_hosts_without_pins(
    debugging: None, root: Authority, charles: Authority
) -> None:
    context = PinnedSSLContext(pins(root, charles), strict=False)
    context.swap(pins(root, version=2))
    refused(context, charles.issue(UNPINNED), UNPINNED, match="debug override, which is over")


@pytest.mark.parametrize("host", [HOST, UNPINNED])
def test_after_a_swap_without_the_override_no_open_connection_below_its_anchor_is_held(
    debugging: None, root: Authority, charles: Authority, host: str
) -> None:
    context = PinnedSSLContext(pins(root, charles), strict=False)
    with PROXIED:
        client = connect(context, charles.issue(host), host)
    assert pins_hold(client)
    context.swap(pins(root, version=2))
    assert not pins_hold(client)


def test_after_several_swaps_the_anchor_is_still_refused(
    debugging: None, root: Authority, charles: Authority, mallory: Authority
) -> None:
    context = PinnedSSLContext(pins(root, charles), strict=False)
    for version, anchors in ((2, ()), (3, (mallory,)), (4, ())):
        context.swap(pins(root, *anchors, version=version))
        refused(context, charles.issue(UNPINNED), UNPINNED, match="debug override, which is over")


def test_after_a_swap_the_anchor_is_refused_although_the_policy_only_reports(
    debugging: None, root: Authority, charles: Authority
) -> None:
    """The mode ``report`` accepts other keys, but not an anchor that only the override trusted."""
    context = PinnedSSLContext(pins(root, charles, mode="report"))
    context.swap(pins(root, version=2, mode="report"))
    refused(context, charles.issue(HOST), match="debug override, which is over")


def test_after_a_swap_the_anchor_is_refused_although_it_is_pinned(
    debugging: None, root: Authority, charles: Authority
) -> None:
    context = PinnedSSLContext(pins(root, charles))
    context.swap(kit.pin_set(kit.policy(HOST, root.pin, charles.pin), version=2))
    refused(context, charles.issue(HOST), match="debug override, which is over")


def test_after_a_swap_the_anchor_is_refused_for_a_host_with_a_trust_file(
    debugging: None, root: Authority, charles: Authority
) -> None:
    trust = kit.anchors(root)
    context = PinnedSSLContext(pins(root, charles, trust=trust))
    context.swap(pins(root, version=2, trust=trust))
    refused(context, charles.issue(HOST), match="debug override, which is over")


def test_after_a_swap_to_another_anchor_the_first_one_is_refused(
    debugging: None, root: Authority, charles: Authority
) -> None:
    burp = Authority("Burp")
    context = PinnedSSLContext(pins(root, charles))
    context.swap(pins(root, burp, version=2))
    with PROXIED:
        connect(context, burp.issue(HOST))
    refused(context, charles.issue(HOST), match="debug override, which is over")
    context.swap(pins(root, charles, version=3))
    with PROXIED:
        connect(context, charles.issue(HOST))
    refused(context, burp.issue(HOST), match="debug override, which is over")


def test_a_swap_without_the_environment_variable_ends_the_override(
    debugging: None, root: Authority, charles: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = PinnedSSLContext(pins(root, charles))
    monkeypatch.delenv("CERTPIN_DEBUG")
    context.swap(context.pins)
    refused(context, charles.issue(HOST), match="debug override, which is over")


def test_a_handshake_during_the_swap_is_checked_without_the_override(
    debugging: None, root: Authority, charles: Authority
) -> None:
    context = PinnedSSLContext(pins(root, charles))
    wire = Wire(context, charles.issue(HOST))
    wire.until_checked()
    context.swap(pins(root, version=2))
    with pytest.raises(PinError, match="debug override, which is over"):
        wire.shake()


def test_an_ended_override_does_not_affect_other_hosts(
    debugging: None, root: Authority, charles: Authority
) -> None:
    context = PinnedSSLContext(pins(root, charles), strict=False)
    context.swap(pins(root, version=2))
    connect(context, root.issue(HOST))
    connect(context, root.issue(UNPINNED), UNPINNED)


def test_another_context_is_not_affected_by_the_override(
    debugging: None, root: Authority, charles: Authority
) -> None:
    PinnedSSLContext(pins(root, charles))
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(PinnedSSLContext(pins(root)), charles.issue(HOST))
