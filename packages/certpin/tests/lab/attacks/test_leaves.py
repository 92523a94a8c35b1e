"""Cases with rare certificates, similar pins or chains of odd sizes serve what they declare."""

from __future__ import annotations

import base64
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from certpin.lab import pki
from certpin.lab.authority import Authority, new_key
from certpin.lab.case import CannotServeError
from certpin.lab.forge import large_rsa_key
from certpin.lab.lab import Lab
from certpin.lab.pki import Authorities, Style, TestPKI, imitable_key, similar_key
from certpin.lab.runner import prove
from certpin.lab.verdict import Verdict
from certpin.x509 import Certificate
from certpin.x509.openssl import verified_chain
from tests.lab._clients import BY_NAME, right_client, trusting
from tests.lab.attacks._calls import ask, check_pin, connected, results, wrong
from tests.lab.attacks._forged import HOST, Forged, verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.target import Target

pytestmark = pytest.mark.medium

_ROGUE = (
    *("rogue-ed25519", "rogue-p384", "rogue-p521", "rogue-rsa-pss", "rogue-rsa-8192"),
    *("rogue-empty-subject", "rogue-no-common-name", "rogue-many-names", "rogue-odd-extensions"),
    *("rogue-version-1", "rogue-authority-as-server", "rogue-chain-as-long", "rogue-chain-longer"),
    *("second-host-key", "similar-pin", "exhausting-name-constraints"),
    *("same-issuer-and-serial", "rogue-wildcard", "rogue-without-purposes"),
    "rogue-root-same-name",
)


def _pins(forged: Forged) -> set[str]:
    return {pin for certificate in forged.step.chain for pin in (_pin(certificate),)}


def _pin(der: bytes) -> str:
    return "sha256/" + base64.b64encode(Certificate.from_der(der).spki_sha256).decode()


@pytest.mark.parametrize("style", [Style.LEAF, Style.CA])
@pytest.mark.parametrize("name", _ROGUE)
def test_no_key_of_the_chain_is_pinned(name: str, style: Style) -> None:
    forged = Forged(name, style=style)
    assert forged.pki.pins is not None
    policy = forged.pki.pins.policy_for(HOST)
    assert policy is not None
    assert not _pins(forged) & {str(pin) for pin in policy.live_pins}


def test_the_keys_are_of_the_declared_kinds() -> None:
    def key(name: str) -> object:
        return Forged(name).leaf.public_key()

    assert isinstance(key("rogue-ed25519"), ed25519.Ed25519PublicKey)
    for name, bits in (("rogue-p384", 384), ("rogue-p521", 521)):
        found = key(name)
        assert isinstance(found, ec.EllipticCurvePublicKey)
        assert found.key_size == bits
    large = key("rogue-rsa-8192")
    assert isinstance(large, rsa.RSAPublicKey)
    assert large.key_size == 8192
    assert large == large_rsa_key().public_key()
    assert (
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"
        in Forged("rogue-rsa-pss").leaf.tbs_certificate_bytes
    )


def test_the_certificates_have_the_declared_form() -> None:
    assert list(Forged("rogue-empty-subject").leaf.subject) == []
    san = x509.SubjectAlternativeName
    assert Forged("rogue-empty-subject").leaf.extensions.get_extension_for_class(san).critical
    assert "CN=" not in Forged("rogue-no-common-name").leaf.subject.rfc4514_string()
    assert Forged("rogue-version-1").leaf.version is x509.Version.v1
    assert len(Forged("rogue-many-names").dns_names) == 2001
    basic = Forged("rogue-authority-as-server").leaf.extensions
    assert basic.get_extension_for_class(x509.BasicConstraints).value.ca
    odd = Forged("rogue-odd-extensions").leaf.extensions.get_extension_for_class(san).value
    assert odd.get_values_for_type(x509.DNSName) == [HOST]
    assert len(list(odd)) == 6


def _has_purposes(leaf: x509.Certificate) -> bool:
    return any(isinstance(each.value, x509.ExtendedKeyUsage) for each in leaf.extensions)


