"""Rule 2: a pin matches only on the verified path. An empty or missing chain is refused."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from certpin import Chain, ConfigError, PinError, PinMismatchError, PinnedSSLContext, verify
from certpin.lab import Authority, Identity
from certpin.lab.lab_server import server_context
from tests import kit
from tests.tls._wire import HOST, Wire, as_old_as_tls12

if TYPE_CHECKING:
    from cryptography import x509

    from tests.tls.conftest import World

ANONYMOUS = "AECDH-AES128-SHA:@SECLEVEL=0"
PRE_SHARED = "PSK-AES128-GCM-SHA256:@SECLEVEL=0"
MODES = pytest.mark.parametrize("mode", ["enforce", "report"])


def _bank(world: World) -> tuple[x509.Certificate, ...]:
    return (*world.good.chain, world.root.x509)


@pytest.mark.parametrize("appended", [[0], [1], [2], [0, 1, 2], [2, 1, 0]])
def test_certificates_appended_by_a_rogue_authority_never_match(
    world: World, appended: list[int]
) -> None:
    """CVE-2016-2402: an attacker appends the bank's pinned certificates to its own chain."""
    extra = [_bank(world)[index] for index in appended]
    served = Identity(world.evil.key, (*world.evil.chain, world.rogue.x509, *extra))
    context = world.context(world.good.pin, world.intermediate.pin, world.root.pin)
    wire = Wire(context, server_context(served))
    with pytest.raises(PinMismatchError) as refusal:
        wire.shake()
    chain = refusal.value.verdict.chain
    assert chain is not None
    assert [each.sha256 for each in chain.certificates] == [
        world.evil.certificate.sha256,
        world.rogue.certificate.sha256,
    ]


def test_another_intermediate_with_the_same_name_does_not_match(
    world: World,
) -> None:
    double = world.rogue.intermediate("Test Intermediate")
    forged = double.issue(HOST)
    served = Identity(forged.key, (*forged.chain, world.intermediate.x509))
    wire = Wire(world.context(world.intermediate.pin), server_context(served))
    with pytest.raises(PinMismatchError):
        wire.shake()


@pytest.mark.parametrize("order", ["root sent", "reversed", "a stranger between"])
def test_a_server_with_an_unordered_chain_is_accepted(world: World, order: str) -> None:
    leaf, intermediate, root = _bank(world)
    stranger = Authority("Stranger").x509
    chain = {
        "root sent": (leaf, intermediate, root),
        "reversed": (leaf, root, intermediate),
        "a stranger between": (leaf, stranger, intermediate),
    }[order]
    wire = Wire(world.context(), server_context(Identity(world.good.key, chain)))
    verdict = wire.shake().client.pin_verdict
    assert [each.der for each in verdict.chain.certificates] == [
        world.good.certificate.der,
        world.intermediate.certificate.der,
        world.root.certificate.der,
    ]


@pytest.mark.parametrize(
    ("match", "pinned", "accepted"),
    [
        ("any", "leaf", True),
        ("any", "intermediate", True),
        ("any", "root", True),
        ("leaf", "leaf", True),
        ("leaf", "intermediate", False),
        ("leaf", "root", False),
        ("ca", "leaf", False),
        ("ca", "intermediate", True),
        ("ca", "root", True),
    ],
)
def test_match_selects_the_certificates_of_the_path(
    world: World, match: Any, pinned: str, accepted: bool
) -> None:
    pins = {
        "leaf": world.good.pin,
        "intermediate": world.intermediate.pin,
        "root": world.root.pin,
    }
    wire = Wire(world.context(pins[pinned], match=match), server_context(world.good))
    if accepted:
        assert wire.shake().client.pin_verdict.decision == "accept"
    else:
        with pytest.raises(PinMismatchError, match="leaves it out"):
            wire.shake()


def _without_certificate(ciphers: str) -> ssl.SSLContext:
    server = as_old_as_tls12(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    server.set_ciphers(ciphers)
    return server


def _careless(context: PinnedSSLContext, ciphers: str) -> PinnedSSLContext:
    as_old_as_tls12(context)
    context.set_ciphers(ciphers)
    return context


@MODES
@pytest.mark.parametrize("private", [False, True], ids=["platform", "trust file"])
def test_an_anonymous_server_is_refused(world: World, mode: Any, private: bool) -> None:
    trust = kit.anchors(world.root) if private else None
    context = _careless(world.context(mode=mode, trust=trust), ANONYMOUS)
    with pytest.raises(PinMismatchError, match="no verified chain"):
        Wire(context, _without_certificate(ANONYMOUS)).shake()


def test_an_anonymous_server_is_refused_for_a_host_without_pins(world: World) -> None:
    context = _careless(PinnedSSLContext(world.pins(), strict=False), ANONYMOUS)
    with pytest.raises(PinError, match="no certificate"):
        Wire(context, _without_certificate(ANONYMOUS), "unpinned.test").shake()


def test_a_pre_shared_key_cannot_be_set(world: World) -> None:
    context = PinnedSSLContext(world.pins())
    with pytest.raises(ConfigError, match="pre-shared key shows no chain"):
        context.set_psk_client_callback(lambda _: ("client", b"a shared secret"))
    context.set_psk_client_callback(None)


@pytest.mark.since_python("3.13")
@pytest.mark.parametrize("host", [HOST, "unpinned.test"])
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_with_a_pre_shared_key_is_refused(
    world: World, host: str, newest: ssl.TLSVersion
) -> None:
    client: Any = PinnedSSLContext(world.pins(), strict=False)
    server: Any = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Set past certpin's method, which refuses.
    plain: Any = ssl.SSLContext
    plain.set_psk_client_callback(client, lambda _: ("client", b"a shared secret"))
    server.set_psk_server_callback(lambda _: b"a shared secret")
    for context in (client, server):
        context.maximum_version = newest
        context.set_ciphers(PRE_SHARED)
    with pytest.raises(PinError) as refusal:
        Wire(client, server, host).shake()
    assert refusal.value.host == host


@MODES
@pytest.mark.parametrize("chain", [None, Chain(())], ids=["none", "empty"])
def test_without_a_chain_the_verdict_is_refused(
    world: World, mode: Any, chain: Chain | None
) -> None:
    verdict = verify(chain, world.policy(mode=mode), datetime.now(UTC))
    assert (verdict.decision, verdict.reason) == ("refuse", "no-chain")
