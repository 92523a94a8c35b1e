"""Check how the issuer of a reported chain is classified.

Signatures decide; a name that no signature confirms is only a claim.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab import Authority
from certpin.x509 import chain
from certpin_watch import chain_check
from certpin_watch.chain_check import issuer_of
from certpin_watch.web.chain_issuer import issuer_sentences, issuer_title

if TYPE_CHECKING:
    from certpin.lab import Identity

NOW = datetime(2026, 11, 25, tzinfo=UTC)
HOST = "api.bank.example"


def ders(identity: Identity) -> tuple[bytes, ...]:
    """Return the DER certificates of the chain that a server with this identity sends."""
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in identity.chain)


@pytest.fixture
def ours() -> Authority:
    """Return the intermediate authority that issued the chains which the monitor got from the
    servers.
    """
    return Authority("Ours Root", now=NOW).intermediate("Ours CA")


def path(authority: Authority) -> tuple[bytes, ...]:
    """Issue a certificate, and return its DER chain up to the root, as the monitor verifies it."""
    assert authority.issuer
    return (*ders(authority.issue(HOST)), authority.issuer.certificate.der)


def test_a_chain_of_the_usual_issuer_is_not_pinned(ours: Authority) -> None:
    found = issuer_of(ders(ours.issue(HOST)), path(ours), verdict="issued")
    assert (found.kind, found.name) == ("usual", "Ours CA")
    assert "may be an attack" in issuer_sentences(found, "issued")[1]
    assert issuer_of(ders(ours.issue(HOST)), path(ours), verdict="accepted").kind == "pinned"


def test_an_issuer_of_the_same_name_with_another_key_is_another_issuer(ours: Authority) -> None:
    forged = Authority("Ours Root", now=NOW).intermediate("Ours CA")
    assert issuer_of(ders(forged.issue(HOST)), path(ours)).kind == "private"


def test_an_issuer_name_with_an_invalid_signature_is_reported_as_forged(ours: Authority) -> None:
    forged = Authority("Ours Root", now=NOW).intermediate("Ours CA")
    leaf = ders(forged.issue(HOST))[0]
    found = issuer_of((leaf, ours.certificate.der), path(ours))
    assert found.kind != "usual"
    assert issuer_sentences(found, "unknown")[0].startswith("FORGED: ")


def test_another_issuer_below_a_root_of_the_pin_file_is_trusted(ours: Authority) -> None:
    assert ours.issuer
    other = ours.issuer.intermediate("Other CA")
    anchors = (ours.issuer.certificate.der,)
    assert issuer_of(ders(other.issue(HOST)), path(ours), anchors).kind == "trusted"


def test_an_issuer_below_a_root_of_this_machine_is_public(
    ours: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = Authority("Public Root", now=NOW)
    monkeypatch.setattr(chain_check, "public_roots", lambda: (public.certificate.der,))
    found = issuer_of(ders(public.intermediate("Public CA").issue(HOST)), path(ours))
    assert found.kind == "public"


@pytest.mark.parametrize(
    ("name", "kind", "product"),
    [("Zscaler Intermediate Root CA", "inspection", "Zscaler"),
     ("FortiGate CA", "inspection", "Fortinet"), ("mitmproxy", "debugging", "mitmproxy"),
     ("Charles Proxy CA (8 Aug)", "debugging", "Charles"),
     ("DO_NOT_TRUST_FiddlerRoot", "debugging", "Fiddler")],
)  # fmt: skip
def test_the_name_of_a_product_is_only_a_claim(name: str, kind: str, product: str) -> None:
    found = issuer_of(ders(Authority(name, now=NOW).issue(HOST)))
    assert found.kind == kind
    assert product in issuer_title(found)
    assert "only a claim of the certificate" in issuer_sentences(found, "unknown")[0]


def test_a_public_authority_with_the_name_of_a_proxy_is_public(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    public = Authority("Zscaler Public Root", now=NOW)
    monkeypatch.setattr(chain_check, "public_roots", lambda: (public.certificate.der,))
    assert issuer_of(ders(public.issue(HOST))).kind == "public"


def test_self_signed_missing_and_unreadable_chains_are_distinguished() -> None:
    self_signed = Authority(HOST, now=NOW)
    assert issuer_of((self_signed.certificate.der,)).kind == "self-signed"
    none = issuer_of(())
    assert (none.kind, issuer_title(none)) == ("none", "No chain was reported")
    assert issuer_sentences(none, "unknown") == ("The reports contained no certificates.",)
    assert issuer_of((b"junk",)).name == "(unreadable)"


def test_the_roots_of_this_machine_are_readable() -> None:
    assert all(isinstance(root, bytes) for root in chain.public_roots())