def test_ordinary_fields_have_the_declared_form() -> None:
    wildcard = Forged("rogue-wildcard")
    assert wildcard.dns_names == ["*.bank.example"]
    assert isinstance(wildcard.leaf.signature_hash_algorithm, hashes.SHA384)
    far = Forged("rogue-without-purposes").leaf
    assert not _has_purposes(far)
    assert far.not_valid_after_utc.year >= 2050
    same = Forged("same-issuer-and-serial")
    real = same.pki.leaf.chain[0]
    assert (same.leaf.issuer, same.leaf.serial_number) == (real.issuer, real.serial_number)
    # The forged certificates of other cases have none of these fields.
    usual = Forged("rogue-ca-in-store").leaf
    assert isinstance(usual.signature_hash_algorithm, hashes.SHA256)
    assert _has_purposes(usual)
    assert usual.not_valid_after_utc.year < 2050
    assert usual.serial_number != real.serial_number


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("host", [HOST, "192.0.2.1", "shop.example"])
def test_only_pins_refuse_certificates_with_ordinary_fields(host: str) -> None:
    for name in ("rogue-wildcard", "rogue-without-purposes", "same-issuer-and-serial"):
        forged = Forged(name, host)
        assert verify([*forged.chain, forged.pki.rogue.x509], forged.pki, name=host) != ""
        forged.pki.root = forged.pki.rogue
        assert forged.openssl() == ""
        assert name != "rogue-wildcard" or any("*" in each for each in forged.dns_names)


# Each hole of a client depends on one field, and the cases combine fields.
_EXCEPTIONS: dict[str, tuple[str, Callable[[x509.Certificate, x509.Certificate], bool]]] = {
    "the serial number": (
        "same-issuer-and-serial",
        lambda leaf, pinned: leaf.serial_number == pinned.serial_number,
    ),
    "issuer and serial number": (
        "same-issuer-and-serial",
        lambda leaf, pinned: (
            (leaf.issuer, leaf.serial_number) == (pinned.issuer, pinned.serial_number)
        ),
    ),
    "a wildcard": ("rogue-wildcard", lambda leaf, _: b"*." in leaf.tbs_certificate_bytes),
    "SHA-384": (
        "rogue-wildcard",
        lambda leaf, _: not isinstance(leaf.signature_hash_algorithm, hashes.SHA256),
    ),
    "no purposes": ("rogue-without-purposes", lambda leaf, _: not _has_purposes(leaf)),
    "a late date": (
        "rogue-without-purposes",
        lambda leaf, _: leaf.not_valid_after_utc.year >= 2050,
    ),
}


@pytest.mark.parametrize("field", _EXCEPTIONS)
def test_a_client_with_an_exception_for_one_field_is_found(field: str) -> None:
    case, excepts = _EXCEPTIONS[field]

    def client(target: Target) -> str:
        pinned = x509.load_pem_x509_certificate(target.certificate.read_bytes())
        with connected(target, trusting(target)) as tls:
            leaf = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
            if not excepts(leaf, pinned):
                check_pin(tls, target.pin)
            return ask(tls, target.host, target.canary)

    others = {"rogue-wildcard", "rogue-without-purposes", "same-issuer-and-serial"} - {case}
    found = results(client, Style.LEAF, case, "rogue-ca-in-store", *others)
    assert wrong(found) == {case: "ACCEPT"}


def test_the_root_of_the_same_name_has_another_key_and_no_other_identifier() -> None:
    forged = Forged("rogue-root-same-name")
    case, real = BY_NAME["rogue-root-same-name"], forged.pki.root
    assert case.anchors is not None
    (root,) = case.anchors(forged.pki)
    assert root.subject == root.x509.subject == root.x509.issuer == real.subject
    assert _identifier(root.x509) == _identifier(real.x509)
    assert root.pin != real.pin
    assert root.x509.serial_number != real.x509.serial_number
    (leaf,) = forged.chain
    leaf.verify_directly_issued_by(root.x509)
    named = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert named.key_identifier == _identifier(real.x509)
    assert named.authority_cert_serial_number == root.x509.serial_number


def _identifier(certificate: x509.Certificate) -> bytes:
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


@pytest.mark.peer("openssl")
def test_openssl_finds_the_root_of_the_same_name_in_any_order() -> None:
    forged = Forged("rogue-root-same-name")
    case, real = BY_NAME["rogue-root-same-name"], forged.pki.root
    assert case.anchors is not None
    (root,) = case.anchors(forged.pki)
    for store in (root.pem + real.pem, real.pem + root.pem):
        assert verify(forged.chain, forged.pki, name=HOST, trusted=store) == ""
    assert verify(forged.chain, forged.pki, name=HOST) != "", "without the other root"


@pytest.mark.parametrize("field", ["name", "key identifier"])
def test_a_client_that_recognises_the_root_by_another_field_is_found(field: str) -> None:
    def known(certificate: x509.Certificate) -> object:
        return certificate.subject if field == "name" else _identifier(certificate)

    def client(target: Target) -> str:
        # The last root of the store is R2, and the one before it is R.
        *_, root, _ = x509.load_pem_x509_certificates(target.ca.read_bytes())
        with connected(target, trusting(target)) as tls:
            connection: Any = tls
            path = map(x509.load_der_x509_certificate, verified_chain(connection._sslobj))
            if known([*path][-1]) != known(root):
                raise ssl.SSLError("not the pinned root")
            return ask(tls, target.host, target.canary)

    names = ["rogue-root-same-name", "rogue-ca-in-store", "fake-ca-same-name"]
    assert wrong(results(client, Style.CA, *names)) == {"rogue-root-same-name": "ACCEPT"}


