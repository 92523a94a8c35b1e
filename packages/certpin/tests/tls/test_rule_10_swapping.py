"""Rule 10: pin sets are swapped as a whole, versions only rise, and no handshake delays a swap."""

from __future__ import annotations

import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from certpin import (
    ConfigError,
    HostPattern,
    HostPin,
    HostPolicy,
    PinError,
    PinMismatchError,
    PinnedSSLContext,
    TrustAnchors,
    UnpinnedHostError,
)
from certpin.lab import Authority, Identity, LabServer
from certpin.lab.lab_server import server_context
from certpin.tls.assertion import pins_hold
from tests import kit
from tests.tls._handshakes import HOST, Wire, connect, verdict_of
from tests.tls._servers import RecordingServer, greeted

if TYPE_CHECKING:
    from pathlib import Path

    from certpin import Pin
    from certpin.pinfile import PinSet

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PATIENCE = 60.0  # seconds; a deadlock must fail the test, not hang it


@pytest.fixture(scope="module")
def server(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST)


def pinned_to(*pins: Pin, version: int = 1, **fields: Any) -> PinSet:
    return kit.pin_set(kit.policy(HOST, *pins, **fields), version=version)


@pytest.mark.parametrize("version", [6, 1])
def test_a_swap_to_a_lower_version_is_refused(
    trusted_root: Path, server: Identity, version: int
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin, version=7))
    with pytest.raises(ConfigError, match=f"version {version} does not follow version 7") as caught:
        context.swap(pinned_to(version=version))
    assert "raise the version" in caught.value.fix
    connect(context, server)


def test_a_swap_to_a_path_is_refused(trusted_root: Path, server: Identity) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    with pytest.raises(ConfigError, match=r"PinSet\.load\('pins\.toml'\)"):
        context.swap("pins.toml")  # type: ignore[arg-type]
    connect(context, server)


