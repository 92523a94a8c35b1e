"""The paths and flaws of a chain are found from its bytes, not from the name of the case."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from certpin.lab.authority import Authority
from certpin.lab.report.flaws import ChainContext, flaws
from certpin.lab.report.picture import Arrow, Box, lay_out
from certpin.lab.scenario import ServerStep
from certpin.x509.chain import Signature, chain_paths, platform_roots
from tests.lab.report import _runs

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab.authority import Change, Identity

PKI = _runs.pki()
PINS = PKI.pins
assert PINS is not None
SCENE = ChainContext(
    _runs.HOST, _runs.about().trusted, PINS.policies[0].pins, _runs.NOW, str(PKI.leaf.pin)
)


def _der(identity: Identity, *appended: x509.Certificate) -> tuple[bytes, ...]:
    return ServerStep.of(identity, *appended).chain


def _found(chain: tuple[bytes, ...], **fields: object) -> set[str]:
    """Return every flaw of the certificates on the path that begins at the leaf.

    ``fields`` override fields of the context, such as the trusted roots.
    """
    scene = replace(SCENE, leaf_key="", **fields)  # type: ignore[arg-type]
    path = chain_paths(chain, scene.trusted)[0]
    return {flaw for index in range(len(path.certificates)) for flaw in flaws(scene, path, index)}


def test_the_honest_chain_leads_to_the_trusted_root_and_has_no_flaw() -> None:
    (path,) = chain_paths(_der(PKI.leaf), SCENE.trusted)
    links = [place.above for place in path.certificates]
    assert links == [Signature.GOOD, Signature.GOOD, Signature.ITSELF]
    assert [place.trusted for place in path.certificates] == [False, False, True]
    assert [place.sent for place in path.certificates] == [True, True, False]
    assert [SCENE.pinned_role(place.facts) for place in path.certificates] == ["leaf", "", ""]
    assert path.trusted
    assert not [flaws(SCENE, path, n) for n in range(3) if flaws(SCENE, path, n)]


def test_a_new_key_of_a_root_that_the_old_one_signed_leads_to_the_old_root() -> None:
    old = Authority("Root")
    new = Authority("Root", issuer=old)
    (path,) = chain_paths(_der(new.issue(_runs.HOST)), (old.certificate.der,))
    links = [place.above for place in path.certificates]
    assert links == [Signature.GOOD, Signature.GOOD, Signature.ITSELF]
    assert path.trusted


def test_untrusted_authority_is_drawn_as_missing() -> None:
    chain = _der(PKI.untrusted.issue(_runs.HOST))
    assert "its issuer is not trusted" in _found(chain)
    boxes = [part for part in lay_out(chain, SCENE).parts if isinstance(part, Box)]
    assert [box.kind for box in boxes] == ["absent", "flawed"]


def test_right_issuer_name_with_a_wrong_key() -> None:
    fake = Authority("x", now=_runs.NOW)
    fake.subject = PKI.intermediate.subject
    chain = (*_der(fake.issue(_runs.HOST))[:1], *_der(PKI.leaf)[1:])
    path = chain_paths(chain, SCENE.trusted)[0]
    assert path.certificates[0].above is Signature.BAD
    assert not path.trusted
    assert "the authority that it names did not sign it" in _found(chain)
    arrows = [part for part in lay_out(chain, SCENE).parts if isinstance(part, Arrow)]
    assert [arrow.kind for arrow in arrows] == ["good", "bad"]


def test_extra_pinned_leaf_is_not_on_the_path() -> None:
    chain = _der(PKI.attacker_chain, *PKI.real_chain[:1])
    path, other = chain_paths(chain, SCENE.trusted)
    assert "no key from here up is pinned" in _found(chain)
    assert (path.on_path, other.on_path) == (True, False)
    assert SCENE.pinned_role(other.certificates[0].facts) == "leaf"
    assert "Sent along" in lay_out(chain, SCENE).words


def test_pin_above_an_invalid_signature_does_not_count() -> None:
    scene_pins = (replace(SCENE.pins[0], pin=PKI.intermediate.pin, role="intermediate"),)
    fake = Authority("x", now=_runs.NOW)
    fake.subject = PKI.intermediate.subject
    chain = (*_der(fake.issue(_runs.HOST))[:1], *_der(PKI.leaf)[1:])
    assert "no key from here up is pinned" in _found(chain, pins=scene_pins)
    assert "no key from here up is pinned" not in _found(_der(PKI.leaf), pins=scene_pins)


def test_a_server_that_signs_with_another_key() -> None:
    stolen = replace(SCENE, leaf_key=str(PKI.backup.pin))
    path = chain_paths(_der(PKI.leaf), stolen.trusted)[0]
    assert flaws(stolen, path, 0) == (
        "the server does not have its key: it signed with another one",
    )


def test_self_signed_certificate() -> None:
    alone = Authority(_runs.HOST, now=_runs.NOW)
    assert "it is self-signed and not trusted" in _found((alone.certificate.der,))


@pytest.mark.parametrize("days", [-400, 400])
def test_dates(days: int) -> None:
    found = _found(_der(PKI.leaf), now=_runs.later(days))
    assert any("expired on" in flaw or "not valid before" in flaw for flaw in found)


def test_another_name() -> None:
    assert _found(_der(PKI.leaf), host="evil.example") == {"it is not for evil.example"}


def _without_authority(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    kept = [
        extension
        for extension in builder._extensions
        if not isinstance(extension.value, x509.BasicConstraints)
    ]
    builder._extensions = kept
    return builder


def _constrained(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    limits = x509.NameConstraints([x509.DNSName("other.example")], None)
    return builder.add_extension(limits, critical=True)


def _for_mail(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    return builder.add_extension(uses, critical=False)


def _critical(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    oid = x509.ObjectIdentifier("1.3.6.1.4.1.55555.1")
    return builder.add_extension(x509.UnrecognizedExtension(oid, b"\5\0"), critical=True)


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        (_without_authority, "it is not an authority, and must not sign certificates"),
        (_constrained, f"it may not sign for {_runs.HOST}"),
        (_for_mail, "it is not meant for servers"),
        (_critical, "it has an unknown critical extension"),
    ],
)
def test_intermediate_that_must_not_sign(change: Change, flaw: str) -> None:
    forged = PKI.root.intermediate("Forged", change=change)
    assert flaw in _found(_der(forged.issue(_runs.HOST)))


def test_certificates_that_sign_each_other_end() -> None:
    one, two = Authority("one", now=_runs.NOW), Authority("two", now=_runs.NOW)
    circle = (
        Authority("one", issuer=two, key=one.key).certificate.der,
        Authority("two", issuer=one, key=two.key).certificate.der,
    )
    path = chain_paths(circle, SCENE.trusted)[0]
    assert len(path.certificates) == 2
    assert not path.trusted


def test_an_unreadable_certificate_is_shown_by_its_digest() -> None:
    path, *_ = chain_paths((b"\x30\x03junk", *_der(PKI.leaf)), SCENE.trusted)
    assert path.certificates[0].facts.subject is None
    assert "it cannot be read" in flaws(SCENE, path, 0)
    assert "(unreadable)" in lay_out((b"junk",), SCENE).words


@pytest.mark.parametrize("name", ["x" * 64, "漢" * 21])  # about 64 bytes each
def test_a_long_name_is_cut_to_the_width_of_the_picture(name: str) -> None:
    long = Authority(name, now=_runs.NOW)
    for part in lay_out((long.certificate.der,), SCENE).parts:
        if isinstance(part, Box):
            assert all(len(line.text) <= 52 for line in part.lines)  # a pin has 51
            assert sum(line.kind == "name" for line in part.lines) <= 2


def test_boxes_and_arrows_do_not_overlap() -> None:
    parts = lay_out(_der(PKI.attacker_chain, *PKI.real_chain), SCENE).parts
    ends = [(part.top, part.top + part.height) for part in parts if isinstance(part, Box)]
    arrows = [(part.top, part.bottom) for part in parts if isinstance(part, Arrow)]
    spans = sorted(ends + arrows)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


@given(st.integers(0, 2000), st.binary(min_size=1, max_size=8), st.booleans())
def test_no_broken_certificate_stops_a_report(at: int, junk: bytes, grow: bool) -> None:
    good = _der(PKI.leaf)
    for index, der in enumerate(good):
        place = at % len(der)
        broken = der[:place] + junk + der[place + (0 if grow else len(junk)) :]
        chain = (*good[:index], broken, *good[index + 1 :])
        assert lay_out(chain, SCENE).words


def test_the_roots_of_this_machine_are_found(trusted_root: Path) -> None:
    assert platform_roots() == trusted_root.read_bytes()