def test_the_issuer_of_a_real_server_must_be_known() -> None:
    class Alone(TestPKI):
        @property
        def real_chain(self) -> tuple[x509.Certificate, ...]:
            return self.leaf.chain[:1]

    pki = Alone(Authorities(datetime.now(UTC)), HOST, "cdn.bank.example", Style.LEAF)
    with pytest.raises(CannotServeError, match="no certificate of its issuer"):
        BY_NAME["same-issuer-and-serial"].scenario(pki)


@pytest.mark.parametrize(
    ("name", "count"),
    [("rogue-chain-as-long", 2), ("rogue-chain-longer", 4), ("rot-shorter-chain", 1)],
)
def test_the_chain_has_the_declared_length(name: str, count: int) -> None:
    assert len(Forged(name).chain) == count


@pytest.mark.peer("openssl")
def test_the_shorter_chain_is_honest() -> None:
    forged = Forged("rot-shorter-chain")
    assert forged.openssl() == ""
    assert forged.has_the_pinned_key


@pytest.mark.parametrize("make", [imitable_key, new_key])
def test_a_similar_pin_shares_three_characters(
    make: Callable[[], ec.EllipticCurvePrivateKey],
) -> None:
    rogue = Authority("Rogue")
    wanted = rogue.issue(HOST, key=make()).pin
    found = rogue.issue(HOST, key=similar_key(wanted.digest)).pin
    assert str(found)[:10] == str(wanted)[:10]
    assert found != wanted


@pytest.mark.parametrize("style", [Style.LEAF, Style.CA])
def test_the_first_pin_of_a_client_is_imitated_without_work(
    style: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    imitable_key()  # makes the keys that are tried before there is a pin
    monkeypatch.setattr(pki, "_tried", lambda _: iter(()))
    forged = Forged("similar-pin", style=style)
    assert forged.pki.pins is not None
    assert _pin(forged.step.chain[0])[:10] == str(forged.pki.pins.policies[0].pins[0].pin)[:10]


def test_the_second_hosts_key_is_pinned_for_that_host_only() -> None:
    forged = Forged("second-host-key")
    assert forged.pki.pins is not None
    second = forged.pki.pins.policy_for(forged.pki.second)
    assert second is not None
    assert _pin(forged.step.chain[0]) in {str(pin) for pin in second.live_pins}


@pytest.mark.peer("openssl")
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("name-constraints-widened", "permitted subtree violation"),
        ("extended-key-usage-empty", "purpose"),
        ("cn-beside-other-san", "hostname mismatch"),
        ("wrong-host-public-suffix", "hostname mismatch"),
    ],
)
def test_openssl_refuses_for_the_declared_reason_only(name: str, problem: str) -> None:
    forged = Forged(name)
    assert problem in forged.openssl()
    assert forged.has_the_pinned_key
    right = forged.pki.intermediate.issue(forged.pki.host, key=forged.pki.leaf.key)
    assert verify(list(right.chain), forged.pki, name=forged.pki.host) == ""


def test_the_exhausting_chains_are_as_large_as_declared() -> None:
    names = Forged("exhausting-names")
    assert len(names.dns_names) == 10_001
    assert len(names.step.chain[0]) > 100 * 1024
    product = Forged("exhausting-name-constraints")
    limits = product.chain[1].extensions.get_extension_for_class(x509.NameConstraints).value
    compared = len(limits.excluded_subtrees or ()) * len(product.dns_names)
    assert 1_000_000 < compared < 2**20
    assert sum(map(len, product.step.chain)) < 100 * 1024


def test_a_client_that_reads_larger_chains_gets_all_of_it() -> None:
    """The lab sends the chain; this client's TLS library ends the handshake because of its size."""
    with Lab() as lab:
        run = prove(lab, right_client(Style.LEAF), [BY_NAME["exhausting-names"]])
    assert run.results[1].verdict is Verdict.REJECT
    (seen,) = run.results[1].attempts[0].connections
    assert (seen.secured, seen.alert) == (False, "illegal_parameter")


def test_version_1_has_only_a_common_name() -> None:
    for host in ("192.0.2.1", f"{'a' * 60}.example"):
        with pytest.raises(CannotServeError, match="can't be a common name"):
            Forged("rogue-version-1", host)
