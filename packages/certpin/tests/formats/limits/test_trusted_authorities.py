"""The certificates in ``trust`` show which pins are of authorities, whatever their role says."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519

from certpin.errors import ConfigError
from certpin.formats import FORMATS, limits
from certpin.formats.flutter import FLUTTER
from certpin.formats.projection import project
from certpin.lab import Authority
from certpin.pins import HostPattern, HostPin, HostPolicy, TrustAnchors
from tests.formats._sets import KEYS, authorities, compromised
from tests.kit import anchors, pin_set

if TYPE_CHECKING:
    from typing import Any

    from certpin.formats.projection import Limitation

HOST = "api.bank.example"
ONE, TWO = authorities()


def policy(*pins: HostPin, **fields: Any) -> HostPolicy:
    return HostPolicy(HostPattern.parse(HOST), pins, **fields)


def one(limit: Limitation, only: HostPolicy) -> tuple[HostPolicy, list[str]]:
    """Reduce one policy with a limitation; return it with the text of each omission."""
    pins, omissions = project(pin_set(only), [limit])
    [left] = pins.policies
    return left, [omission.problem for omission in omissions]


@pytest.mark.parametrize("role", ["leaf", "backup", "root"])
@pytest.mark.parametrize("limit", [limits.LeafOnly("why"), limits.LeafOrAnchors("why")])
def test_the_pin_of_an_authority_in_trust_is_no_pin_for_leaves(
    limit: Limitation, role: Any
) -> None:
    both = anchors(ONE, TWO)
    pins = (HostPin(ONE.pin, role), HostPin(KEYS[0]), HostPin(KEYS[1]))
    left, [text] = one(limit, policy(*pins, trust=both))
    assert [entry.pin for entry in left.pins] == [KEYS[0], KEYS[1]]
    label = "root" if role == "root" else "an authority of trust"
    assert text == f'match = "any" becomes "leaf", and {ONE.pin} ({label}) is left out: why'


def test_an_export_of_authorities_without_roles_is_refused() -> None:
    """The intermediate isn't in ``trust``, so one pin is left, with which Dart refuses all."""
    intermediate = ONE.intermediate("Intermediate")
    pins = (HostPin(ONE.pin), HostPin(intermediate.pin))
    for trust, said in (
        (anchors(ONE, TWO), "only one pin that can match a leaf"),
        (anchors(ONE, TWO, intermediate), "none of its pins can match a leaf"),
    ):
        with pytest.raises(ConfigError, match=said):
            FLUTTER.export(pin_set(policy(*pins, trust=trust)))


def test_a_self_signed_server_in_trust_may_be_pinned_as_a_leaf() -> None:
    """Its certificate may issue others, as those of ``openssl req -x509``, but has host names."""
    servers = [_self_signed(), _self_signed()]
    pins = [HostPin(servers[0].pin), HostPin(KEYS[0], "backup")]
    left, _ = one(limits.LeafOrAnchors("why"), policy(*pins, trust=anchors(*servers)))
    assert left.pins == tuple(pins)


def _self_signed(key: Any = None) -> Authority:
    from cryptography import x509

    names = x509.SubjectAlternativeName([x509.DNSName(HOST)])
    return Authority(
        "Server", key=key, change=lambda builder: builder.add_extension(names, critical=False)
    )


@pytest.mark.parametrize("role", ["leaf", "root"])
def test_a_compromised_anchor_is_not_exported(role: Any) -> None:
    keys = policy(HostPin(KEYS[0]), HostPin(KEYS[1]), match="leaf", trust=anchors(ONE, TWO))
    hurt = replace(keys, pins=(*keys.pins, HostPin(ONE.pin, role, "compromised")))
    export = FLUTTER.export(pin_set(hurt))
    [exported] = export.pins.policies
    assert exported.trust == anchors(TWO)
    words = [omission.problem for omission in export.omissions]
    assert words[0].startswith(f"CN=One in '{hurt.trust.source}' is compromised, and is left out: ")  # type: ignore[union-attr]


def test_an_export_is_refused_if_each_anchor_is_compromised() -> None:
    trust = TrustAnchors(anchors(ONE).der, "root.pem")
    keys = policy(HostPin(KEYS[0]), HostPin(KEYS[1]), match="leaf", trust=trust)
    stolen = compromised(keys, ONE.pin)
    with pytest.raises(ConfigError, match=r"each certificate in 'root\.pem' is comprom") as found:
        FLUTTER.export(pin_set(stolen))
    assert found.value.fix == "add the certificate of another authority to the file of `trust`"


def test_a_compromised_anchor_stays_in_report_mode() -> None:
    """Clients accept and report its chains there, as Python does; Dart can't report them."""
    trust = anchors(ONE, TWO)
    keys = policy(HostPin(KEYS[0]), HostPin(KEYS[1]), match="leaf", mode="report", trust=trust)
    export = FLUTTER.export(pin_set(compromised(keys, ONE.pin)))
    assert export.pins.policies[0].trust == trust
    [omission] = export.omissions
    assert f"{ONE.pin} (an authority of trust) is compromised" in omission.problem


def test_an_authority_with_a_key_that_dart_cannot_use_is_reported() -> None:
    unusable = Authority("Unusable", key=ed448.Ed448PrivateKey.generate())
    keys = policy(HostPin(KEYS[0]), HostPin(KEYS[1]), match="leaf", trust=anchors(ONE, unusable))
    left, words = one(limits.DartKeys("why"), keys)
    assert (left, words) == (keys, ["every chain to CN=Unusable (Ed448) is refused: why"])
    said = re.escape("no chain to CN=Unusable (Ed448) would be accepted; why")
    with pytest.raises(ConfigError, match=said):
        one(limits.DartKeys("why"), replace(keys, trust=anchors(unusable)))


def test_a_server_needs_a_key_of_fewer_types_than_an_authority() -> None:
    for key in (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP521R1())):
        root, server = Authority("Root", key=key), _self_signed(key)
        keys = policy(HostPin(KEYS[0]), HostPin(KEYS[1]), match="leaf", trust=anchors(root))
        assert one(limits.DartKeys("why"), keys) == (keys, [])
        with pytest.raises(ConfigError, match="would be accepted"):
            one(limits.DartKeys("why"), replace(keys, trust=anchors(server)))


@pytest.mark.parametrize("name", ["flutter", "flutter-pins"])
def test_the_types_of_keys_are_a_limitation_of_flutter(name: str) -> None:
    assert limits.DartKeys in map(type, FORMATS[name].limits)