def test_the_same_version_with_other_content_is_refused(
    trusted_root: Path, server: Identity
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    with pytest.raises(ConfigError, match="version 1 does not follow version 1"):
        context.swap(pinned_to())
    connect(context, server)


@pytest.mark.parametrize(
    "fields", [{"mode": "report"}, {"match": "ca"}, {"on_expiry": "fail-open"}]
)
def test_any_changed_field_is_other_content(
    trusted_root: Path, server: Identity, fields: dict[str, Any]
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    with pytest.raises(ConfigError):
        context.swap(pinned_to(server.pin, **fields))


def test_the_same_version_with_the_same_content_changes_nothing(
    trusted_root: Path, server: Identity
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    context.swap(pinned_to(server.pin))
    connect(context, server)


def test_a_higher_version_takes_effect(trusted_root: Path, server: Identity) -> None:
    context = PinnedSSLContext(pinned_to(version=1))
    with pytest.raises(PinMismatchError):
        connect(context, server)
    newer = pinned_to(server.pin, version=2)
    context.swap(newer)
    assert context.pins is newer
    connect(context, server)


def test_a_failed_swap_changes_nothing(trusted_root: Path, server: Identity) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    broken = TrustAnchors((b"no certificate",))
    with pytest.raises((ssl.SSLError, ValueError)):
        context.swap(pinned_to(version=2, trust=broken))
    assert context.pins.version == 1
    connect(context, server)


def test_two_concurrent_swaps_end_at_the_higher_version(
    trusted_root: Path, server: Identity
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))

    def swap(version: int) -> None:
        try:
            context.swap(pinned_to(server.pin, version=version))
        except ConfigError:
            assert context.pins.version > version

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(swap, range(2, 66), timeout=PATIENCE))
    assert context.pins.version == 65


def test_open_connections_continue_after_a_swap(trusted_root: Path, server: Identity) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    wire = Wire(context, server).shake()
    context.swap(pinned_to(version=2))
    assert wire.answer(b"still here") == b"still here"
    with pytest.raises(PinMismatchError):
        connect(context, server)


def test_pins_hold_until_a_swap_refuses_the_connection(
    trusted_root: Path, server: Identity
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    wire = Wire(context, server_context(server)).shake()
    assert pins_hold(wire.client)
    context.swap(pinned_to(server.pin, version=2))
    assert pins_hold(wire.client)
    assert wire.client.pin_verdict.policy is context.pins.policies[0]
    context.swap(pinned_to(version=3))
    assert not pins_hold(wire.client)
    context.swap(pinned_to(server.pin, version=4))
    assert pins_hold(wire.client)


@pytest.mark.parametrize("fields", [{"mode": "report"}, {"expires": LONG_AGO}])
def test_pins_that_accept_a_chain_without_a_match_do_not_hold_an_open_connection(
    trusted_root: Path, server: Identity, fields: dict[str, Any]
) -> None:
    """A new connection is needed: its handshake reports that no pin matched."""
    context = PinnedSSLContext(pinned_to(server.pin))
    wire = Wire(context, server_context(server)).shake()
    pins = () if "mode" in fields else (server.pin,)
    context.swap(pinned_to(*pins, version=2, on_expiry="fail-open", **fields))
    assert not pins_hold(wire.client)
    connect(context, server)


@pytest.mark.parametrize(("strict", "holds"), [(True, False), (False, True)])
def test_pins_without_a_policy_hold_an_open_connection_only_if_the_context_is_not_strict(
    trusted_root: Path, server: Identity, strict: bool, holds: bool
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin), strict=strict)
    wire = Wire(context, server_context(server)).shake()
    context.swap(kit.pin_set(kit.policy("other.example"), version=2))
    assert pins_hold(wire.client) is holds


def test_other_trust_anchors_do_not_hold_an_open_connection(
    trusted_root: Path, root: Authority, server: Identity
) -> None:
    """The handshake verified the chain up to roots that the new policy may not trust."""
    context = PinnedSSLContext(pinned_to(server.pin))
    wire = Wire(context, server_context(server)).shake()
    for version in (2, 3):
        context.swap(pinned_to(server.pin, version=version, trust=kit.anchors(root)))
        assert not pins_hold(wire.client)


def test_a_resumed_connection_is_held_by_the_chain_of_its_session(
    trusted_root: Path, server: Identity
) -> None:
    context, theirs = PinnedSSLContext(pinned_to(server.pin)), server_context(server)
    first = Wire(context, theirs).shake()
    wire = Wire(context, theirs, session=first.session()).shake()
    assert wire.client.session_reused
    context.swap(pinned_to(server.pin, version=2))
    assert pins_hold(wire.client)
    context.swap(pinned_to(version=3))
    assert not pins_hold(wire.client)


def test_a_connection_without_a_pin_check_is_not_held(trusted_root: Path, server: Identity) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    wire = in_flight(context, server)
    assert not pins_hold(wire.client)
    bios = ssl.MemoryBIO(), ssl.MemoryBIO()
    assert not pins_hold(ssl.create_default_context().wrap_bio(*bios, server_hostname="localhost"))


def in_flight(context: PinnedSSLContext, server: Identity) -> Wire:
    """Return a connection whose client has only the last step of the handshake left.

    That step includes the pin check.
    """
    wire = Wire(context, server)
    wire.until_checked()
    return wire


def test_a_pin_that_was_removed_during_the_handshake_is_refused(
    trusted_root: Path, server: Identity
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    wire = in_flight(context, server)
    context.swap(pinned_to(version=2))
    with pytest.raises(PinMismatchError) as caught:
        wire.shake()
    assert str(server.pin) not in str(caught.value).partition("pinned:\n")[2]
    assert wire.to_server.read() == b""


def test_a_pin_that_was_compromised_during_the_handshake_is_refused(
    trusted_root: Path, server: Identity
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    wire = in_flight(context, server)
    pins = (
        HostPin(server.pin, "leaf", "compromised"),
        HostPin(kit.NOBODY),
        HostPin(kit.NOBODY_ELSE, "backup"),
    )
    context.swap(kit.pin_set(HostPolicy(HostPattern.parse(HOST), pins), version=2))
    with pytest.raises(PinMismatchError, match="marked compromised"):
        wire.shake()


def test_a_pin_that_was_added_during_the_handshake_is_accepted(
    trusted_root: Path, server: Identity
) -> None:
    context = PinnedSSLContext(pinned_to())
    wire = in_flight(context, server)
    context.swap(pinned_to(server.pin, version=2))
    wire.shake()
    assert wire.client.pin_verdict.policy is context.pins.policies[0]


def test_a_host_that_lost_its_policy_during_the_handshake_is_refused(
    trusted_root: Path, server: Identity
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    wire = in_flight(context, server)
    context.swap(kit.pin_set(kit.policy("other.example"), version=2))
    with pytest.raises(UnpinnedHostError):
        wire.shake()


def test_a_trust_change_during_the_handshake_refuses_only_that_connection(
    trusted_root: Path, root: Authority, server: Identity
) -> None:
    """The handshake verified the chain up to roots that the new policy doesn't trust."""
    context = PinnedSSLContext(pinned_to(server.pin))
    wire = in_flight(context, server)
    context.swap(pinned_to(server.pin, version=2, trust=kit.anchors(root)))
    with pytest.raises(PinError, match="trust of its policy changed") as caught:
        wire.shake()
    assert caught.value.fix == "connect again"
    connect(context, server)


def test_a_removed_trust_file_refuses_only_the_current_handshake(
    trusted_root: Path, root: Authority, server: Identity
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin, trust=kit.anchors(root)))
    wire = in_flight(context, server)
    context.swap(pinned_to(server.pin, version=2))
    with pytest.raises(PinError, match="trust of its policy changed"):
        wire.shake()
    connect(context, server)


def test_an_unchanged_trust_file_disturbs_no_handshake(
    trusted_root: Path, root: Authority, server: Identity
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin, trust=kit.anchors(root)))
    wire = in_flight(context, server)
    context.swap(pinned_to(server.pin, version=2, trust=kit.anchors(root)))
    wire.shake()


def test_a_deferred_handshake_is_checked_against_the_new_set(
    trusted_root: Path, server: Identity
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    with RecordingServer(server_context(server)) as recorder:
        tls = context.wrap_socket(
            recorder.connect(), server_hostname=HOST, do_handshake_on_connect=False
        )
        with tls:
            context.swap(pinned_to(version=2))
            with pytest.raises(PinMismatchError):
                tls.send(b"in the old days")
        (recording,) = recorder.recordings()
    assert recording.application == b""


def test_a_cached_match_is_checked_again_after_a_swap(trusted_root: Path, server: Identity) -> None:
    """A swap of the pin set empties the context's cache of chains that matched."""
    context = PinnedSSLContext(pinned_to(server.pin))
    for _ in range(3):
        connect(context, server)
    context.swap(pinned_to(version=2))
    with pytest.raises(PinMismatchError):
        connect(context, server)


def test_a_cached_match_ends_when_its_pins_expire(trusted_root: Path, server: Identity) -> None:
    now = [datetime(2027, 1, 1, tzinfo=UTC)]
    pins = pinned_to(server.pin, expires=datetime(2027, 1, 2, tzinfo=UTC))
    context = PinnedSSLContext(pins, clock=lambda: now[0])
    connect(context, server)
    now[0] = datetime(2027, 1, 2, tzinfo=UTC)
    with pytest.raises(PinError, match="its pins held until 2027-01-02"):
        connect(context, server)


def test_a_cached_match_is_not_used_for_other_certificates(
    trusted_root: Path, server: Identity, root: Authority
) -> None:
    """The cached match isn't used for another key or another certificate of the same key."""
    context = PinnedSSLContext(pinned_to(server.pin))
    connect(context, server)
    renewed = root.issue(HOST, key=server.key)
    for _ in range(2):
        with pytest.raises(PinMismatchError):
            connect(context, root.issue(HOST))
        client: Any = connect(context, renewed)
        assert client.pin_verdict.chain.leaf.der == renewed.certificate.der
        client = connect(context, server)
        assert client.pin_verdict.chain.leaf.der == server.certificate.der


@pytest.mark.slow
def test_64_threads_share_a_context_while_its_pins_are_swapped(
    trusted_root: Path, root: Authority
) -> None:
    """No handshake is judged by a mix of two versions of the pin set.

    Odd versions pin one server, even versions the other.
    """
    odd, even = root.issue(HOST), root.issue(HOST)
    served = [server_context(odd), server_context(even)]
    own = (even.pin, odd.pin)
    context = PinnedSSLContext(pinned_to(own[1], version=1))
    outcomes: list[tuple[str, Pin]] = []
    swapping = threading.Event()

    def dial(number: int) -> None:
        for attempt in range(4):
            which = (number + attempt) % 2
            wire = Wire(context, served[which])
            try:
                wire.shake()
                verdict = wire.client.pin_verdict
                assert verdict.matched.pin == (odd.pin, even.pin)[which]
            except PinMismatchError as exc:
                verdict = exc.verdict
            live = set(verdict.policy.live_pins)
            assert len(live & {odd.pin, even.pin}) == 1
            expected = "accept" if (odd.pin, even.pin)[which] in live else "refuse"
            assert verdict.decision == expected
            outcomes.append((verdict.decision, (live & {odd.pin, even.pin}).pop()))

    def swap() -> None:
        version = 1
        while not swapping.is_set():
            version += 1
            context.swap(pinned_to(own[version % 2], version=version))

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        with ThreadPoolExecutor(64) as pool:
            list(pool.map(dial, range(64), timeout=PATIENCE))
    finally:
        swapping.set()
        swapper.join(PATIENCE)
    assert not swapper.is_alive()
    assert len(outcomes) == 64 * 4


@pytest.mark.medium
def test_trust_file_swaps_do_not_disturb_other_threads(
    trusted_root: Path, root: Authority, server: Identity
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    theirs = server_context(server)
    errors: list[str] = []

    def dial(_: int) -> None:
        try:
            Wire(context, theirs).shake()
        except PinError as exc:
            errors.append(exc.problem)

    def swap(_: int) -> None:
        version = context.pins.version + 1
        trust = kit.anchors(root) if version % 2 else None
        context.swap(pinned_to(server.pin, version=version, trust=trust))

    with ThreadPoolExecutor(16) as pool, ThreadPoolExecutor(1) as swapper:
        swaps = swapper.map(swap, range(64), timeout=PATIENCE)
        list(pool.map(dial, range(128), timeout=PATIENCE))
        list(swaps)
    assert all("changed during the handshake" in error for error in errors)


def test_a_stalled_server_delays_no_other_handshake_and_no_swap(
    trusted_root: Path, server: Identity
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    with socket.create_server(("127.0.0.1", 0)) as silent, LabServer(server) as lively:
        stalled = threading.Thread(target=_stall, args=(context, silent.getsockname()))
        stalled.start()
        accepted, _ = silent.accept()
        with accepted:
            assert accepted.recv(1) == b"\x16"  # its ClientHello: the handshake has begun
            _finish_in_time(context, lively, server)
            assert stalled.is_alive()
        stalled.join(PATIENCE)
        assert not stalled.is_alive()


def _stall(context: PinnedSSLContext, address: tuple[str, int]) -> None:
    with (
        socket.create_connection(address, timeout=PATIENCE) as sock,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(sock, server_hostname=HOST)


def _finish_in_time(context: PinnedSSLContext, lively: LabServer, server: Identity) -> None:
    """Connect, swap the pins and change settings in another thread, within a time limit.

    The function fails if another handshake holds a lock that these calls need.
    """

    def work() -> None:
        _dial(context, lively.port)
        context.swap(pinned_to(server.pin, version=2))
        context.set_alpn_protocols(["http/1.1"])
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        _dial(context, lively.port)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result(PATIENCE)


def _dial(context: PinnedSSLContext, port: int) -> None:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock,
        context.wrap_socket(sock, server_hostname=HOST) as tls,
    ):
        tls.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert tls.recv(12) == b"HTTP/1.1 200"


def test_a_failure_hook_can_swap_the_pins(trusted_root: Path, server: Identity) -> None:
    swapped = threading.Event()

    def repair(_: object) -> None:
        context.swap(pinned_to(server.pin, version=2))
        swapped.set()

    context = PinnedSSLContext(pinned_to(), on_failure=[repair])
    with pytest.raises(PinMismatchError):
        connect(context, server)
    assert swapped.wait(PATIENCE)
    connect(context, server)


def test_a_pin_set_and_its_policies_cannot_be_changed_in_place(
    trusted_root: Path, server: Identity
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    pins: Any = context.pins
    with pytest.raises(AttributeError):
        pins.policies = ()
    with pytest.raises(AttributeError):
        pins.policies[0].mode = "report"
    with pytest.raises(AttributeError):
        context.pins = pins  # type: ignore[misc]


def test_the_verdict_of_a_connection_stays_after_a_swap(
    trusted_root: Path, server: Identity
) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    verdict = verdict_of(context, server)
    context.swap(pinned_to(version=2))
    assert verdict.decision == "accept"
    assert verdict.policy is not context.pins.policies[0]


@pytest.mark.medium
def test_a_socket_works_before_and_after_a_swap(trusted_root: Path, server: Identity) -> None:
    context = PinnedSSLContext(pinned_to(server.pin))
    with RecordingServer(server_context(server)) as recorder:
        assert greeted(recorder, context, HOST).finished
        context.swap(pinned_to(server.pin, kit.NOBODY, version=2))
        with context.wrap_socket(recorder.connect(), server_hostname=HOST) as tls:
            assert tls.recv(1)
