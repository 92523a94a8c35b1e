"""Who issued a chain: signatures decide, and names are claims."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab import Authority
from certpin_watch.store.queries import chain_check, chains

if TYPE_CHECKING:
    from certpin.lab import Identity

NOW = datetime(2026, 11, 25, tzinfo=UTC)
HOST = "api.bank.example"


def ders(identity: Identity) -> tuple[bytes, ...]:
    """What a server sends."""
    return tuple(each.public_bytes(Encoding.DER) for each in identity.chain)


@pytest.fixture
def ours() -> Authority:
    """The authority that the monitor sees."""
    return Authority("Ours Root", now=NOW).intermediate("Ours CA")


def path(authority: Authority) -> tuple[bytes, ...]:
    """As the monitor verified it, with its root."""
    assert authority.issuer
    return (*ders(authority.issue(HOST)), authority.issuer.certificate.der)


def test_the_usual_issuer_makes_no_key_a_pinned_one(ours: Authority) -> None:
    found = chains.describe_issuer(ders(ours.issue(HOST)), path(ours), verdict="issued")
    assert (found.kind, found.name) == ("usual", "Ours CA")
    assert "may be an attack" in found.sentences[1]
    assert (
        chains.describe_issuer(ders(ours.issue(HOST)), path(ours), verdict="accepted").kind
        == "pinned"
    )


def test_the_same_name_with_another_key_is_not_the_same_issuer(ours: Authority) -> None:
    forged = Authority("Ours Root", now=NOW).intermediate("Ours CA")
    assert chains.describe_issuer(ders(forged.issue(HOST)), path(ours)).kind == "private"


def test_a_name_over_a_signature_that_does_not_hold_is_called_forged(ours: Authority) -> None:
    forged = Authority("Ours Root", now=NOW).intermediate("Ours CA")
    leaf = ders(forged.issue(HOST))[0]
    found = chains.describe_issuer((leaf, ours.certificate.der), path(ours))
    assert found.kind != "usual"
    assert found.sentences[0].startswith("FORGED")


def test_another_issuer_below_a_root_of_the_pin_file_is_trusted(ours: Authority) -> None:
    assert ours.issuer
    other = ours.issuer.intermediate("Other CA")
    anchors = (ours.issuer.certificate.der,)
    assert chains.describe_issuer(ders(other.issue(HOST)), path(ours), anchors).kind == "trusted"


def test_a_root_of_this_machine_makes_it_public(
    ours: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = Authority("Public Root", now=NOW)
    monkeypatch.setattr(chains, "public_roots", lambda: (public.certificate.der,))
    found = chains.describe_issuer(ders(public.intermediate("Public CA").issue(HOST)), path(ours))
    assert found.kind == "public"


@pytest.mark.parametrize(
    ("name", "kind", "product"),
    [("Zscaler Intermediate Root CA", "inspection", "Zscaler"),
     ("FortiGate CA", "inspection", "Fortinet"), ("mitmproxy", "debugging", "mitmproxy"),
     ("Charles Proxy CA (8 Aug)", "debugging", "Charles"),
     ("DO_NOT_TRUST_FiddlerRoot", "debugging", "Fiddler")],
)  # fmt: skip
def test_a_well_known_name_is_a_claim(name: str, kind: str, product: str) -> None:
    found = chains.describe_issuer(ders(Authority(name, now=NOW).issue(HOST)))
    assert found.kind == kind
    assert product in found.title
    assert "only a claim of the certificate" in found.sentences[0]


def test_a_public_authority_is_not_believed_to_be_a_proxy_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    public = Authority("Zscaler Public Root", now=NOW)
    monkeypatch.setattr(chains, "public_roots", lambda: (public.certificate.der,))
    assert chains.describe_issuer(ders(public.issue(HOST))).kind == "public"


def test_what_signed_itself_what_is_junk_and_what_is_missing_are_told_apart() -> None:
    alone = Authority(HOST, now=NOW)
    assert chains.describe_issuer((alone.certificate.der,)).kind == "self-signed"
    assert chains.describe_issuer(()).kind == "none"
    assert chains.describe_issuer((b"junk",)).name == "(unreadable)"


def test_the_roots_of_this_machine_can_be_read() -> None:
    assert all(isinstance(each, bytes) for each in chain_check.public_roots())
