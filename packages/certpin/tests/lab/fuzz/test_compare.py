"""Disagreements of verifiers are found and minimised, and correct verifiers have none."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.lab.fuzz.chains import Corpus, Recipe
from certpin.lab.fuzz.compare import (
    Disagreement,
    DisagreementClass,
    PeerAsClient,
    cases_of,
    compare,
    kind_of,
    minimise,
)
from certpin.lab.fuzz.grammar import Mutation
from certpin.lab.fuzz.peers import CryptographyPeer, OpenSSLPeer, PeerVerdict
from certpin.lab.own.reader import load_cases
from certpin.lab.own.writer import CASE_FILE, write_cases
from certpin.lab.server.tls import Contexts
from tests.lab.fuzz._verifier import NOW, PathCheck

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from certpin.lab.case import OwnChain
    from certpin.lab.fuzz.compare import FuzzRun
    from certpin.lab.fuzz.peers import Peer

CORPUS = Corpus(1, "api.bank.example")
CHAINS = 250
MUTATIONS = tuple(Mutation(0, f"field{number}", "set") for number in range(4))


class Remembering:
    """A verifier that caches its verdict on each chain, so that several runs can use it."""

    def __init__(self, peer: Peer) -> None:
        self.name, self.version = peer.name, peer.version
        self.judge: Callable[[OwnChain], PeerVerdict] = lru_cache(maxsize=None)(peer.judge)

    def close(self) -> None:
        """Do nothing: the cached verifier stays open."""


class Fixed:
    """A verifier that gets its verdict on a chain from a function, for tests of the comparison."""

    version = ""

    def __init__(self, name: str, verdict: Callable[[OwnChain], bool | None]) -> None:
        self.name = name
        self._verdict = verdict

    def judge(self, own: OwnChain) -> PeerVerdict:
        """Return the function's verdict on this chain."""
        return PeerVerdict(self._verdict(own), "why")

    def close(self) -> None:
        """Do nothing: the verifier holds no resources."""


GOOD = {CORPUS.build(Recipe(base)).own for base in CORPUS.starts}
PEERS = (
    Remembering(OpenSSLPeer(CORPUS.anchors, Contexts())),
    Remembering(CryptographyPeer(CORPUS.anchors, NOW)),
)


def run(client: Peer, *peers: Peer, count: int = CHAINS) -> FuzzRun:
    return compare(CORPUS, count, PeerAsClient(client), peers or PEERS, absent={})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "fields"),
    [
        ("dates", {"not_before", "not_after"}),
        ("basicConstraints", {"basicConstraints"}),
        ("nameConstraints", {"nameConstraints"}),
        ("extKeyUsage", {"extKeyUsage"}),
        ("critical", {"ctPoison"}),
    ],
)
def test_a_fault_that_is_planted_in_a_path_check_is_found(fault: str, fields: set[str]) -> None:
    found = run(PathCheck(fault))
    changed = [{each.field for each in finding.recipe.mutations} for finding in found.findings]
    assert any(each <= fields for each in changed), changed
    for finding in found.findings:
        own = CORPUS.build(finding.recipe).own
        assert PathCheck(fault).judge(own).accepts
        assert not any(peer.judge(own).accepts for peer in PEERS)


@pytest.mark.slow
def test_a_correct_path_check_has_no_finding_of_one_field() -> None:
    found = run(PathCheck())
    assert not [each for each in found.findings if len(each.recipe.mutations) == 1]
    assert found.agreed[0] > 10
    assert found.agreed[1] > 10
    counted = sum(found.agreed) + sum(each.count for each in found.classes)
    assert counted == CHAINS
    assert not found.problem


@given(st.sets(st.sampled_from(MUTATIONS)), st.integers(0, 4))
def test_minimising_keeps_the_disagreement_and_nothing_else(
    needed: set[Mutation], length: int
) -> None:
    recipe = Recipe("one", tuple(dict.fromkeys((*needed, *MUTATIONS[:length]))))
    smallest = minimise(recipe, lambda smaller: needed <= set(smaller.mutations))
    assert set(smallest.mutations) == needed


@given(st.sets(st.frozensets(st.sampled_from(MUTATIONS)), max_size=8))
def test_no_smaller_subset_keeps_the_disagreement(kept: set[frozenset[Mutation]]) -> None:
    """``minimise`` returns the smallest subset of mutations that still disagrees.

    ``kept`` is any set of subsets that disagree, not only one that is closed under more mutations.
    """
    smallest = minimise(Recipe("one", MUTATIONS), lambda each: frozenset(each.mutations) in kept)
    assert smallest.mutations == MUTATIONS or frozenset(smallest.mutations) in kept
    assert all(len(each) >= len(smallest.mutations) for each in kept)


