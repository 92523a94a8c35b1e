"""Generated chains: the seed fixes them, mutations follow the grammar, unmutated ones are valid."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import example, given, settings
from hypothesis import strategies as st

from certpin.errors import ConfigError
from certpin.lab.fuzz import grammar
from certpin.lab.fuzz.certificate import (
    EXTENSIONS,
    KEY_KINDS,
    encode_certificate,
    key_identifier,
    private_key,
    public_info,
)
from certpin.lab.fuzz.chains import Corpus, Dice, Recipe
from certpin.lab.fuzz.grammar import CHAIN, EXTENSION_VALUES, FIELDS, ODDITIES, Mutation
from certpin.lab.fuzz.peers import CertpinPeer, CryptographyPeer, OpenSSLPeer, Peer
from certpin.lab.server.tls import Contexts

HOST = "api.bank.example"
CORPUS = Corpus(1, HOST)
PARSED = x509.load_der_x509_certificate

seeds = st.integers(0, 2**64)
numbers = st.integers(0, 10**6)


@pytest.mark.medium
@settings(deadline=None, max_examples=30)
@given(seeds, numbers)
@example(212, 429)  # a name that is no UTF-8, and then BMPString
def test_equal_seeds_give_equal_chains(seed: int, number: int) -> None:
    one, other = Corpus(seed, HOST), Corpus(seed, HOST)
    recipe = one.recipe(number)
    assert recipe == other.recipe(number)
    chain = one.build(recipe)
    for remembered in (private_key, public_info, key_identifier, encode_certificate):
        remembered.cache_clear()
    assert other.build(recipe) == chain


def test_the_chains_are_the_same_on_every_python() -> None:
    digest = hashlib.sha256()
    for number in range(100):
        chain = CORPUS.build(CORPUS.recipe(number))
        digest.update(str(chain.recipe).encode() + b"".join(chain.own.chain) + chain.own.key_pem)
    # A change of the grammar or the corpus changes it, and is listed in the changelog.
    assert digest.hexdigest() == "7ba8cf521e3cda67370c95b688c24616093318965dfc79186eb19354f16cb67f"


@settings(deadline=None, max_examples=30)
@given(seeds, numbers)
def test_seeds_and_numbers_give_different_chains(seed: int, number: int) -> None:
    chain = CORPUS.build(Recipe("one")).own.chain
    assert Corpus(seed + 2, HOST).build(Recipe("one")).own.chain != chain
    drawn = {str(CORPUS.recipe(number + step)) for step in range(10)}
    assert len(drawn) > 5


@pytest.mark.medium
@settings(deadline=None, max_examples=100)
@given(seeds, numbers)
def test_no_two_mutations_change_the_same_field(seed: int, number: int) -> None:
    mutations = Corpus(seed, HOST).recipe(number).mutations
    assert 1 <= len(mutations) <= 4
    assert len({(each.certificate, each.field) for each in mutations}) == len(mutations)


def _single_mutations() -> list[Mutation]:
    values = {**FIELDS, **EXTENSION_VALUES}
    found = [Mutation(1, field, "set", value) for field in values for value in values[field]]
    found += [Mutation(1, field, "encode", odd) for field in grammar.ENCODED for odd in ODDITIES]
    for field in EXTENSIONS:
        found += [Mutation(1, field, "encode", oddity) for oddity in ODDITIES]
        found += [Mutation(1, field, "flag", flag) for flag in grammar.FLAGS]
        found += [Mutation(1, field, "take", donor) for donor in CORPUS.donors]
        found += [Mutation(1, field, each) for each in ("remove", "repeat")]
    for field in ("serial", "issuer", "subject"):
        found += [Mutation(1, field, "take", donor) for donor in CORPUS.donors]
    for field in ("repeat", "drop", "swap", "append-root"):
        found.append(Mutation(CHAIN, field, "set"))
    return found + [Mutation(CHAIN, "insert", "set", donor) for donor in CORPUS.donors]


@pytest.mark.medium
def test_every_mutation_changes_the_certificates_that_it_names_only() -> None:
    good = CORPUS.build(Recipe("policies")).own.chain
    changed = set()
    for mutation in _single_mutations():
        chain = CORPUS.build(Recipe("policies", (mutation,))).own.chain
        assert chain[0] == good[0] or mutation.field in {"name", "key"}, mutation
        assert mutation.certificate == CHAIN or chain[2:] == good[2:], mutation
        if chain != good:
            changed.add((mutation.field, mutation.operation))
    for field in (*FIELDS, *EXTENSIONS):
        assert (field, "set") in changed


@pytest.mark.parametrize("mutation", [Mutation(0, "serial", "set", "x"), Mutation(0, "x", "set")])
def test_a_mutation_that_is_not_in_the_grammar_is_an_error(mutation: Mutation) -> None:
    with pytest.raises(ValueError, match="no mutation of the grammar"):
        CORPUS.build(Recipe("one", (mutation,)))


def _peers() -> list[Peer]:
    contexts = Contexts()
    return [
        OpenSSLPeer(CORPUS.anchors, contexts),
        CertpinPeer(HOST, CORPUS.anchors, contexts),
        CryptographyPeer(CORPUS.anchors, datetime.now(UTC)),
    ]


@pytest.mark.parametrize("base", CORPUS.starts)
def test_every_verifier_accepts_the_chains_without_mutations(base: str) -> None:
    for peer in _peers():
        assert peer.judge(CORPUS.build(Recipe(base)).own).accepts, peer.name
        peer.close()


@pytest.mark.parametrize(
    "mutation",
    [
        Mutation(0, "not_after", "set", "past"),
        Mutation(1, "not_before", "set", "future"),
        Mutation(1, "basicConstraints", "set", "no-ca"),
        Mutation(1, "nameConstraints", "set", "permitted-other"),
        Mutation(0, "extKeyUsage", "set", "client"),
        Mutation(0, "subjectAltName", "set", "other-host"),
        Mutation(0, "signature", "set", "broken"),
        Mutation(1, "signature", "set", "another-key"),
        Mutation(1, "ctPoison", "set", "null"),
        Mutation(CHAIN, "drop", "set"),
        Mutation(0, "issuer", "encode", "cut"),
    ],
    ids=str,
)
def test_every_verifier_refuses_what_no_client_may_accept(mutation: Mutation) -> None:
    for peer in _peers():
        verdict = peer.judge(CORPUS.build(Recipe("one", (mutation,))).own)
        assert verdict.accepts is False, peer.name
        assert verdict.why, peer.name
        peer.close()


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_a_key_signs_what_it_issued(kind: str) -> None:
    mutations = (Mutation(1, "key", "set", kind),) if kind != "p256" else ()
    leaf, issuer = map(PARSED, CORPUS.build(Recipe("one", mutations)).own.chain)
    leaf.verify_directly_issued_by(issuer)


def test_a_name_changes_with_the_issuer_below_it() -> None:
    mutation = Mutation(1, "name", "set", "upper-case")
    leaf, issuer = map(PARSED, CORPUS.build(Recipe("one", (mutation,))).own.chain)
    assert leaf.issuer == issuer.subject
    assert issuer.subject.rfc4514_string().startswith("CN=INTERMEDIATE")


def test_a_field_is_taken_from_another_certificate() -> None:
    mutation = Mutation(0, "extKeyUsage", "take", "donor/0")
    leaf = PARSED(CORPUS.build(Recipe("one", (mutation,))).own.chain[0])
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_numbers_of_dice_are_in_range() -> None:
    dice = Dice("a")
    assert {dice.below(3) for _ in range(100)} == {0, 1, 2}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "bank.example"])
def test_a_host_without_a_domain_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="need a domain"):
        Corpus(1, host)