def test_a_minimal_chain_keeps_the_verdict_of_the_client() -> None:
    number = next(each for each in range(50) if len(CORPUS.recipe(each).mutations) == 3)
    accepted = {*GOOD, CORPUS.build(CORPUS.recipe(number)).own}
    found = run(
        Fixed("client", lambda own: own in accepted),
        Fixed("peer", lambda own: own in GOOD),
        count=number + 1,
    )
    assert [finding.recipe for finding in found.findings] == [CORPUS.recipe(number)]


@pytest.mark.parametrize(
    ("client", "peers", "kind"),
    [
        (True, (True, True), None),
        (False, (False, False), None),
        (True, (False, False), Disagreement.ACCEPTED),
        (False, (True, True), Disagreement.REFUSED),
        (True, (True, False), Disagreement.SPLIT),
        (False, (True, False), Disagreement.SPLIT),
    ],
)
def test_the_kind_of_a_disagreement(
    client: bool, peers: tuple[bool, ...], kind: Disagreement | None
) -> None:
    verdicts = {f"peer {number}": accepts for number, accepts in enumerate(peers)}
    assert kind_of({"client": client} | verdicts) is kind


def test_a_client_that_refuses_every_good_chain_proves_nothing() -> None:
    found = run(Fixed("client", lambda _: False), count=5)
    assert "every chain that is not mutated" in found.problem
    assert found.agreed == (0, 0)
    assert set(found.refused_bases) == set(CORPUS.starts)


def test_mutations_of_a_good_chain_that_the_client_refuses_are_not_compared() -> None:
    direct = CORPUS.build(Recipe("direct")).own
    found = run(Fixed("client", lambda own: own == direct), Fixed("no", lambda _: False), count=30)
    others = sum(CORPUS.recipe(number).base != "direct" for number in range(30))
    assert sum(found.not_compared.values()) == others
    assert all("without mutations" in why for why in found.not_compared)


def test_a_client_that_refuses_a_good_chain_in_the_end_proves_nothing() -> None:
    asked: list[OwnChain] = []

    def tiring(own: OwnChain) -> bool:
        asked.append(own)
        return len(asked) <= len(CORPUS.starts)

    found = run(Fixed("client", tiring), Fixed("no", lambda _: False), count=3)
    assert "in the end" in found.problem


@pytest.mark.parametrize(("client", "peer"), [(None, True), (True, None)])
def test_a_chain_without_a_verdict_is_not_compared(client: bool | None, peer: bool | None) -> None:
    found = run(
        Fixed("client", lambda own: True if own in GOOD else client),
        Fixed("peer", lambda _: peer),
        count=10,
    )
    assert found.not_compared == {"why": 10}
    assert not found.classes


def test_a_chain_with_a_known_disagreement_is_counted_and_not_minimised_again() -> None:
    known = DisagreementClass(
        Disagreement.ACCEPTED,
        Recipe("one", MUTATIONS[:1]),
        0,
        {"client": PeerVerdict(accepts=True), "peer": PeerVerdict(accepts=False)},
    )
    same = {"client": True, "peer": False}
    assert known.contains(Recipe("two", MUTATIONS[:3]), same)
    assert not known.contains(Recipe("two", MUTATIONS[1:3]), same)
    assert not known.contains(Recipe("two", MUTATIONS[:3]), {"client": False, "peer": True})
    empty = replace(known, recipe=Recipe("one"))
    assert not empty.contains(Recipe("two", MUTATIONS[:3]), same)


def test_an_interruption_stops_the_client_at_once() -> None:
    class Stopped(PeerAsClient):
        stopped = False

        def stop(self) -> None:
            self.stopped = True

    def interrupt() -> None:
        raise KeyboardInterrupt

    client = Stopped(Fixed("client", GOOD.__contains__))
    with pytest.raises(KeyboardInterrupt) as caught:
        compare(CORPUS, 5, client, PEERS, absent={}, progress=interrupt)
    assert caught.traceback  # it keeps the frames of the run alive
    assert client.stopped


def test_the_minimal_chains_are_a_case_file(tmp_path: Path) -> None:
    found = run(Fixed("client", lambda _: True), Fixed("peer", lambda own: own in GOOD), count=5)
    assert {each.kind for each in found.findings} == {Disagreement.ACCEPTED}
    write_cases(tmp_path, cases_of(found))
    cases = load_cases(tmp_path / CASE_FILE)
    assert [case.name for case in cases] == [each.name for each in found.findings]
    for case, finding in zip(cases, found.findings, strict=True):
        assert case.own
        assert case.own.chain == CORPUS.build(finding.recipe).own.chain
        assert case.presents == str(finding.recipe)
        assert case.expected.none == "reject"
